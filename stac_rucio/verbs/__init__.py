"""The verbs, in chapters by what they deal with."""
