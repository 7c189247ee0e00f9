# SPDX-License-Identifier: Apache-2.0
"""Differential privacy of federated rounds: the accountant, and the noise that the server adds.

Each round takes every device with probability q, independently of the others (Poisson sampling), clips each update to
the norm C and adds Gaussian noise of deviation z C to every entry of the sum. This module counts the epsilon of such
rounds by Renyi differential privacy (RDP). What it protects is one device's whole part in the training: neighbouring
fleets differ by one device, added or removed. It does not know what an update is made of, and it holds for nothing but
Poisson sampling: a fixed number of devices a round, or weights by size, need other bounds.

Sources: Mironov, Talwar and Zhang 2019, "Renyi differential privacy of the sampled Gaussian mechanism" (arXiv
1908.10530), section 3.3, for the RDP of a round; Balle et al. 2020, "Hypothesis testing interpretations and Renyi
differential privacy" (AISTATS), theorem 21, for the step from RDP to epsilon and delta.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from pocketrec.device.base.errors import ConfigError

Floats = NDArray[np.float32]

#: Whole orders: the bound of a round is a finite sum.
WHOLE: Final = (*range(2, 64), 128, 256, 512, 1024)
#: Orders between them, which matter where epsilon is large: the bound is an infinite sum.
BETWEEN: Final = tuple(tenths / 10 for tenths in range(11, 110) if tenths % 10)
_TERMS: Final = 1000  # of an infinite sum, after which an order is left out
_FIRST: Final = 64  # of them, tried first because most sums end there
_SMALL: Final = 30.0  # logarithm of the share of a sum below which its terms end it
#: The result is rounded up by this share, so that errors of rounding cannot put it below the bound.
_UP: Final = 1e-6


@lru_cache(maxsize=4096)
def log_moment(q: float, z: float, order: float) -> float:
    """An upper bound of log A of a round: the logarithm of E[((1 - q) + q p1(x) / p0(x))^order] over x of p0.

    p0 is N(0, z^2) and p1 is N(1, z^2); RDP of the round at that order is this over (order - 1). For whole orders it is
    the finite sum of Mironov et al., section 3.3, and exact; for others the two series there, with the absolute value
    of each binomial coefficient, which can only enlarge them.

    Args:
        q: probability with which a device takes part, 0 < q <= 1.
        z: noise multiplier, > 0.
        order: > 1.

    Returns:
        The bound; infinite where a series has not ended after 1,000 terms, so that the order is left out.
    """
    if q == 1.0:
        return order * (order - 1) / (2 * z * z)
    if not float(order).is_integer():
        short = _between(q, z, order, _FIRST)
        return short if short < math.inf else _between(q, z, order, _TERMS)
    k = np.arange(int(order) + 1)
    return float(np.logaddexp.reduce(
        _log_binomials(order, len(k)) + k * math.log(q) + (order - k) * math.log1p(-q) + (k * k - k) / (2 * z * z)
    ))  # fmt: skip


def _between(q: float, z: float, order: float, terms: int) -> float:
    """`log_moment` of an order that is not whole: the integral up to where both densities agree, and beyond."""
    i = np.arange(terms, dtype=np.float64)
    j = order - i
    middle = z * z * math.log(1 / q - 1) + 0.5
    choose = _log_binomials(order, terms)
    below = choose + i * math.log(q) + j * math.log1p(-q) + (i * i - i) / (2 * z * z) + _log_tail((i - middle) / z)
    above = choose + j * math.log(q) + i * math.log1p(-q) + (j * j - j) / (2 * z * z) + _log_tail((middle - j) / z)
    total = np.logaddexp.accumulate(np.logaddexp(below, above))
    ended = (np.diff(below) < 0) & (np.diff(above) < 0) & (np.maximum(below, above)[1:] < total[1:] - _SMALL)
    return float(total[1 + int(np.argmax(ended))]) if ended.any() else math.inf


def _log_binomials(order: float, number: int) -> NDArray[np.float64]:
    """log |order over k| for k = 0, ..., number - 1."""
    k = np.arange(1, number)
    return np.concatenate([[0.0], np.cumsum(np.log(np.abs(order - k + 1)) - np.log(k))])


def _log_tail(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """log P(N(0, 1) > x); from x = 30 on by the asymptotic series, whose error is below 1e-6 there."""
    near = [math.log(0.5 * math.erfc(value / math.sqrt(2))) for value in np.minimum(x, 30.0)]
    far = np.maximum(x, 30.0)
    series = -far * far / 2 - np.log(far * math.sqrt(2 * math.pi)) + np.log1p(-1 / far**2 + 3 / far**4)
    return np.where(x < 30.0, near, series)


def epsilon(q: float, z: float, rounds: int, delta: float) -> float:
    """Epsilon after a number of rounds, rounded up; infinite without noise, 0 without rounds.

    Args:
        q: probability with which a device takes part in a round, 0 to 1.
        z: noise multiplier: deviation of the noise on the sum, over the norm to which updates are clipped.
        rounds: rounds done; of a void one nothing is published.
        delta: probability with which epsilon may not hold; below 1 / number of devices.

    Raises:
        ConfigError: a value is out of its range.
    """
    _check(q, z, rounds, delta)
    if rounds == 0 or q == 0.0:
        return 0.0
    if z == 0.0:
        return math.inf
    best = min(WHOLE, key=lambda order: _epsilon_of(q, z, rounds, delta, order))
    orders = (best, *BETWEEN) if best <= BETWEEN[-1] + 1 else (best,)
    return max(0.0, min(_epsilon_of(q, z, rounds, delta, order) for order in orders)) * (1 + _UP)


def usual_delta(devices: int) -> float:
    """1 / devices^1.1, which is below 1 / devices as delta has to be; `devices` is the size of the fleet."""
    return 1.0 / max(2, devices) ** 1.1


def rounds_within(limit: float, q: float, z: float, delta: float) -> int:
    """The largest number of rounds whose epsilon is at most `limit`; 0 where the first is too much already.

    Args:
        limit: epsilon that must not be passed, > 0.
        q, z, delta: as `epsilon` takes them.
    """
    if z == 0.0 or epsilon(q, z, 1, delta) > limit:
        return 0
    low, high = 1, 2
    while epsilon(q, z, high, delta) <= limit:
        if high > 1 << 30:  # q = 0 costs nothing
            return high
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if epsilon(q, z, middle, delta) <= limit else (low, middle)
    return low


@dataclass(frozen=True)
class Ledger:
    """What a fleet has spent so far."""

    q: float
    """Probability with which a device takes part in a round."""
    noise: float
    """Noise multiplier z."""
    delta: float
    """Delta."""
    limit: float = 0.0
    """Epsilon that must not be passed; 0 = none."""
    rounds: int = 0
    """Rounds done."""

    def __post_init__(self) -> None:
        _check(self.q, self.noise, self.rounds, self.delta)
        if self.limit and not self.noise:
            raise ConfigError(f"federate.epsilon {self.limit:g} without noise cannot be kept: set federate.noise too")

    @property
    def spent(self) -> float:
        """Epsilon of the rounds so far."""
        return epsilon(self.q, self.noise, self.rounds, self.delta)

    def refusal(self) -> str:
        """Why there may be no further round, in one line; "" where there may."""
        after = epsilon(self.q, self.noise, self.rounds + 1, self.delta)
        if not self.limit or after <= self.limit:
            return ""
        return (f"round {self.rounds + 1} would bring epsilon to {after:.2f}, above federate.epsilon {self.limit:g}: "
                "more noise or a smaller share of the devices allow more rounds")  # fmt: skip

    def facts(self) -> dict[str, float]:
        """Plain values for metrics.json and the model card; epsilon is absent where it is infinite."""
        spent = self.spent
        told = {"rounds": float(self.rounds), "q": self.q, "noise": self.noise, "delta": self.delta}
        return {**told, "epsilon": spent} if math.isfinite(spent) else told


def add_noise(total: Mapping[str, NDArray[Any]], deviation: float, seed: tuple[int, ...]) -> dict[str, Floats]:
    """A sum of updates with Gaussian noise on every entry, in the order of the names.

    Args:
        total: name -> array, the sum of clipped updates.
        deviation: z times the norm to which each update was clipped.
        seed: seed of the fleet and number of the round: the same numbers give the same noise, so that a resumed run
            ends as one that was not stopped. Who knows the seed can take the noise off again: it must be secret.

    NumPy's generator is no cryptographic one, and its floating-point noise is not proof against attacks on the lowest
    bits (Mironov 2012); docs/federated-privacy.md says so.
    """
    rng = np.random.default_rng([*seed, 0x6E6F6973])
    return {name: (total[name] + rng.normal(0.0, deviation, total[name].shape)).astype(np.float32)
            for name in sorted(total)}  # fmt: skip


def _epsilon_of(q: float, z: float, rounds: int, delta: float, order: float) -> float:
    """Balle et al., theorem 21; 0 where delta alone covers it, by the inequality of Bretagnolle and Huber."""
    rdp = rounds * log_moment(q, z, order) / (order - 1)
    if delta * delta > -math.expm1(-rdp):
        return 0.0
    return rdp + math.log1p(-1 / order) - math.log(delta * order) / (order - 1)


def _check(q: float, z: float, rounds: int, delta: float) -> None:
    if not 0 <= q <= 1:
        raise ConfigError(f"a share of {q:g} of the devices is none: it lies between 0 and 1")
    if not (math.isfinite(z) and z >= 0):
        raise ConfigError(f"a noise multiplier of {z:g} is none: give 0 for no noise, or a number such as 1.0")
    if rounds < 0:
        raise ConfigError(f"{rounds} rounds cannot be counted: the number is 0 or more")
    if not 0 < delta < 1:
        raise ConfigError(f"delta {delta:g} is no probability between 0 and 1: leave it at 0 for 1 / devices^1.1")
