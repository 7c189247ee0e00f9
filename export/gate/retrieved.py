# SPDX-License-Identifier: Apache-2.0
"""The two stages on a runtime: retrieval against numpy, by the exporter's table and by the file's own bytes; and the
ranker of the second stage against its plain form."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from pocketrec.cloud.rankers.ranknet import TENSORS
from pocketrec.cloud.rankers.ranknet import RankNet as InNumpy
from pocketrec.cloud.rankers.transitions import recent_of
from pocketrec.device.base.array import Array
from pocketrec.device.base.errors import ExportError
from pocketrec.device.contract.names import RANKER_TENSORS
from pocketrec.device.contract.retrieval import retrieval_of
from pocketrec.device.engine.retrieve import ItemScan
from pocketrec.export.build import ExportedModel
from pocketrec.export.gate.reference import Reference
from pocketrec.export.rankers.ranknet import RankNet

#: Rows of the file's table that are read back where the manifest says that they lie.
_READ_BACK = 3


def check_retrieval(runtime: str, exported: ExportedModel, outputs: dict[str, Array], bound: float) -> None:
    """Refuse a file whose signature ``retrieve`` does not give the best items, before or after training.

    Args:
        runtime: whose outputs they are, for the message.
        exported: the file.
        outputs: of `pocketrec.device.engine.probe`.
        bound: largest difference of a score.

    Raises:
        ExportError: a row is not an item's or comes twice, scores are not those of numpy over the exporter's table, a
            better item was left out, or numpy finds another table where the manifest says that it lies.
    """
    table, k = exported.item_embeddings, int(exported.retrieval["k"])
    for state, suffix in (("", ""), ("trained", "_trained")):
        users = outputs[state or "embeddings"]  # (M, E)
        pairs = zip(users, outputs[f"retrieved{suffix}"], outputs[f"retrieved_scores{suffix}"], strict=True)
        for user, rows, scores in pairs:
            exact = table @ user  # (N + 1,)
            best = np.sort(exact[1:])[::-1][:k]
            right = (
                len(np.unique(rows)) == k
                and 1 <= rows.min() <= rows.max() < len(table)
                and np.abs(scores - exact[rows]).max() <= bound
                and np.abs(scores - best).max() <= bound
            )
            if not right:
                raise ExportError(f"on {runtime} retrieve does not give the {k} best items of the table: the file was "
                                  "not published; report this with the run's configuration")  # fmt: skip
    _check_place(exported, outputs["embeddings"], bound)


def ranked(
    reference: Reference, second: RankNet | None, inputs: dict[str, Array], suffix: str
) -> dict[str, Array]:
    """What the signature ``rank`` should give under the reference's present weights; empty without a second ranker."""
    if second is None:
        return {}
    contexts, candidates = inputs["contexts"], inputs["candidates"]
    if second.transitions is None:
        return {f"ranked{suffix}": reference.score(contexts, candidates, second)}
    tensors = {name: reference.value(own) for name, own in zip(TENSORS, RANKER_TENSORS, strict=True)}
    net = InNumpy(tensors, transitions=second.transitions)
    rows = np.broadcast_to(candidates, (len(contexts), len(candidates)))
    recent = recent_of([context[context > 0] for context in contexts])
    return {f"ranked{suffix}": net.of_rows(reference.embed(contexts), reference.table.numpy(), rows, recent)}


def check_ranked(runtime: str, outputs: dict[str, Array], expected: dict[str, Array], bound: float) -> None:
    """Refuse a file whose signature ``rank`` gives other scores than the plain form, before or after training.

    After training scores may differ by 20 steps' rounding too, which is bounded by the checks of losses and changes:
    ten times `bound`.

    Raises:
        ExportError: it does.
    """
    for name, most in (("ranked", bound), ("ranked_trained", 10 * bound)):
        if name in expected and not np.abs(outputs[name] - expected[name]).max() <= most:
            raise ExportError(f"on {runtime} the scores of rank differ from those of Keras: the file was not "
                              "published; report this with the run's configuration")  # fmt: skip


def _check_place(exported: ExportedModel, users: Array, bound: float) -> None:
    table = exported.item_embeddings
    told = retrieval_of(exported.retrieval, len(table) - 1, len(exported.content))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.tflite"
        path.write_bytes(exported.content)
        scan = ItemScan(path, told.table)
        at = np.unique(np.linspace(1, len(table) - 1, _READ_BACK).astype(np.int32))
        same = np.array_equal(scan.embeddings(at), table[at])
        _, scores = scan.best(users[0], told.k)
        same &= bool(np.abs(scores - np.sort(table[1:] @ users[0])[::-1][: told.k]).max() <= bound)
    if not same:
        raise ExportError("numpy finds another item table in the file than the exporter wrote: report this")
