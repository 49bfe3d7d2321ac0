"""What should be true next: facts in, decisions out. No I/O, no clock, no randomness."""
