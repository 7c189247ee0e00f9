# SPDX-License-Identifier: Apache-2.0
"""A round of federated training with many devices on one machine: seconds, memory, and what the server adds.

    python benchmarks/federated.py [--devices 1000] [--processes 2] [--items 1616] [--bits 8]

The contribution file is that of a two-layer GRU of ml-100k's size with first weights (what they are changes no time).
Devices have 20 to 200 events each, drawn by popularity, half of them later ones, and all take part in `--rounds`
rounds, through the engine `processes` and the server's checks, sum, step and checkpoint. `devices alone` is the time
that the devices' own code takes for the same updates, in one process after another; `overhead` is what a round takes
beyond that time over the number of processes. Memory is the peak of the server's process, TensorFlow included, and of
the largest device process. The last line is JSON.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import multiprocessing
import re
import tempfile
import time
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy as np

from pocketrec.cloud.config.export import ExportConfig
from pocketrec.cloud.config.federate import FederateConfig
from pocketrec.cloud.config.model import ModelConfig
from pocketrec.cloud.federated.device import FederatedUser, SimulatedContributor
from pocketrec.cloud.federated.processes import processes
from pocketrec.cloud.federated.rounds import Training, plan_of, train
from pocketrec.device.base.memory import peak_resident_mb
from pocketrec.device.engine.runtime import choose_runtime


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--devices", type=int, default=1000, help="devices of a round (default: 1,000)")
    parser.add_argument("--processes", type=int, default=2, help="device processes (default: 2)")
    parser.add_argument("--rounds", type=int, default=2, help="rounds (default: 2)")
    parser.add_argument("--items", type=int, default=1616, help="items of the catalogue (default: 1,616)")
    parser.add_argument("--bits", type=int, default=8, choices=(4, 8, 32), help="bits of a value (default: 8)")
    parser.add_argument("--window", type=int, default=30, help="events of a window (default: 30)")
    parser.add_argument("--runtime", default="auto", help="auto, ai_edge_litert or tflite_runtime")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = measure(args, Path(folder))
    for name, value in found.items():
        print(f"{name:<26} {value}")
    print(json.dumps(found))


def measure(args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """All figures."""
    from pocketrec.cloud.backbones import build_model  # here, so that device processes are without TensorFlow
    from pocketrec.export.federated.broadcast import round_weights
    from pocketrec.export.federated.build import build_contribution

    config = ModelConfig(window=args.window)
    file = build_contribution(build_model(config, args.items, 1), config, ExportConfig(), tensors="all",
                              table_limit=args.items)  # fmt: skip
    path = folder / "contribution.tflite"
    path.write_bytes(file.content)
    users = fleet(args.devices, args.items)
    settings = FederateConfig(share=1.0, bits=args.bits)
    training = Training(
        "bench", settings, args.rounds, 0.001, file.weights, hashlib.sha256(file.content).hexdigest(), list(users), 1,
        items=args.items, code=lambda weights: round_weights(weights, 8),
    )  # fmt: skip
    alone = devices_alone(path, users, training, args.runtime)
    with processes(path, users, folder, seed=1, runtime=args.runtime, number=args.processes) as engine:
        began = time.perf_counter()
        trained = train(training, engine, folder)
        seconds = (time.perf_counter() - began) / args.rounds
        largest = max(map(peak_of, multiprocessing.active_children()))
    record = trained.records[-1]
    values = file.facts["values"]
    return {
        "devices": record["accepted"], "processes": args.processes, "values": values,
        "round_s": round(record["seconds"], 2), "first_round_s": round(trained.records[0]["seconds"], 2),
        "round_mean_s": round(seconds, 2), "device_ms_p50": record["device_ms"],
        "devices_alone_s": round(alone, 2), "overhead": round(record["seconds"] / (alone / args.processes), 3),
        "bytes_up": record["bytes_up"], "bytes_down": record["bytes_down"], "file_bytes": len(file.content),
        "server_peak_mb": round(peak_resident_mb(), 1),
        "device_process_peak_mb": round(largest, 1),
        "runtime": choose_runtime(args.runtime),
    }  # fmt: skip


def peak_of(process: BaseProcess) -> float:
    """Peak resident memory of a process that runs, MB; by Linux's account, for `getrusage` of children counts what the
    parent held when it started them."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{process.pid}/status").read_text(encoding="utf-8"))
    return int(found[1]) * 1024 / 1e6 if found else 0.0


def fleet(devices: int, items: int) -> dict[str, FederatedUser]:
    """Devices with 20 to 200 events, half of them later ones, drawn by Zipf's law."""
    rng = np.random.default_rng(1)
    chances = 1 / np.arange(1, items + 1)
    chances /= chances.sum()
    found = {}
    for place in range(devices):
        rows = (rng.choice(items, int(rng.integers(20, 201)), p=chances) + 1).astype(np.int32)
        found[f"d{place:06}"] = FederatedUser(rows, len(rows) // 2)
    return found


def devices_alone(path: Path, users: dict[str, FederatedUser], training: Training, runtime: str) -> float:
    """Seconds that the devices' code takes for the first round, read off every tenth device."""
    device = SimulatedContributor(path, choose_runtime(runtime), 1)
    plan, weights = plan_of(training, 0, 0, len(users), live=False).to_bytes(), path.with_name("alone.weights")
    weights.write_bytes(training.code(training.weights))
    some = list(users.items())[::10]
    times = [device.answer(name, user, plan, weights).milliseconds for name, user in some]
    return float(np.mean(times)) * len(users) / 1e3


if __name__ == "__main__":
    main()
