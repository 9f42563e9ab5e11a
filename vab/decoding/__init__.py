"""Parallel iterative decoding of masked tokens: masks, schedule, guidance, the loop, windows."""
