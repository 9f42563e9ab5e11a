"""Which tokens are hidden: ratios, schedules and drawing, the one home for training and decoding."""
