# SPDX-License-Identifier: Apache-2.0
"""The part of benchmarks/gru4rec.py that runs under the interpreter with PyTorch: train GRU4Rec, give its embeddings.

    python gru4rec_theirs.py JOB.json

GRU4Rec's own class trains, as its run.py would call it. What it has learned is handed back as numbers: the hidden
state before every event to be foretold, after the whole history that precedes it, and the output layer. Scores,
ranks and figures are then computed by the code that computes ours. Imports nothing of PocketRec.
"""

from __future__ import annotations

import json
import sys
import time
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

ROWS = 512  # histories that are read at a time


def hidden_states(gru: Any, rows: np.ndarray, offsets: np.ndarray, first: np.ndarray) -> np.ndarray:
    """State after each event that has a next one to be foretold, float32 [P, H], in the order of the sequences.

    Args:
        gru: trained.
        rows: int64 [n], the model's item indices of all sequences, one after the other.
        offsets: int64 [U + 1].
        first: int64 [U], place of the first event that is to be foretold; at least 1.
    """
    lengths = np.diff(offsets)
    counts = np.maximum(lengths - first, 0)
    starts = np.concatenate([[0], np.cumsum(counts)])
    result = np.empty((starts[-1], gru.layers[-1]), np.float32)
    order = np.argsort(-lengths, kind="stable")
    model = gru.model.eval()
    for begin in range(0, len(order), ROWS):
        users = order[begin : begin + ROWS]  # longest first: those that end leave the batch at its end
        state = [torch.zeros((len(users), size)) for size in gru.layers]
        for step in range(int(lengths[users[0]]) - 1):
            alive = users[lengths[users] > step + 1]
            state = [part[: len(alive)] for part in state]
            inputs = torch.tensor(rows[offsets[alive] + step])
            embedded, _, _ = model.embed(inputs, state, inputs)
            if not (model.constrained_embedding or model.embedding):
                state[0] = embedded
            output = model.hidden_step(embedded, state, training=False)  # (b, H); writes the new states into `state`
            wanted = step + 1 >= first[alive]
            chosen = alive[wanted]
            result[starts[chosen] + step + 1 - first[chosen]] = output[torch.tensor(wanted)].numpy()
    return result


def adapt_to_new_libraries() -> None:
    """GRU4Rec was written for older ones: PyTorch now refuses a pandas Series, and where numpy 1 gave its initial
    weights as float32, numpy 2 gives float64. `torch.tensor` takes both as it used to."""
    plain = torch.tensor

    def tensor(data: Any, *args: Any, **options: Any) -> torch.Tensor:
        if isinstance(data, pd.Series):
            data = data.to_numpy()
        if isinstance(data, np.ndarray) and data.dtype == np.float64:
            data = data.astype(np.float32)
        return plain(data, *args, **options)

    torch.tensor = tensor


def main() -> None:
    job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    torch.set_num_threads(job["threads"])
    torch.manual_seed(job["seed"])
    np.random.seed(job["seed"])
    adapt_to_new_libraries()
    sys.path.insert(0, job["gru4rec"])  # a folder of scripts, not a package
    from gru4rec_pytorch import GRU4Rec

    data = pd.read_csv(job["train"], sep="\t", dtype={"SessionId": "int32", "ItemId": "int32"})
    gru = GRU4Rec(device=torch.device("cpu"))
    gru.set_params(**OrderedDict(job["parameters"]))
    started = time.perf_counter()
    gru.fit(data, item_key="ItemId", session_key="SessionId", time_key="Time")
    seconds = time.perf_counter() - started
    if gru.error_during_train:
        sys.exit("GRU4Rec's training ended in an error: take other parameters")
    index = gru.data_iterator.itemidmap
    with np.load(job["sequences"]) as file:
        items, offsets, first = file["items"], file["offsets"], file["first"]
    of_row = np.zeros(job["items"] + 1, np.int64)
    of_row[index.index.to_numpy()] = index.to_numpy()
    with torch.no_grad():
        states = hidden_states(gru, of_row[items], offsets, first)
        output, bias = gru.model.Wy.weight.numpy()[of_row], gru.model.By.weight.numpy()[of_row, 0]
    absent = np.setdiff1d(np.arange(job["items"] + 1), index.index.to_numpy())
    bias[absent] = -1e9
    np.savez(job["result"], states=states, table=output, bias=bias, seconds=seconds)


if __name__ == "__main__":
    main()
