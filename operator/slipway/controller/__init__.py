"""The loop: an event wakes a key, the key's world is observed, decided on and changed, and the status written."""
