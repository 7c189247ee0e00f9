# SPDX-License-Identifier: Apache-2.0
"""Untrained models as .tflite files, for benchmarks that measure them in processes without TensorFlow.

    python benchmarks/export_models.py FOLDER --model gru mingru:feed_forward=0 [--negatives 100] [--way partial]

Names of models are those of `models.py`; NAME@WAY gives one a way to personalise of its own, such as nextitnet@patch.
Writes FOLDER/NUMBER.tflite for each, in their order, and prints one JSON document as the last line: by name its file,
bytes, the numbers that the device trains, and FLOP of its calls.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from pathlib import Path
from typing import Any

from models import read_models, way_of

from pocketrec.cloud.config.personalise import DEVICE_OPTIMIZERS, WAYS
from pocketrec.device.base.errors import ConfigError, PocketRecError


def export(config: Any, way: str, path: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Write one model; facts of it.

    Raises:
        ConfigError: there is no such way.
    """
    from pocketrec.cloud.backbones import build_model
    from pocketrec.cloud.config.export import ExportConfig
    from pocketrec.device.bench.limit import flop
    from pocketrec.export.build import build_tflite

    if way not in WAYS:
        raise ConfigError(f"there is no way {way}: choose of {', '.join(WAYS)}")
    sampled = {"full_softmax_limit": 1, "negatives": options.negatives} if options.negatives else {}
    made = build_tflite(
        build_model(config, options.items, 1), config, ExportConfig(batch=options.batch, **sampled), way=way,
        optimizer=options.optimizer, candidates=options.candidates,
    )  # fmt: skip
    path.write_bytes(made.content)
    trained = made.tensors["trainable"]
    return {
        "file": str(path), "bytes": len(made.content), "trained": sum(math.prod(spec["shape"]) for spec in trained),
        "flop": flop(made.model, [spec["name"] for spec in trained]),
    }  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", nargs="+", default=["gru"], metavar="NAME[@WAY][:KEY=VALUE,...]")
    parser.add_argument("--way", default="partial", choices=WAYS.names(), help="of models that name none")
    parser.add_argument("--optimizer", default="adagrad", choices=DEVICE_OPTIMIZERS.names())
    for name, value in (
        ("negatives", 0), ("items", 3706), ("embedding", 64), ("window", 20), ("batch", 16), ("candidates", 100),
    ):  # fmt: skip
        parser.add_argument(f"--{name}", type=int, default=value)
    options = parser.parse_args()
    try:
        models = read_models(options.model, [], {}, embedding=options.embedding, window=options.window)
        made = {
            name: export(config, way_of(name) or options.way, options.folder / f"{number}.tflite", options)
            for number, (name, config) in enumerate(models.items())
        }
    except PocketRecError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(json.dumps(made))
    return 0


if __name__ == "__main__":
    sys.exit(main())
