# SPDX-License-Identifier: Apache-2.0
"""Rounds of PFedRec's published code on one thread of a CPU, in an environment with PyTorch; called by
`pfedrec_original.py`.

    PYTHON benchmarks/pfedrec_theirs.py JOB.json

The checkout is used as it is. Three things that it takes for granted are given to it from outside: `Tensor.cuda` (which
it calls whatever `use_cuda` says) keeps tensors where they are, `random.sample` takes sets, as before Python 3.11, and
ratings are 1 already, for its way to binarise them does nothing with pandas 3.
"""

from __future__ import annotations

import json
import random
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any


def _seconds(work: Callable[[], Any]) -> tuple[Any, dict[str, float]]:
    wall, cpu = time.perf_counter(), time.process_time()
    value = work()
    return value, {"wall_s": time.perf_counter() - wall, "cpu_s": time.process_time() - cpu}


def _difference(engine: Any, config: dict[str, Any], path: str) -> dict[str, float]:
    """Train one client of ours by the published code's batches; the largest differences to what ours came to."""
    import copy

    import numpy as np
    import torch

    given = np.load(path)
    model = copy.deepcopy(engine.model)
    model.load_state_dict({
        "embedding_item.weight": torch.tensor(given["table"]),
        "affine_output.weight": torch.tensor(given["weights"][None]),
        "affine_output.bias": torch.tensor(given["bias"][None]),
    })  # fmt: skip
    optimizers = (torch.optim.SGD(model.affine_output.parameters(), lr=config["lr"]),
                  torch.optim.SGD(model.embedding_item.parameters(),
                                  lr=config["lr"] * config["num_items"] * config["lr_eta"]))  # fmt: skip
    items, labels = torch.LongTensor(given["items"]), torch.tensor(given["labels"])
    for begin in range(0, len(items), config["batch_size"]):
        part = slice(begin, begin + config["batch_size"])
        engine.fed_train_single_batch(model, (None, items[part], labels[part]), optimizers)
    after = {name: value.numpy() for name, value in model.state_dict().items()}
    return {
        "samples": len(items),
        "table": float(np.abs(after["embedding_item.weight"] - given["own"]).max()),
        "table_moved": float(np.abs(given["own"] - given["table"]).max()),
        "weights": float(np.abs(after["affine_output.weight"][0] - given["own_weights"]).max()),
        "bias": float(np.abs(after["affine_output.bias"] - given["own_bias"]).max()),
    }  # fmt: skip


def main() -> None:
    job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    warnings.filterwarnings("ignore")
    sys.path.insert(0, job["original"])
    import pandas as pd
    import torch

    torch.set_num_threads(1)
    torch.Tensor.cuda = lambda self, *_: self  # type: ignore[method-assign]
    sample = random.sample
    random.sample = lambda values, count: sample(list(values) if isinstance(values, set) else values, count)
    from data import SampleGenerator  # of the checkout
    from mlp import MLPEngine

    log = pd.read_csv(job["log"])
    torch.manual_seed(job["seed"])
    random.seed(job["seed"])
    config = {**job["config"], "use_cuda": False, "num_users": int(log.userId.max()) + 1,
              "num_items": int(log.itemId.max()) + 1}  # fmt: skip
    engine = MLPEngine(config)
    difference = _difference(engine, config, job["one"])
    generator = SampleGenerator(ratings=log)
    validation, test = generator.validate_data, generator.test_data
    rounds = []
    for number in range(job["rounds"]):
        data, negatives = _seconds(lambda: generator.store_all_train_data(config["num_negative"]))
        _, training = _seconds(lambda data=data, number=number: engine.fed_train_a_round(data, round_id=number))
        _, judging = _seconds(lambda: [engine.fed_evaluate(part) for part in (test, validation)])
        rounds.append({"negatives": negatives, "training": training, "evaluation": judging})
    clients = int(config["num_users"] * config["clients_sample_ratio"])
    found = {"rounds": rounds, "clients": clients, "users": config["num_users"], "torch": torch.__version__,
             "difference": difference}  # fmt: skip
    Path(job["result"]).write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main()
