# SPDX-License-Identifier: Apache-2.0
"""Table ``[refit]``: the recipe that was evaluated, trained again on the whole log."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class RefitConfig:
    """After the evaluation the same recipe is trained on the whole log, for devices: ``RUN/refit``."""

    enabled: bool = False
    """Whether to train again; `pocketrec publish RUN` then takes the model of the whole log. Costs another training and
    export."""
