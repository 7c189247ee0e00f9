# SPDX-License-Identifier: Apache-2.0
"""Demands that a run has to meet, for continuous integration: ``--fail-under`` and ``--fail-below``.

What devices recommend is judged: ``personal``; on a log without personal training ``neighbours`` or ``global``. A
demand that names what is not measured is refused before the training; one that is not met ends the command with
status `FAILED`.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from pocketrec.device.base.errors import ConfigError, DataError

if TYPE_CHECKING:
    from pocketrec.cloud.config.run import RunConfig

#: Exit status of a run that is done and does not meet what was asked of it.
FAILED: Final = 3


def add_gate_options(parser: argparse.ArgumentParser) -> None:
    """--fail-under and --fail-below."""
    parser.add_argument(
        "--fail-under", metavar="MEASURE=VALUE", action="append", default=[],
        help="end with 3 where what devices recommend has less, such as mrr@20=0.10; may be repeated",
    )  # fmt: skip
    parser.add_argument(
        "--fail-below", metavar="SYSTEM", action="append", default=[],
        help="end with 3 where a baseline, such as item_knn, is better by more than chance; may be repeated",
    )


@dataclass(frozen=True)
class Gate:
    """What was asked of a run."""

    under: Mapping[str, float]
    """Measure -> its least value."""
    below: tuple[str, ...]
    """Baselines that may not be better by more than chance (95 % interval of MRR@20, paired)."""

    @staticmethod
    def of(options: argparse.Namespace, config: RunConfig) -> Gate | None:
        """The demands of a command line; None where there are none.

        Raises:
            ConfigError: a measure or system is not measured by this run, or a value is no number.
        """
        named, below = getattr(options, "fail_under", []), tuple(getattr(options, "fail_below", []))
        if not named and not below:
            return None
        from pocketrec.cloud.evaluation.verdict import REFERENCES
        from pocketrec.cloud.metrics.metrics import NAMES

        under = {}
        for demand in named:
            measure, _, text = demand.partition("=")
            if measure not in NAMES:
                raise ConfigError(f"--fail-under {demand}: no measure {measure}: choose one of {', '.join(NAMES)}")
            under[measure] = _number(demand, text)
        judged = [name for name in REFERENCES if name in config.baselines.names()]
        if not config.baselines.knn.neighbours and "item_knn" in judged:
            judged.remove("item_knn")
        for system in below:
            if system not in judged:
                raise ConfigError(
                    f"--fail-below {system}: this run compares with {', '.join(judged) or 'no such baseline'}: "
                    "name one of them, or let [baselines] judge more"
                )
        return Gate(under, below)

    def failed(self, metrics: Mapping[str, Any]) -> list[str]:
        """The demands that a finished run does not meet, in words.

        Raises:
            DataError: the run was evaluated before there were verdicts.
        """
        if "verdict" not in metrics:
            raise DataError("this run was evaluated before there were verdicts: run `pocketrec fleet --force`")
        found = metrics["verdict"]
        ours = metrics[found["system"]]
        lines = [f"{measure} of what devices recommend is {ours[measure]:.4f}, less than {least:g}"
                 for measure, least in self.under.items() if ours[measure] < least]  # fmt: skip
        for system in self.below:
            against = found["against"].get(system)
            if against is None:  # switched off by what was found in the log
                lines.append(f"{system} was not measured")
            elif against["outcome"] == "behind":
                lines.append(f"{system} is better than what devices recommend, by {-against['mean']:.4f} of MRR@20, "
                             "which is more than chance")  # fmt: skip
        return lines


def _number(demand: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ConfigError(f"--fail-under {demand}: write it as MEASURE=VALUE, such as mrr@20=0.10")
    return value
