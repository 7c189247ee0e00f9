"""Candidate sets."""
