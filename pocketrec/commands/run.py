# SPDX-License-Identifier: Apache-2.0
"""The subcommand run, and one for each stage of a run."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from pocketrec.commands.automatic import configure, is_log
from pocketrec.commands.gate import FAILED, Gate, add_gate_options
from pocketrec.commands.options import add_run_options, add_warm_start, named_resources
from pocketrec.commands.terminal import LOG_FILE, native_noise_into
from pocketrec.device.base.errors import ConfigError
from pocketrec.device.cli.command import Command
from pocketrec.stages import STAGES, TARGETS
from pocketrec.stages.train import TRAININGS
from pocketrec.stages.warm import check_warm_start

if TYPE_CHECKING:
    from pocketrec.cloud.base.runs import Run, Stage


def _run_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Of a log (CSV, TSV, Parquet, ...): read off what it is, try a few presets before the cut-off, write what\n"
        "was found as RUN.toml, and go on with it. Of a configuration: do every stage of a run: prepare, train,\n"
        "baselines, candidates, rehearse, export, fleet, report.\n"
        "Stages that are up to date are skipped; an interrupted run resumes where it was; a changed\n"
        "configuration does the stages again that depend on it."
    )
    add_run_options(parser, "configs/demo.toml, or a log such as clicks.csv")
    add_warm_start(parser)
    add_gate_options(parser)


def _stage_arguments(stage: Stage) -> Callable[[argparse.ArgumentParser], None]:
    def add(parser: argparse.ArgumentParser) -> None:
        does = f"{stage.does[0].upper()}{stage.does[1:]}."
        parser.description = f"{does}\nStages that it needs and that are not up to date are done first."
        add_run_options(parser)
        add_warm_start(parser)
        parser.add_argument("--force", action="store_true", help="do the stage again even if it is up to date")
        if stage.name == "fleet":
            add_gate_options(parser)
        if stage.name == "train":
            parser.add_argument("--workers", metavar="HOST:PORT,...", help="train by several processes: all of them")
            parser.add_argument("--index", metavar="I", type=int, help="which of --workers this is; 0 writes the model")

    return add


def _run_stages(options: argparse.Namespace) -> int:
    from pocketrec.cloud.base.runs import METRICS_FILE, Pipeline, Run, read_json
    from pocketrec.cloud.config.load import load_config
    from pocketrec.cloud.config.run import RunConfig
    from pocketrec.commands.results import results

    started = time.monotonic()
    if options.command == "run" and is_log(options.config):
        Gate.of(options, RunConfig())  # what cannot be asked for is refused before the log is read
        options.config = str(configure(options))
    config = load_config(options.config, [*options.overrides, *named_resources(options)])
    if not config.model.tied and options.command not in ("prepare", "train", "baselines", "candidates"):
        raise ConfigError("a device holds one item table: set model.tied = true (train alone can do without)")
    gate = Gate.of(options, config)
    options.out = options.out or Path("runs", Path(options.config).stem)
    folder = options.out
    if not (folder / "train" / "model.keras").exists():  # an earlier run that was used may be gone since
        check_warm_start(config, folder)
    if not (folder / "candidates" / "candidates.npz").exists():
        config.candidates.outside()  # a file that is not there is reported now, and not after the training
    targets = None if options.command == "run" else TARGETS[options.command]
    with native_noise_into(folder / LOG_FILE) as terminal:

        def say(line: str) -> None:
            if not options.quiet:
                print(line, file=terminal, flush=True)

        run = Run(config, folder, say, terminal=None if options.quiet else terminal)
        with _together(options, run) as run:
            if run.workers and not run.workers.chief:
                from pocketrec.stages.follow import follow

                follow(run)
            else:
                wanted = TRAININGS if run.workers else targets
                Pipeline(STAGES, run).execute(wanted, force=getattr(options, "force", False))
        say(f"done in {time.monotonic() - started:.1f} s")
    if options.command not in ("run", "fleet"):
        return 0
    failed = None if gate is None else gate.failed(read_json(folder / METRICS_FILE))
    print(results(folder, failed))
    for line in failed or []:
        print(f"failed: {line}", file=sys.stderr)
    return FAILED if failed else 0


@contextlib.contextmanager
def _together(options: argparse.Namespace, run: Run) -> Iterator[Run]:
    """The run with its workers, where it is a training by several; the chief releases the other workers at the end."""
    named = options.command == "train" and (options.workers is not None or options.index is not None)
    if not named and (options.command != "train" or "TF_CONFIG" not in os.environ):
        yield run
        return
    from pocketrec.stages.follow import DONE, FAILED
    from pocketrec.stages.parts import use_threads

    use_threads(run)
    from pocketrec.cloud.training.distributed import DisagreementError, announce, connect, lost_is_one_line

    run.say("waiting for all workers")
    workers = connect(options.workers, options.index)
    said: int | None = FAILED
    try:
        yield dataclasses.replace(run, workers=workers)
        said = DONE
    except DisagreementError:
        said = None
        raise
    finally:
        if workers and workers.chief and said is not None:
            with lost_is_one_line() if said == DONE else contextlib.suppress(Exception):
                announce(workers, said)


#: One for each stage that has a subcommand; the stages' modules are light.
STAGE_COMMANDS = {
    stage.name: Command(stage.help, _stage_arguments(stage), _run_stages) for stage in STAGES if stage.help
}
COMMANDS = {
    "run": Command("do everything: from a log to a bundle, an evaluation and a report", _run_arguments, _run_stages),
    **STAGE_COMMANDS,
}
