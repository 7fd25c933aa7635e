"""Assets into Rucio: as replicas at a source RSE, in the datasets of their items."""
