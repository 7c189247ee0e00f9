"""Measures of ranking quality, full and sampled."""
