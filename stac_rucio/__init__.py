"""The command line: `stac-rucio`.

It imports nothing but click until a verb is at work, so that help and
completion answer at once.
"""
