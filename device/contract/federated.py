# SPDX-License-Identifier: Apache-2.0
"""Names that the cloud, the exporter and devices share in federated training: signatures, tensors and files."""

from __future__ import annotations

from typing import Final

# --- the contribution file: a model file without weights, with the signature below and `import_weights` ------------
GRADIENT: Final = "gradient"  # items, targets, kept (and negatives) -> loss, count, and a gradient for each tensor
KEPT: Final = "kept"  # float32 [B, T, E]; what the embeddings of the items are multiplied by: dropout, or ones
COUNT: Final = "count"  # float32 []; counted targets; the loss and the gradients are sums over them

#: The contribution file, and the weights of a round as devices fetch them.
CONTRIBUTION_FILE: Final = "contribution.tflite"
ROUND_WEIGHTS_FILE: Final = "round.weights"
#: Rounds that a device has taken part in, a file in the folder of its state.
TAKEN_FILE: Final = "federated.json"
