"""Interaction logs: reading, splitting, and the arrays that every later stage uses."""
