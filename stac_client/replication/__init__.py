"""Rules over what is registered, how far they are, and where the copies are."""
