# SPDX-License-Identifier: Apache-2.0
"""The command ``pocketrec transfer``: its arguments, its stages in their order, and what it prints."""

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
    from pocketrec.cloud.config.transfer import TransferConfig

_HELP = "one backbone, tuned for tasks of users that the task has not seen; patches beside it"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.description = (
        "Pretrain a backbone on source events, tune it for each task by several methods (all of it, its head, patches\n"
        "beside it), choose rates by validation users, judge test users once, and write the backbone as a bundle with\n"
        "a patch for each task. Every user is in one part only. Stages that are up to date are skipped; a run that\n"
        "was interrupted continues. Writes RUN/metrics.json, RUN/report.html, RUN/bundle, RUN/packed, RUN/transfer;\n"
        "prints a table, and one JSON document as the last line."
    )
    add_config_options(parser, "configs/taobao-transfer.toml", "transfer.epochs=5")
    add_quiet(parser)
    parser.epilog = "Tasks, methods and all keys of [transfer]: docs/transfer.md and docs/configuration.md"


def run(options: argparse.Namespace) -> None:
    """Do the stages and print the result."""
    from pocketrec.cloud.config.transfer import load_transfer
    from pocketrec.cloud.transfer.result import results

    config = load_transfer(options.config, options.overrides)
    run_own_stages(options, config, stages(), results)


def stages() -> tuple[Stage, ...]:
    """The stages in their order, with all that each depends on."""
    from pocketrec.cloud.base.runs import METRICS_FILE, Stage

    home = "transfer"
    return (
        Stage(
            "transfer-split", "read the source and the tasks, split their users",
            needs=(), work=_work("split"), outside=_files,
            depends=lambda c: [c.seed, key_values(c.data), c.model.window,
                               _part(c, "source", "split", "task", "windows", "files")],
            leaves=(f"{home}/items.txt", f"{home}/source.npz"), clears=(f"{home}/*",),
        ),
        Stage(
            "transfer-pretrain", "train the backbone on the source",
            needs=("transfer-split",), work=_work("pretrain"),
            depends=lambda c: [c.seed, key_values(c.model), key_values(c.train)],
            leaves=(f"{home}/backbone.keras",), clears=(f"{home}/backbone.*",),
        ),
        Stage(
            "transfer-tune", "each task by each method and rate; validation users choose",
            needs=("transfer-pretrain",), work=_work("tune"),
            depends=lambda c: [c.seed, _export(c), _part(c, "methods", "loss", "sampler", "rho", "rates", "epochs",
                                                         "patience", "batch", "dropout", "head_rate", "users")],
            leaves=(f"{home}/tuned.json",), clears=(f"{home}/*/trials",),
        ),
        Stage(
            "transfer-judge", "open the test rows, rank every system on them",
            needs=("transfer-tune",), work=_work("judge"),
            depends=lambda c: [_part(c, "repeats"), key_values(c.baselines.knn), c.evaluate.ties, c.evaluate.bootstrap],
            leaves=(METRICS_FILE, f"{home}/ranks.npz"),
        ),
        Stage(
            "transfer-bundle", "write the backbone as a bundle of the patches' way",
            needs=("transfer-pretrain",), work=_bundles, applies=lambda c: bool(_transfer(c).patches),
            depends=lambda c: [c.seed, key_values(c.export), key_values(c.lean), _part(c, "patches", "task")],
            leaves=("bundle", "packed", f"{home}/bundles.json"), clears=("lean",),
        ),
        Stage(
            "transfer-patches", "write the tuned patches",
            needs=("transfer-tune", "transfer-bundle"), work=_work("patches"),
            depends=lambda c: _part(c, "patches", "repeats", "personal_rates", "personal_passes"),
            leaves=(f"{home}/patches.json",), clears=(f"{home}/*/*.tensors", f"{home}/*/rehearsal.jsonl", "*/patches"),
        ),
        Stage(
            "transfer-report", "write report.html", needs=("transfer-judge", "transfer-patches"),
            depends=lambda c: None, work=_work("report"), leaves=("report.html",),
        ),
    )  # fmt: skip


def _work(name: str) -> Callable[[Run], None]:
    """The function of that name in `pocketrec.cloud.transfer.stages`, imported when it is called."""

    def work(run: Run) -> None:
        from pocketrec.stages.parts import use_threads

        use_threads(run)
        from pocketrec.cloud.transfer import stages

        function: Callable[[Run], None] = getattr(stages, name)
        function(run)

    return work


def _bundles(run: Run) -> None:
    """The work of the stage that writes bundles."""
    from pocketrec.stages.parts import use_threads
    from pocketrec.stages.transfer_bundle import write_bundles

    use_threads(run)
    write_bundles(run)


def _transfer(config: RunConfig) -> TransferConfig:
    from pocketrec.cloud.config.transfer import TransferRun

    assert isinstance(config, TransferRun)  # what `run` has loaded
    return config.transfer


def _part(config: RunConfig, *names: str) -> dict[str, Any]:
    """Some keys of [transfer] as plain values."""
    values = key_values(_transfer(config))
    values["task"] = {name: key_values(task) for name, task in _transfer(config).task.items()}
    return {name: values[name] for name in names}


def _export(config: RunConfig) -> list[Any]:
    """What shapes adapters."""
    export = config.export
    return [export.adapter, export.adapter_activation, export.cardinality, export.train_norm]


def _files(config: RunConfig) -> list[Any]:
    """Sizes and times of change of all files that are read."""
    from pocketrec.cloud.transfer.inputs import identities

    return identities(config)


COMMANDS = {"transfer": Command(_HELP, arguments, run)}
