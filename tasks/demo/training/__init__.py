"""How the bundled codec, visual tower and VAB are trained on Foley world."""
