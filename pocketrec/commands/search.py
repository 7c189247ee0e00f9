# SPDX-License-Identifier: Apache-2.0
"""The command ``pocketrec search``: prepare the log, try configurations before the cut-off, write the best."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from pocketrec.cloud.base.runs import Pipeline, Run, read_json
from pocketrec.cloud.config.baselines import BASELINES, label_of
from pocketrec.cloud.config.run import RunConfig
from pocketrec.commands.options import add_run_options
from pocketrec.commands.terminal import LOG_FILE, native_noise_into
from pocketrec.device.base import documents
from pocketrec.device.base.errors import ConfigError
from pocketrec.device.base.files import write_atomic
from pocketrec.device.cli.command import Command
from pocketrec.stages import STAGES
from pocketrec.stages.parts import use_threads

if TYPE_CHECKING:
    from pocketrec.cloud.search.search import Trial

BEST_FILE = "best.toml"
_MEASURES = ("mrr@20", "recall@20", "ndcg@20")


def search(
    config: RunConfig, folder: Path, *, system: str, trials: int, seed: int, terminal: TextIO | None = None
) -> str:
    """Do a search and write ``folder/search.json`` and ``folder/best.toml``.

    Args:
        config: searched around.
        folder: also gets the prepared log.
        system: global, or the name of a baseline.
        trials: in all.
        seed: of the values drawn.
        terminal: where lines and progress go; None = nowhere.

    Returns:
        What to print: a table, and one JSON document as the last line.

    Raises:
        PocketRecError: the log, the space or the folder cannot be used.
    """

    def say(line: str) -> None:
        if terminal:
            print(line, file=terminal, flush=True)

    run = Run(config, folder, say, label="search", terminal=terminal)
    Pipeline(STAGES, run).execute(("prepare",))
    use_threads(run)
    from pocketrec.cloud.config.toml import to_toml
    from pocketrec.cloud.data.prepared import load_cloud
    from pocketrec.cloud.search.search import SEARCH_FILE, best_of
    from pocketrec.cloud.search.search import search as try_all
    from pocketrec.cloud.search.space import with_values

    with run.progress() as progress:
        done = try_all(
            config, load_cloud(folder), folder, system=system, trials=trials, seed=seed, say=say, progress=progress
        )
    best = best_of(done)
    share = f"{config.search.quantile:g} of the events before the cut-off"
    head = (
        f"# Best of {len(done)} trials of a random search (seed {seed}) for {system}: trial {best.trial}, MRR@20 "
        f"{best.score:.4f}\n# and Recall@20 {best.figures['recall@20']:.4f} on what follows the first {share}.\n"
    )
    write_atomic(folder / BEST_FILE, (head + to_toml(with_values(config, best.values), ("search",))).encode("utf-8"))
    return _table(done, best, folder, read_json(folder / SEARCH_FILE)["baselines"])


def _table(trials: Sequence[Trial], best: Trial, folder: Path, baselines: Mapping[str, Mapping[str, float]]) -> str:
    lines = ["", f"{'trial':>5}" + "".join(f"{name:>11}" for name in _MEASURES) + "   epochs  seconds  values"]
    for trial in sorted(trials, key=lambda t: (-t.score, t.trial)):
        figures = "".join(f"{trial.figures[name]:>11.4f}" if trial.figures else f"{'':>11}" for name in _MEASURES)
        epochs = f"{len(trial.curve)}/{trial.planned}"
        values = ", ".join(f"{key} {value}" for key, value in trial.values.items()) or "as it is"
        note = f"  ({trial.ended})" if trial.ended else ""
        lines.append(f"{trial.trial:>5}{figures}   {epochs:>6}  {trial.seconds:>7.1f}  {values}{note}")
    for name, found in baselines.items():
        lines.append(f"{'':>5}" + "".join(f"{found[m]:>11.4f}" for m in _MEASURES) + f"   {'':>15}  {label_of(name)}")
    whole = sum(not trial.ended for trial in trials)
    lines += ["", f"{whole} of {len(trials)} trials ran to their end; the best: {folder / BEST_FILE}"]
    short = {"trial": best.trial, "values": best.values, **{name: best.figures[name] for name in _MEASURES}}
    judged = {name: {measure: found[measure] for measure in _MEASURES} for name, found in baselines.items()}
    told = {"search": str(folder), "trials": len(trials), "whole": whole, "best": short, "baselines": judged}
    lines.append(documents.line(told))
    return "\n".join(lines)


def _search_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Random search around a configuration. Trials learn from the earlier part of the events before the\n"
        "cut-off and are judged on the later part ([search]); what comes after the cut-off is not opened.\n"
        "A search that was interrupted, or is given more trials, resumes where it was. Writes search.json and\n"
        "best.toml, which `pocketrec run` takes; prints a table, and one JSON document as the last line."
    )
    add_run_options(parser)
    parser.add_argument("--trials", type=int, default=20, help="in all, the configuration as it is included")
    parser.add_argument("--seed", type=int, default=1, help="of the values drawn (default: 1)")
    parser.add_argument(
        "--system", choices=("global", *BASELINES), default="global",
        help="what is searched: the global model, or a baseline that it is to be compared with",
    )  # fmt: skip
    parser.epilog = "What is tried: [search.space], see docs/configuration.md"


def _search(options: argparse.Namespace) -> None:
    from pocketrec.cloud.config.load import load_config

    if options.trials < 1:
        raise ConfigError(f"--trials must be at least 1, and is {options.trials}")
    config = load_config(options.config, options.overrides)
    options.out = options.out or Path("runs", f"{Path(options.config).stem}-search")
    with native_noise_into(options.out / LOG_FILE) as terminal:
        text = search(config, options.out, system=options.system, trials=options.trials, seed=options.seed,
                      terminal=None if options.quiet else terminal)  # fmt: skip
    print(text)


COMMANDS = {"search": Command("try configurations on events before the cut-off", _search_arguments, _search)}
