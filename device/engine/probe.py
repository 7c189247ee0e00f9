# SPDX-License-Identifier: Apache-2.0
"""Calls every signature of a model file on given inputs and stores the outputs.

The export gate runs this in a process of its own for each runtime, because a runtime cannot share a process with
TensorFlow. It asserts nothing: it only records what a device would see. Run as
``python -m pocketrec.device.engine.probe MODEL INPUTS.npz OUTPUTS.npz RUNTIME``.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import numpy as np

from pocketrec.device.base.array import Array
from pocketrec.device.base.errors import PocketRecError
from pocketrec.device.engine.model import Model
from pocketrec.device.engine.runtime import runtime_version


def probe(model: Model, inputs: dict[str, Array]) -> dict[str, Array]:
    """Embed, score, judge, train, and embed again after the global weights are put back.

    Args:
        model: freshly loaded.
        inputs: ``contexts`` int32 [M, T]; ``candidates`` int32 [C]; ``items`` and ``targets`` int32 [S, B, T], one
            batch for each train step; ``negatives`` int32 [S, n] (n = 0 for the full softmax); ``learning_rate`` and
            ``proximal`` float32 [].

    Returns:
        ``embeddings`` [M, E], ``scores`` [M, C], ``item_embeddings`` [C, E] (of the candidates), ``loss`` and ``rank``
        [B, T] of the first batch (where steps take positions, [P] of the targets that count), ``last_loss`` of the last
        one, ``losses`` [S] of the train steps, ``trained`` [M, E] (embeddings after them) and ``restored`` [M, E]
        (after the global weights were put back), ``before.NAME`` and ``after.NAME`` of variables. Where the file has
        the signature, ``retrieved`` [M, K] and ``retrieved_scores`` [M, K], and the same two with ``_trained`` behind,
        after the train steps; likewise ``ranked`` [M, C], scores by the
        signature ``rank``.
    """
    contexts, candidates = inputs["contexts"], inputs["candidates"]
    negatives = list(inputs["negatives"]) if model.sampled else [None] * len(inputs["items"])
    before = model.export_weights()
    embeddings = _embed(model, contexts)
    scores = np.stack([model.infer(context[None], candidates) for context in contexts])
    found = _retrieved(model, contexts, "") | _ranked(model, contexts, candidates, "")
    given, wanted = _steps(model, inputs["items"], inputs["targets"])
    loss, rank = model.evaluate(given[0], wanted[0], negatives[0])
    last_loss, _ = model.evaluate(given[-1], wanted[-1], negatives[-1])
    rate, proximal = float(inputs["learning_rate"]), float(inputs["proximal"])
    steps = zip(given, wanted, negatives, strict=True)
    losses = [model.train(items, targets, rate, proximal, drawn) for items, targets, drawn in steps]
    after = model.export_weights()
    trained = _embed(model, contexts)
    found |= _retrieved(model, contexts, "_trained") | _ranked(model, contexts, candidates, "_trained")
    model.import_weights(before)
    return {
        "embeddings": embeddings,
        "scores": scores,
        "item_embeddings": model.lookup(candidates),
        "loss": loss,
        "rank": rank,
        "last_loss": last_loss,
        "losses": np.array(losses),
        "trained": trained,
        "restored": _embed(model, contexts),
        **{f"before.{name}": value for name, value in before.items()},
        **{f"after.{name}": value for name, value in after.items()},
        **found,
    }


def _steps(model: Model, items: Array, targets: Array) -> tuple[list[Array], list[Array]]:
    """A train step of each batch of windows, which has no more targets that count than a step takes."""
    made = [model.steps(*pair) for pair in zip(items[:, None], targets[:, None], strict=True)]
    return [step[0] for step, _ in made], [wanted[0] for _, wanted in made]


def _retrieved(model: Model, contexts: Array, suffix: str) -> dict[str, Array]:
    if not model.retrieves:
        return {}
    rows, scores = zip(*(model.retrieve(context[None]) for context in contexts), strict=True)
    return {f"retrieved{suffix}": np.stack(rows), f"retrieved_scores{suffix}": np.stack(scores)}


def _ranked(model: Model, contexts: Array, candidates: Array, suffix: str) -> dict[str, Array]:
    if not model.ranks:
        return {}
    return {f"ranked{suffix}": np.stack([model.rank(context[None], candidates) for context in contexts])}


def _embed(model: Model, contexts: Array) -> Array:
    return np.stack([model.embed(context[None]) for context in contexts])


def main(arguments: list[str]) -> int:
    """Entry point; see `run`."""
    return run(arguments, lambda path, runtime, inputs: probe(Model(path, runtime), inputs))


def run(arguments: list[str], answer: Callable[[str, str, dict[str, Array]], dict[str, Array]]) -> int:
    """Answer the inputs of a file; prints the runtime's version, or one line that says what failed (exit status 2).

    Args:
        arguments: the model file, the inputs, where the outputs go (.npz both), and the runtime.
        answer: from model file, runtime and inputs to the outputs.
    """
    path, source, target, runtime = arguments
    try:
        with np.load(source) as inputs:
            outputs = answer(path, runtime, dict(inputs))
    except (PocketRecError, ValueError, RuntimeError) as error:
        print(" ".join(str(error).split()), file=sys.stderr)
        return 2
    np.savez(target, **outputs)
    print(runtime_version(runtime))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
