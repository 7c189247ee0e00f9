"""Training of the global model: batches, losses, steps, checkpoints, several processes."""
