"""Parallel iterative decoding of hidden tokens: options, guidance, the loop."""
