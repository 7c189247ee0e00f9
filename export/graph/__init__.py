"""The exported graph: its signatures, what is trained, the optimisers."""
