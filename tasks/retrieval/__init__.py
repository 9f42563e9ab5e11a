"""Search: adapt a model for it, embed files, build an index, ask it."""
