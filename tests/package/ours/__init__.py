"""A package that adds a line to every seam of PocketRec."""
