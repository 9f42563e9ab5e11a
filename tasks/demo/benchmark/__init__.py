"""The benchmark: what a model makes of held-out clips of Foley world, where every event is known."""
