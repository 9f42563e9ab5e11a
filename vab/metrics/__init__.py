"""Numbers about generated sound: pure functions, and thin torchmetrics over clips."""
