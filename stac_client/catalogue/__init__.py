"""The catalogue's side: items, their assets, and which of them are meant."""
