"""The command line: `stac-rucio`."""
