"""Programs of continuous integration: built wheels, oldest dependencies, the notebook."""
