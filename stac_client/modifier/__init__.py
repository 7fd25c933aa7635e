"""The modifier for pystac-client, and what it writes into items."""
