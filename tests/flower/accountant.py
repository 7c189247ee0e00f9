# SPDX-License-Identifier: Apache-2.0
"""Epsilon by dp-accounting 0.6.0, for comparison: ``python tests/flower/accountant.py`` prints the table in
tests/cloud/federated/test_privacy.py."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterator

#: Share of the devices, noise multiplier, rounds, delta.
Case = tuple[float, float, int, float]
CASES: tuple[Case, ...] = (
    (0.4, 1.0, 6, 1.9e-3), (0.4, 0.3, 6, 1.9e-3), (0.4, 0.1, 8, 1.9e-3), (0.04, 1.0, 6, 1.2e-5),
    (0.004, 1.0, 6, 9.5e-7), (0.01, 0.5, 100, 1e-6), (0.01, 1.1, 1000, 1e-5),
    (0.1, 0.7, 100, 1e-5), (0.95, 2.0, 20, 1e-4), (0.7, 10.0, 8, 1e-3),
    (1.0, 1.0, 100, 1e-3), (1.0, 3.0, 8, 1e-5),
)  # fmt: skip


def theirs(q: float, z: float, rounds: int, delta: float) -> float:
    """Epsilon as dp-accounting's RDP accountant has it."""
    import dp_accounting
    from dp_accounting.rdp import RdpAccountant

    logging.getLogger("absl").setLevel(logging.ERROR)  # it warns of every order that it leaves out
    accountant = RdpAccountant()
    accountant.compose(dp_accounting.PoissonSampledDpEvent(q, dp_accounting.GaussianDpEvent(z)), rounds)
    return float(accountant.get_epsilon(delta))


def grid() -> Iterator[Case]:
    """A wide grid of cases."""
    yield from itertools.product((0.001, 0.01, 0.1, 0.4, 0.95, 1.0), (0.1, 0.4, 0.7, 1.0, 3.0), (1, 8, 300),
                                 (2e-3, 1e-6))  # fmt: skip


if __name__ == "__main__":
    for case in CASES:
        print(f"    {case}: {theirs(*case):.6g},")
