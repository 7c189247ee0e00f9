# SPDX-License-Identifier: Apache-2.0
"""The command ``pocketrec pfedrec``: its arguments, its stages in their order, and what it prints."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pocketrec.cloud.config.section import key_values
from pocketrec.commands.options import add_config_options, add_quiet
from pocketrec.commands.own_stages import run_own_stages
from pocketrec.device.cli.command import Command

if TYPE_CHECKING:
    from pocketrec.cloud.base.runs import Run, Stage
    from pocketrec.cloud.config.run import RunConfig

_HELP = "PFedRec: federated recommendation, as its paper has it and as it should be judged"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.description = (
        "Train PFedRec (IJCAI 2023) on a log with leave-one-out by time: federated rounds with honest and with the\n"
        "paper's negatives, clients alone, and centralised baselines, in one table of sampled and full ranking.\n"
        "Stages that are up to date are skipped; an interrupted run continues at its latest checkpoint. Writes\n"
        "RUN/metrics.json and RUN/report.html; prints a table, and one JSON document as the last line."
    )
    add_config_options(parser, "configs/pfedrec-ml-100k.toml", "pfedrec.rounds=20")
    add_quiet(parser)
    parser.epilog = "All keys of [pfedrec] and what they mean: docs/pfedrec.md"


def run(options: argparse.Namespace) -> None:
    """Do the stages and print the result."""
    from pocketrec.cloud.federated.pfedrec.config import load_pfedrec
    from pocketrec.cloud.federated.pfedrec.result import results

    config = load_pfedrec(options.config, options.overrides)
    run_own_stages(options, config, stages(), results)


def stages() -> tuple[Stage, ...]:
    """The stages in their order, with all that each depends on."""
    from pocketrec.cloud.base.runs import METRICS_FILE, Stage
    from pocketrec.stages.parts import unusual
    from pocketrec.stages.prepare import log_identity

    home = "pfedrec"
    return (
        Stage(
            "pfedrec-split", "read the log, hold the last two events of each user out",
            needs=(), depends=lambda c: [c.seed, key_values(c.data), log_identity(c)], work=_work("split"),
            leaves=(f"{home}/data.npz", f"{home}/test.npz"),
        ),
        Stage(
            "pfedrec-train", "federated rounds, for each kind of negatives",
            needs=("pfedrec-split",), depends=lambda c: [c.seed, _training(c)], work=_work("train"),
            leaves=(f"{home}/trained.json",), clears=(f"{home}/strict", f"{home}/paper"),
        ),
        Stage(
            "pfedrec-sweep", "the same with noise, and with 8-bit uploads",
            needs=("pfedrec-split",), depends=lambda c: [c.seed, _training(c), _sweep(c)], work=_work("sweep"),
            leaves=(f"{home}/swept.json",), clears=(f"{home}/*-noise-*", f"{home}/*-int8"),
            applies=lambda c: bool(_pfedrec(c).noise_sweep or _pfedrec(c).int8_too),
        ),
        Stage(
            "pfedrec-alone", "every client alone",
            needs=("pfedrec-split",), depends=lambda c: [c.seed, _training(c)], work=_work("alone"),
            leaves=(f"{home}/alone.json",), clears=(f"{home}/*-local-only",),
            applies=lambda c: _pfedrec(c).local,
        ),
        Stage(
            "pfedrec-mf", "centralised matrix factorisation",
            needs=("pfedrec-split",),
            depends=lambda c: [c.seed, _pfedrec(c).central_epochs, _pfedrec(c).central_learning_rate,
                               _pfedrec(c).latent, _pfedrec(c).negatives],
            work=_work("central"), leaves=(f"{home}/central/checkpoint.npz",), clears=(f"{home}/central",),
            applies=lambda c: _pfedrec(c).central_epochs > 0,
        ),
        Stage(
            "pfedrec-test", "open the test, rank every system on it",
            needs=("pfedrec-split", "pfedrec-train", "pfedrec-sweep", "pfedrec-alone", "pfedrec-mf"),
            depends=lambda c: [c.seed, _shaping(c), key_values(c.candidates), key_values(c.baselines.knn),
                               c.evaluate.bootstrap, *unusual(c.baselines.beside_knn)],
            work=_work("test"), leaves=(METRICS_FILE, f"{home}/ranks.npz"),
        ),
        Stage(
            "pfedrec-report", "write report.html", needs=("pfedrec-test",), depends=lambda c: None,
            work=_work("report"), leaves=("report.html",),
        ),
    )  # fmt: skip


def _work(name: str) -> Callable[[Run], None]:
    """The function of that name in `pocketrec.cloud.federated.pfedrec.stages`, imported when it is called."""

    def work(run: Run) -> None:
        from pocketrec.cloud.federated.pfedrec import stages

        function: Callable[[Run], None] = getattr(stages, name)
        function(run)

    return work


def _pfedrec(config: RunConfig) -> Any:
    from pocketrec.cloud.federated.pfedrec.config import PFedRecRun

    return config.pfedrec if isinstance(config, PFedRecRun) else None


_BESIDES = ("table", "noise_sweep", "int8_too", "local", "mask_seen", "central_epochs", "central_learning_rate",
            "checkpoint")  # fmt: skip


def _training(config: RunConfig) -> dict[str, Any]:
    """What shapes a training."""
    return {name: value for name, value in key_values(_pfedrec(config)).items() if name not in _BESIDES}


def _shaping(config: RunConfig) -> dict[str, Any]:
    """What shapes the result."""
    return {name: value for name, value in key_values(_pfedrec(config)).items() if name != "checkpoint"}


def _sweep(config: RunConfig) -> list[Any]:
    return [_pfedrec(config).noise_sweep, _pfedrec(config).int8_too]


COMMANDS = {"pfedrec": Command(_HELP, arguments, run)}
