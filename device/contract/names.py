"""What the cloud, the exporter and every device runner agree on: names, formats, and nothing else.

Signature and tensor names, file names inside a bundle and format numbers are defined here once. The exporter
writes them, the Python runner reads them, and the Java harness gets them through the manifest.
This module knows nothing about TensorFlow, files or training.
"""

from __future__ import annotations

from typing import Final

#: Version of the bundle and state formats. Readers refuse any other.
FORMAT_VERSION: Final = 1

#: Item row that stands for "no item" in every window, target and history.
PADDING: Final = 0

# --- signatures -------------------------------------------------------------------------------------------------
TRAIN: Final = "train"
EVALUATE: Final = "evaluate"
EMBED: Final = "embed"
INFER: Final = "infer"
LOOKUP: Final = "lookup"
EXPORT_WEIGHTS: Final = "export_weights"
IMPORT_WEIGHTS: Final = "import_weights"
SIGNATURES: Final = (TRAIN, EVALUATE, EMBED, INFER, LOOKUP, EXPORT_WEIGHTS, IMPORT_WEIGHTS)

# --- tensors of the signatures ----------------------------------------------------------------------------------
ITEMS: Final = "items"  # int32 [B, T] (train, evaluate) or [1, T] (embed, infer); right-padded with 0
TARGETS: Final = "targets"  # int32 [B, T]; 0 = this position does not count
LEARNING_RATE: Final = "learning_rate"  # float32 []
PROXIMAL: Final = "proximal"  # float32 []; strength of the pull to the global weights
NEGATIVES: Final = "negatives"  # int32 [S]; only where the loss is the sampled softmax
CANDIDATES: Final = "candidates"  # int32 [C]; right-padded with 0
UNUSED: Final = "unused"  # float32 []; Java refuses an empty input map
LOSS: Final = "loss"  # float32 [] (train: mean over the counted targets) or [B, T] (evaluate: 0 where not counted)
RANK: Final = "rank"  # float32 [B, T]; 1 = best, ties count against the target, 0 where not counted
USER_EMBEDDING: Final = "user_embedding"  # float32 [1, E]
ITEM_EMBEDDINGS: Final = "item_embeddings"  # float32 [C, E]
SCORES: Final = "scores"  # float32 [1, C]
OK: Final = "ok"  # float32 []

# --- files of a bundle ------------------------------------------------------------------------------------------
MANIFEST_FILE: Final = "manifest.json"
MODEL_FILE: Final = "model.tflite"
SKELETON_FILE: Final = "model.skeleton"  # with the next, the transport form of the model file
WEIGHTS_FILE: Final = "model.weights"
ITEMS_FILE: Final = "items.txt"  # UTF-8, one external item id a line; line i (from 1) is item row i
RECIPE_FILE: Final = "recipe.json"
CARD_FILE: Final = "MODEL_CARD.md"
CANDIDATES_FOLDER: Final = "candidates"

# --- names of values in the manifest ----------------------------------------------------------------------------
FULL_SOFTMAX: Final = "full_softmax"
SAMPLED_SOFTMAX: Final = "sampled_softmax"
INNER_PRODUCT: Final = "inner_product"  # the ranker of bundles that name none
