"""The ruler: held-out clips of Foley world, where every event is known, and what a model makes of their pictures."""
