"""Parallel iterative decoding of masked tokens, autoregressive decoding of columns, guidance, windows."""
