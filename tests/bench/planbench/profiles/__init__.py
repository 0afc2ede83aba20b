"""One module for each load."""
