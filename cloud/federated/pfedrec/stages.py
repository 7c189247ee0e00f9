# SPDX-License-Identifier: Apache-2.0
"""What each stage of ``pocketrec pfedrec`` does.

The test file is opened by `test`, once, and by the paper's sampler, whose leak that is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketrec.cloud.base.arrays import save_arrays
from pocketrec.cloud.base.runs import Run, read_json, write_json
from pocketrec.cloud.data.readers import read_log
from pocketrec.cloud.federated.pfedrec import rounds
from pocketrec.cloud.federated.pfedrec.baselines import baselines
from pocketrec.cloud.federated.pfedrec.central import fit_central
from pocketrec.cloud.federated.pfedrec.config import PFedRecConfig, PFedRecRun, item_rate
from pocketrec.cloud.federated.pfedrec.data import load_split, load_test, save_split, split_log
from pocketrec.cloud.federated.pfedrec.evaluation import Scorer, both_ranks
from pocketrec.cloud.federated.pfedrec.local import rank_alone, train_alone
from pocketrec.cloud.federated.pfedrec.result import METRICS_FILE, make_metrics
from pocketrec.cloud.federated.pfedrec.trainings import (
    HOME,
    folder_of,
    main_trainings,
    sampler_of,
    sweep_trainings,
)
from pocketrec.device.base.errors import ConfigError

RANKS_FILE = f"{HOME}/ranks.npz"


def settings(run: Run) -> PFedRecRun:
    """The configuration of the run.

    Raises:
        ConfigError: the run is another command's.
    """
    if not isinstance(run.config, PFedRecRun):
        raise ConfigError("this is not a configuration of pocketrec pfedrec: load it with load_pfedrec")
    return run.config


def split(run: Run) -> None:
    """Read the log and split it by leave-one-out: ``RUN/pfedrec/data.npz`` and ``test.npz``."""
    config = settings(run)
    with run.progress() as progress:
        log = read_log(config.data, progress=progress)
    clients, test = split_log(log, config.seed)
    save_split(run.folder, clients, test)
    lost = f"; {clients.dropped} users of fewer than 3 events are left out" if clients.dropped else ""
    run.detail(f"{len(clients)} clients, {clients.items} items, {len(clients.train)} training events{lost}")


def train(run: Run) -> None:
    """Federated training with each sampling: ``RUN/pfedrec/SAMPLING``."""
    config = settings(run).pfedrec
    items = load_split(run.folder).items
    run.detail(f"item rate {item_rate(config, items):,.1f} = lr {config.learning_rate:g} x {items} items x eta "
               f"{config.eta:g}")  # fmt: skip
    if config.table == "own":
        run.detail("own tables: only with repeats (docs/pfedrec.md)")
    write_json(run.folder / HOME / "trained.json", _train(run, main_trainings(config)))


def sweep(run: Run) -> None:
    """Federated training with noise on the uploads, and with 8-bit ones."""
    write_json(run.folder / HOME / "swept.json", _train(run, sweep_trainings(settings(run).pfedrec)))


def _train(run: Run, trainings: Mapping[str, tuple[str, PFedRecConfig]]) -> dict[str, Any]:
    """Do some trainings; best validation rounds and figures by name."""
    clients, found = load_split(run.folder), {}
    run.record([], replace=True)
    for name, (sampling, config) in trainings.items():
        sampler = sampler_of(run.folder, clients, sampling, config.negatives)
        folder = folder_of(run.folder, name)
        with run.progress(name) as progress:
            trace = rounds.train(config, clients, sampler, folder, seed=settings(run).seed, progress=progress)
        best = {table: [trace.best_round(table), float(trace.curve[:, place].max())]
                for place, table in enumerate(rounds.JUDGED)}  # fmt: skip
        found[name] = best
        told = ", ".join(f"{table} {value:.4f} in round {number}" for table, (number, value) in best.items())
        run.detail(f"{name}: best validation HR@10 {told}")
        run.record([{"training": name, "round": number, "shared": shared, "own": own}
                    for number, (shared, own) in enumerate(trace.curve.round(6).tolist())])  # fmt: skip
    return found


def alone(run: Run) -> None:
    """Every client alone, with each sampling: ``RUN/pfedrec/SAMPLING-local-only``."""
    config, clients = settings(run), load_split(run.folder)
    found = {}
    for sampling in config.pfedrec.sampling:
        sampler = sampler_of(run.folder, clients, sampling, config.pfedrec.negatives)
        folder = folder_of(run.folder, f"{sampling}, local only")
        with run.progress(f"{sampling}, local only") as progress:
            trained = train_alone(config.pfedrec, clients, sampler, folder, seed=config.seed, progress=progress)
        found[sampling] = {"round": trained.best_round, "validation_hr@10": trained.curve.round(6).tolist()}
        run.detail(f"{sampling}: best validation HR@10 {trained.curve.max():.4f} in round {trained.best_round}")
    write_json(run.folder / HOME / "alone.json", found)


def central(run: Run) -> None:
    """Centralised matrix factorisation: ``RUN/pfedrec/central``."""
    config, clients = settings(run), load_split(run.folder)
    sampler = sampler_of(run.folder, clients, "strict", config.pfedrec.negatives)
    with run.progress() as progress:
        fitted = fit_central(config.pfedrec, clients, sampler, folder_of(run.folder, "central"), seed=config.seed,
                             progress=progress)  # fmt: skip
    run.detail(f"best validation HR@10 {fitted.curve.max():.4f} in epoch {fitted.epoch}")


def test(run: Run) -> None:
    """Open the test, rank every system on it, and write ``RUN/metrics.json``."""
    config, clients, held = settings(run), load_split(run.folder), load_test(run.folder)
    masked = None
    if config.pfedrec.mask_seen:
        masked = clients.seen()
        masked[np.arange(len(clients)), clients.validation] = True
    ranks: dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]] = {}
    chosen: dict[str, int] = {}
    never: dict[str, NDArray[np.bool_]] = {}

    def rank(name: str, scores: Scorer, round_: int | None = None) -> None:
        ranks[name] = both_ranks(scores, held.targets, held.negatives, masked)
        if round_ is not None:
            chosen[name] = round_

    lonely = read_json(run.folder / HOME / "alone.json") if config.pfedrec.local else {}
    for name in main_trainings(config.pfedrec) | sweep_trainings(config.pfedrec):
        trace = rounds.Trace.load(folder_of(run.folder, name) / rounds.CHECKPOINT_FILE)
        for table in rounds.JUDGED:
            state, number = trace.best[table], trace.best_round(table)
            rank(f"{name}/{table}", getattr(state, table), number)
            never[f"{name}/{table}"] = state.latest < 0
        if name not in config.pfedrec.sampling:
            continue
        rank(f"{name}/random table", trace.best["own"].random_user(config.seed), trace.best_round("own"))
        rank(f"{name}/random head", trace.best["shared"].random_head(config.seed), trace.best_round("shared"))
        if name in lonely:
            sampler, number = sampler_of(run.folder, clients, name, config.pfedrec.negatives), lonely[name]["round"]
            system = f"{name}/local only"
            with run.progress(system) as progress:
                ranks[system] = rank_alone(config.pfedrec, clients, sampler, held, masked, number, seed=config.seed,
                                           progress=progress)  # fmt: skip
            chosen[system] = number
    if config.pfedrec.central_epochs:
        sampler = sampler_of(run.folder, clients, "strict", config.pfedrec.negatives)
        fitted = fit_central(config.pfedrec, clients, sampler, folder_of(run.folder, "central"), seed=config.seed)
        rank("central MF", fitted.scores, fitted.epoch)
    with run.progress("baselines") as progress:
        for name, scores in baselines(config, clients, progress).items():
            rank(name, scores)
    save_arrays(run.folder / RANKS_FILE, {f"{name}/{kind}": values for name, both in ranks.items()
                                          for kind, values in zip(("sampled", "full"), both, strict=True)})  # fmt: skip
    sampler = sampler_of(run.folder, clients, config.pfedrec.sampling[0], config.pfedrec.negatives)
    touched = sampler.touched_rows(np.random.default_rng([config.seed, 6]))
    write_json(run.folder / METRICS_FILE, make_metrics(config, clients, ranks, chosen, never, touched))


def report(run: Run) -> None:
    """Write ``RUN/report.html``."""
    from pocketrec.cloud.federated.pfedrec.report import write_report

    write_report(run.folder)
