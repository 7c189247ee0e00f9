# SPDX-License-Identifier: Apache-2.0
"""The rehearsal's choice: how many rounds, at which rate, or none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketrec.cloud.metrics.metrics import gained_harmed, resample_means

Floats = NDArray[np.float64]


def trial(rate: float, rounds: int, before: Floats, after: Floats, samples: int, seed: int) -> dict[str, Any]:
    """What one rate and number of rounds did for the rehearsed users.

    Args:
        rate: the server's rate.
        rounds: their number.
        before: [users] MRR@20 of the model that training began with.
        after: [users] the same after the rounds.
        samples: of the bootstrap.
        seed: of it.

    Returns:
        ``rate``, ``rounds``, ``gain`` (mean, low and high of its 95 % interval), ``chance`` (share of the resampled
        means above 0), ``gained`` and ``harmed`` (users).
    """
    difference = after - before
    drawn = resample_means(difference[None], samples, seed)[:, 0]
    low, high = np.quantile(drawn, [0.025, 0.975])
    gained, harmed = gained_harmed(difference)
    return {
        "rate": rate, "rounds": rounds,
        "gain": {"mean": float(difference.mean()), "low": float(low), "high": float(high)},
        "chance": float((drawn > 0).mean()), "gained": gained, "harmed": harmed,
    }  # fmt: skip


def best(trials: Sequence[Mapping[str, Any]], confidence: float) -> dict[str, Any] | None:
    """Rate and rounds of the largest mean gain, of those whose users gain with that chance; None where there is none.

    Of equal gains, fewer rounds.
    """
    sure = [one for one in trials if one["chance"] >= confidence]
    if not sure:
        return None
    found = max(sure, key=lambda one: (one["gain"]["mean"], -one["rounds"]))
    return {"rate": found["rate"], "rounds": found["rounds"]}


def share_of_gain(
    global_: Floats, federated: Floats, central: Floats, samples: int, seed: int
) -> dict[str, float | None]:
    """(federated - global) / (central - global) in MRR@20, with its 95 % interval over resampled users.

    None where the central model gained nothing; an end of the interval is None where resampled central gains are at or
    below 0, for the ratio then has no bound.
    """
    columns = np.stack([federated - global_, central - global_])
    mean = columns.mean(axis=1)
    drawn = resample_means(columns, samples, seed)  # (samples, 2)
    whole = bool((np.quantile(drawn[:, 1], 0.025) > 0) and (drawn[:, 1] > 0).all())
    ratio = drawn[:, 0] / np.where(drawn[:, 1] > 0, drawn[:, 1], np.nan)
    low, high = np.nanquantile(ratio, [0.025, 0.975]) if np.isfinite(ratio).any() else (np.nan, np.nan)
    return {
        "mean": float(mean[0] / mean[1]) if mean[1] > 0 else None,
        "low": float(low) if whole else None, "high": float(high) if whole else None,
    }  # fmt: skip
