# SPDX-License-Identifier: Apache-2.0
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
RETRIEVE: Final = "retrieve"  # only in files that find items of the whole catalogue
RANK_CANDIDATES: Final = "rank"  # only in files with a ranker of a second stage; takes and gives what infer does
TRAIN_SMALL: Final = "train_small"  # only in files with a second, small batch; takes and gives what train does
EVALUATE_SMALL: Final = "evaluate_small"  # the same of evaluate

# --- tensors of the signatures ----------------------------------------------------------------------------------
ITEMS: Final = "items"  # int32 [B, T] (train, evaluate) or [1, T] (embed, infer); right-padded with 0
TARGETS: Final = "targets"  # int32 [B, T]; [B, 1] if not causal; [P] with way ranker, P targets a step; 0 = no target
LEARNING_RATE: Final = "learning_rate"  # float32 []
PROXIMAL: Final = "proximal"  # float32 []; strength of the pull to the global weights
NEGATIVES: Final = "negatives"  # int32 [S]; only where the loss is the sampled softmax
CANDIDATES: Final = "candidates"  # int32 [C]; right-padded with 0
UNUSED: Final = "unused"  # float32 []; Java refuses an empty input map
LOSS: Final = "loss"  # float32 [] (train: mean over counted targets) or like targets (evaluate: 0 where not counted)
RANK: Final = "rank"  # float32 like targets; 1 = best, ties count against the target, 0 where not counted
USER_EMBEDDING: Final = "user_embedding"  # float32 [1, E]
ITEM_EMBEDDINGS: Final = "item_embeddings"  # float32 [C, E]
SCORES: Final = "scores"  # float32 [1, C]; of retrieve [1, K], best first, and candidates int32 [K] beside it
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

# --- patches of tasks (pocketrec.device.contract.patch) ---------------------------------------------------------
PATCHES_FOLDER: Final = "patches"  # in a bundle's folder, beside what its manifest lists
PATCH_FORMAT: Final = "pocketrec-patch-2"
TRAIN_TASK: Final = "train_task"  # signature; only bundles whose patches devices train have it
HEAD: Final = "head"  # float32 [S, E]; the task's rows that a step compares
WANTED: Final = "wanted"  # float32 [B, S]; 1 at the row of a window's target, all 0 where the window does not count
BIASES: Final = "biases"  # float32 [S]; added to their scores, very small where a row is not there
ORIGIN: Final = "origin_"  # prefix of the tensors, like the trained ones, that the proximal pull goes to
RANKNET: Final = "ranknet"  # the inner product, an item bias, and a small network over both embeddings
RANKER_TENSORS: Final = ("ranker_A", "ranker_B", "ranker_b1", "ranker_C", "ranker_b2", "ranker_w3")  # of ranknet
RANKER_WAY: Final = "ranker"  # the way that trains these, but for ranker_B, and nothing of the layers
EMBED_WINDOWS: Final = "embed_windows"  # signature, of that way alone: takes items int32 [B, T], gives the next tensor
USER_EMBEDDINGS: Final = "user_embeddings"  # float32 [B, T or 1, E]; train and evaluate of that way take [P, E] of them
RETRIEVED_FOR: Final = (INNER_PRODUCT, RANKNET)  # rankers whose best items `retrieve` finds
