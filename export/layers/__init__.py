"""Layers of the exported graph: a hand-written forward and backward pass of each."""
