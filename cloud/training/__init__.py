# SPDX-License-Identifier: Apache-2.0
"""Training of the global model: batches, losses, steps, checkpoints, several processes."""
