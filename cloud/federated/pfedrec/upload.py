# SPDX-License-Identifier: Apache-2.0
"""What a client sends, and what the server makes of it.

An upload holds rows of the client's item table and nothing else: no weight and no bias of its head, no event, no
label. (The original sends the bias too, and never reads the average of it.) `Mean` is the server's average over many
clients at once; `average` is the same over single uploads, as a server that receives them would do it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from pocketrec.cloud.federated.pfedrec.block import Trained
from pocketrec.cloud.federated.pfedrec.client import Floats, Steps

#: Arrays of an upload: rows (N, E); with touched also the items of the rows (int32); with 8 bits also a scale a row.
KEYS: Final = ("rows", "items", "scales")
_LEVELS: Final = 127


def own_table(table: Floats, steps: Steps) -> Floats:
    """(N, E): the table of a client after `steps` (all of it), from the table it received."""
    moved = table.astype(np.float64)
    heads = np.repeat(steps.heads, steps.counts, axis=0)
    np.subtract.at(moved, steps.items, steps.amounts[:, None].astype(np.float64) * heads)
    return moved.astype(np.float32)


def make_upload(
    table: Floats, own: Floats, touched: NDArray[np.int32], *, upload: str = "full", bits: int = 32, noise: float = 0.0,
    rng: np.random.Generator | None = None,
) -> dict[str, NDArray[Any]]:  # fmt: skip
    """What one client sends after a round.

    Args:
        table: (N, E) as received.
        own: (N, E) after training.
        touched: items of its samples.
        upload: full or touched.
        bits: 32, or 8 for differences to `table` with one scale a row.
        noise: scale of Laplace noise on every entry sent; needs `rng` where it is not 0.
        rng: of the noise.
    """
    chosen = np.arange(len(table), dtype=np.int32) if upload == "full" else np.unique(touched).astype(np.int32)
    rows = own[chosen] if bits == 32 else own[chosen] - table[chosen]
    if noise and rng is not None:
        rows = (rows + rng.laplace(0, noise, rows.shape)).astype(np.float32)
    content: dict[str, NDArray[Any]] = {"rows": rows}
    if bits == 8:
        content["rows"], content["scales"] = quantise(rows)
    if upload == "touched":
        content["items"] = chosen
    return content


def quantise(rows: Floats) -> tuple[NDArray[np.int8], Floats]:
    """(n, E) as int8 and one scale a row, (n,): entries are off by half a scale at most."""
    scales = np.abs(rows).max(axis=1, initial=0).astype(np.float32) / np.float32(_LEVELS)
    safe = np.where(scales > 0, scales, 1)
    return np.rint(rows / safe[:, None]).astype(np.int8), scales


def restore(codes: NDArray[np.int8], scales: Floats) -> Floats:
    """The inverse of `quantise`, but for rounding."""
    return codes.astype(np.float32) * scales[:, None]


def average(
    table: Floats, uploads: Sequence[Mapping[str, NDArray[Any]]], weights: NDArray[Any] | None = None
) -> Floats:
    """The server's new table: the weighted mean of the clients' tables; a row that is not sent counts as unchanged.

    Args:
        table: (N, E) that was sent to the clients.
        uploads: as `make_upload` gives them.
        weights: of the clients; None = all alike.
    """
    shares = np.ones(len(uploads)) if weights is None else np.asarray(weights, np.float64)
    shares = shares / shares.sum()
    moved = table.astype(np.float64)
    for share, content in zip(shares, uploads, strict=True):
        items = content.get("items", np.arange(len(table)))
        rows = content["rows"]
        moved[items] += share * (restore(rows, content["scales"]) if "scales" in content else rows - table[items])
    return moved.astype(np.float32)


def upload_bytes(rows: Any, latent: int, *, upload: str, bits: int) -> Any:
    """Bytes of an upload of so many rows (a number or an array): entries, a 4-byte scale a row where they are int8, and
    a 4-byte item number a row where not all rows are sent."""
    row = latent * 4 if bits == 32 else latent + 4
    return rows * (row + (4 if upload == "touched" else 0))


class Mean:
    """The server's weighted mean of the clients' tables, taken over blocks of clients."""

    def __init__(self, table: Floats, weights: NDArray[np.float64], *, upload: str, bits: int) -> None:
        """Begin a round.

        Args:
            table: (N, E) sent to the clients.
            weights: (U,) weight of each client, by its number; they sum to 1 over the participants.
            upload: full or touched; matters for the noise alone.
            bits: of an upload.
        """
        self._table, self._weights, self._upload, self._bits = table, weights, upload, bits
        self._change = np.zeros(table.shape)
        self._senders = np.zeros(len(table), np.int64)
        self._clients = 0

    def add(self, trained: Trained) -> None:
        """Take in a block of clients."""
        items = len(self._table)
        owner, item = np.divmod(trained.slots, items)
        self._senders += np.bincount(item, minlength=items)
        self._clients += len(trained.clients)
        share = self._weights[trained.clients]
        if self._bits == 8:
            change = restore(*quantise(trained.rows - self._table[item])) * share[owner, None].astype(np.float32)
            order = np.argsort(item, kind="stable")
            first = np.flatnonzero(np.diff(item[order], prepend=-1))
            self._change[item[order[first]]] += np.add.reduceat(change[order], first, axis=0)
            return
        steps = trained.steps
        matrix = np.zeros((len(steps.clients), items), np.float32)  # (K, N) how far each step moved each item
        step = np.repeat(np.arange(len(steps.clients)), steps.counts)
        matrix[step, steps.items] = steps.amounts
        shares = self._weights[steps.clients].astype(np.float32)
        self._change -= matrix.T @ (steps.heads * shares[:, None])

    def result(self, noise: float = 0.0, rng: np.random.Generator | None = None) -> Floats:
        """The new table.

        Args:
            noise: scale of the Laplace noise that each client has added to each entry it sent; its sum over n clients
                is drawn at once, as the difference of two Gamma(n) variables, which has the very same distribution.
            rng: of the noise.
        """
        table = self._table + self._change
        if noise and rng is not None:
            senders = self._senders if self._upload == "touched" else np.full(len(table), self._clients)
            shape = np.broadcast_to(senders[:, None], table.shape)
            table += noise * (rng.gamma(shape) - rng.gamma(shape)) / self._clients
        return table.astype(np.float32)
