# SPDX-License-Identifier: Apache-2.0
"""Numbers that must not depend on the machine: ``python tests/arithmetic.py [--forward] BUNDLE ...``.

Of each model: user embedding, scores, losses and ranks; and, without --forward, losses of twelve train steps, the
same after them, and a summary of every weight tensor and slot. Printed as JSON, with the runtime's name and this
machine's architecture.
"""

from __future__ import annotations

import json
import platform
import sys

import numpy as np

from pocketrec.device.delivery.bundle import Bundle, open_bundle

STEPS = 12


def numbers(bundle: Bundle, forward: bool) -> tuple[str, dict[str, list[float]]]:
    """The runtime, and the numbers by name."""
    model, count, rng = bundle.load_model(), len(bundle.vocabulary), np.random.default_rng(7)
    windows = rng.integers(1, count + 1, (STEPS, model.batch, model.window + 1), dtype=np.int32)  # (steps, B, T + 1)
    windows[:, 0, 3:] = 0  # a short one
    items, targets = windows[:, :, :-1].copy(), windows[:, :, 1:].copy()
    candidates = np.resize(np.arange(1, count + 1, dtype=np.int32), model.candidates)

    def outputs() -> dict[str, np.ndarray]:
        losses, ranks = model.evaluate(items[0], targets[0])
        one = items[0, :1]
        return {"embedding": model.embed(one), "scores": model.infer(one, candidates), "losses": losses, "ranks": ranks}

    told = outputs()
    if not forward:
        steps = zip(items, targets, strict=True)
        told["training"] = np.array([model.train(*step, 0.05, 0.01) for step in steps])
        told |= {f"{name} after": value for name, value in outputs().items() if name != "ranks"}
        for name, value in model.export_weights().items():
            told[name] = np.array([value.mean(), np.abs(value).mean(), *value.reshape(-1)[:: -(-value.size // 20)]])
    return model.runtime, {name: np.round(value, 7).reshape(-1).tolist() for name, value in told.items()}


def main() -> None:
    forward = sys.argv[1] == "--forward"
    result: dict[str, object] = {"architecture": platform.machine()}
    for path in sys.argv[2 if forward else 1 :]:
        bundle = open_bundle(path)
        result["runtime"], told = numbers(bundle, forward)
        result |= {f"{bundle.manifest.model_id[:8]} {name}": value for name, value in told.items()}
    print(json.dumps(result))


if __name__ == "__main__":
    main()
