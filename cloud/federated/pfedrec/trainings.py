# SPDX-License-Identifier: Apache-2.0
"""Which federated trainings a run has: one for each sampling, and those of the sweep, which differ in one value."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from pocketrec.cloud.federated.pfedrec.config import PFedRecConfig
from pocketrec.cloud.federated.pfedrec.data import Split, load_test
from pocketrec.cloud.federated.pfedrec.sampling import Sampler, forbidden_items

HOME = "pfedrec"


def main_trainings(config: PFedRecConfig) -> dict[str, tuple[str, PFedRecConfig]]:
    """Name of the training -> sampling and configuration."""
    return {sampling: (sampling, config) for sampling in config.sampling}


def sweep_trainings(config: PFedRecConfig) -> dict[str, tuple[str, PFedRecConfig]]:
    """The same for the sweep: noise levels, and 8-bit uploads."""
    first = config.sampling[0]
    found = {f"{first}, noise {scale:g}": (first, dataclasses.replace(config, noise=scale))
             for scale in config.noise_sweep}  # fmt: skip
    if config.int8_too:
        found[f"{first}, int8"] = (first, dataclasses.replace(config, bits=8, noise=0.0, noise_sweep=[]))
    return found


def folder_of(run: Path, training: str) -> Path:
    """Where the files of a training lie."""
    return run / HOME / training.replace(", ", "-").replace(" ", "-")


def sampler_of(run: Path, split: Split, sampling: str, negatives: int) -> Sampler:
    """The sampler of a training. That of the paper opens the test file: its leak."""
    test = load_test(run) if sampling == "paper" else None
    return Sampler(split, forbidden_items(split, sampling, test), negatives)
