"""Benchmarks: what Slipway costs, measured on a real cluster, as ratios within one run where machines are noisy."""
