"""Federated training: models that are trained together without an event leaving a device."""
