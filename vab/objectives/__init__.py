"""What models are trained for: a loss around a network, in plain torch, and its options."""
