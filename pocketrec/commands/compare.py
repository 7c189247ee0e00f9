# SPDX-License-Identifier: Apache-2.0
"""The command ``pocketrec compare``: every way to personalise with every optimiser, over the same users, in one ledger.

Each contender is rehearsed separately before the cut-off, so that it comes with the recipe that suits it, or with the
finding that it does not help. It is exported, checked by the gate and measured, and serves the fleet's users as a
bundle's model does. The stages stand after those of a run, in the same folder: what `pocketrec run` has made is used.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import tempfile
from pathlib import Path
from typing import Any, TextIO

from pocketrec.cloud.base.runs import Pipeline, Run, Stage, read_json, write_json
from pocketrec.cloud.config.compare import CompareConfig
from pocketrec.cloud.config.run import RunConfig
from pocketrec.commands.options import add_run_options, named_resources
from pocketrec.commands.terminal import LOG_FILE, native_noise_into
from pocketrec.device.base import documents
from pocketrec.device.base.errors import ConfigError
from pocketrec.device.base.files import write_atomic
from pocketrec.device.cli.command import Command
from pocketrec.stages import STAGES
from pocketrec.stages.baselines import FOLDER as FITTED
from pocketrec.stages.bundles import bundle_content, run_facts
from pocketrec.stages.federate import FEDERATE_STAGES, FEDERATED
from pocketrec.stages.models import export_model, variant_of
from pocketrec.stages.parts import plain, unusual, use_threads
from pocketrec.stages.recipes import has_rehearsal, in_words, rehearsal_parts

FOLDER = "compare"
LEDGER_FILE = f"{FOLDER}/compare.json"
PAGE_FILE = f"{FOLDER}/compare.html"
REPEATS = "repeats"  # the contender that trains nothing


def compare(config: RunConfig, folder: Path, terminal: TextIO | None = None) -> str:
    """Bring the ledger in ``folder/compare`` up to date.

    Args:
        config: of the run.
        folder: the run directory.
        terminal: where lines and progress go; None = nowhere.

    Returns:
        What to print: a table, and one JSON document as the last line.

    Raises:
        PocketRecError: the log has no personal training, or what a stage raises.
    """
    if not has_rehearsal(config):
        raise ConfigError("compare needs a rehearsal: set rehearse.enabled = true, and split.kind to time or per_user")

    def say(line: str) -> None:
        if terminal:
            print(line, file=terminal, flush=True)

    run = Run(config, folder, say, terminal=terminal)
    Pipeline((*STAGES, *FEDERATE_STAGES, *COMPARE_STAGES), run).execute([stage.name for stage in COMPARE_STAGES])
    from pocketrec.cloud.report.ledger import as_text

    ledger = read_json(folder / LEDGER_FILE)
    short = {"compare": str(folder / LEDGER_FILE), "page": str(folder / PAGE_FILE), "rows": ledger["rows"],
             "baselines": ledger.get("baselines", []), "shared": ledger.get("shared", [])}  # fmt: skip
    return f"{as_text(ledger)}\n\npage    {folder / PAGE_FILE}\n{documents.line(short)}"


def contenders(config: RunConfig) -> dict[str, tuple[str, str]]:
    """Name -> way and optimiser."""
    table = config.compare
    return {f"{way}-{optimizer}": (way, optimizer) for way in table.ways for optimizer in table.optimizers}


def _rehearse(run: Run) -> None:
    """The recipe of each contender, and of the bonus for repeats alone: ``RUN/compare/rehearse/NAME``."""
    use_threads(run)
    from pocketrec.cloud.data.clock import clock_of
    from pocketrec.cloud.data.prepared import load_cloud
    from pocketrec.cloud.rehearsal.fitting import fitted_bonus
    from pocketrec.cloud.rehearsal.rehearse import RehearseJob, grid, rehearse

    config = run.config
    earliest, later, learn = rehearsal_parts(config, load_cloud(run.folder).before)
    found, fitted = {}, None
    for place, (name, (way, optimizer)) in enumerate(contenders(config).items()):
        model = run.path(FOLDER, "early", name)
        if not (model / "model.tflite").exists():
            export_model(run, "train/early", model, way, optimizer, gate=False)
        variants = {(way, optimizer): variant_of(run, model)}
        rates = config.compare.learning_rates[optimizer]
        table = dataclasses.replace(config.rehearse, ways=[way], optimizers=[optimizer], learning_rates=rates)
        if not place:
            job = RehearseJob(earliest, later, learn, variants, table, config.evaluate, seed=config.seed)
            home = run.path(FOLDER, "rehearse", REPEATS, "x").parent
            with run.progress() as progress:
                fitted = fitted_bonus(job, home, resources=config.resources, progress=progress)
        trials = grid(table, config.evaluate.mask_seen, clock_of(earliest).periods, fitted=fitted)
        chosen = {name: [trial for trial in trials if trial.passes]}
        if not place:
            chosen = {REPEATS: [trial for trial in trials if not trial.passes], **chosen}
        for key, tried in chosen.items():
            if not tried:
                continue
            job = RehearseJob(earliest, later, learn, variants, table, config.evaluate, tried, config.seed)
            home = run.path(FOLDER, "rehearse", key, "x").parent
            with run.progress() as progress:
                found[key] = rehearse(job, home, resources=config.resources, progress=progress)
            run.detail(f"{key}: {in_words(found[key])}")
    write_json(run.folder / FOLDER / "recipes.json", found)


def _export(run: Run) -> None:
    """File, bundle and costs of each contender: ``RUN/compare/ways/NAME``."""
    use_threads(run)
    recipes, costs = read_json(run.folder / FOLDER / "recipes.json"), {}
    for name, (way, optimizer) in contenders(run.config).items():
        folder = run.path(FOLDER, "ways", name)
        if not (folder / "facts.json").exists():
            export_model(run, "train/model", folder, way, optimizer, gate=True)
        if not (folder / "costs.json").exists():
            write_json(folder / "costs.json", _costs(run, folder, recipes[name]))
        costs[name] = read_json(folder / "costs.json")
        figures = costs[name]
        run.detail(f"{name}: {figures['parameters']:,} trained parameters, a step in {figures['train_ms_p50']:.2f} ms")
    write_json(run.folder / FOLDER / "costs.json", costs)


def _costs(run: Run, folder: Path, recipe: dict[str, Any]) -> dict[str, Any]:
    """What a contender costs a device: bytes, latency and memory, measured on its bundle."""
    import numpy as np

    from pocketrec.cloud.fleet.bench import device_figures
    from pocketrec.device.state.file import save_state
    from pocketrec.device.state.personal_state import PersonalState
    from pocketrec.export.bundle.from_export import publish

    content, about = bundle_content(run, recipe), run_facts(run)
    manifest = publish(folder, folder / "bundle", content, about)
    with tempfile.TemporaryDirectory() as temporary:
        packed = publish(folder, Path(temporary) / "packed", content, about, packed=True)
        state = Path(temporary) / "state"
        tensors = [*manifest.tensors["trainable"], *manifest.tensors["slots"]]
        weights = {spec["name"]: np.zeros(spec["shape"], np.float32) for spec in tensors}
        nothing = np.zeros(0)
        save_state(state, PersonalState("u", nothing, nothing, weights), manifest)
        state_bytes = state.stat().st_size
    shards = [entry.bytes for name, entry in packed.files.items() if name.startswith("candidates/")]
    others = sum(entry.bytes for name, entry in packed.files.items() if not name.startswith("candidates/"))
    return {
        "parameters": sum(math.prod(spec["shape"]) for spec in manifest.tensors["trainable"]),
        "state_bytes": state_bytes,
        "bytes_down": round(others + sum(shards) / max(1, len(shards))),
        "bytes_up": 0,  # a device asks for files by name and sends nothing else (tests/device/delivery/test_pull.py)
        "model_bytes": manifest.files["model.tflite"].bytes,
        **device_figures(folder / "bundle", run.config.resources.runtime),
    }


def _fleet(run: Run) -> None:
    """Serve the users by each contender, and write the ledger."""
    from pocketrec.cloud.data.prepared import load_cloud, load_devices, load_summary
    from pocketrec.cloud.evaluation.evaluate import fleet_metrics, read_users
    from pocketrec.cloud.fleet.fleet import System, device_users, run_fleet
    from pocketrec.cloud.report.ledger import CHARTS, ledger, standalone, write_page
    from pocketrec.cloud.report.shared import shared_rows

    config, home = run.config, run.folder / FOLDER
    recipes, costs = read_json(home / "recipes.json"), read_json(home / "costs.json")
    data, devices = load_cloud(run.folder), load_devices(run.folder)
    users, left_out = device_users(
        data.before, devices.after, devices.learn, limit=config.evaluate.users, seed=config.seed
    )
    files = {name: (home / "ways" / name / "model.tflite", home / "ways" / name / "item_embeddings.npy")
             for name in costs}  # fmt: skip
    first = next(iter(files.values()))
    systems = [System("global", *first, ranker=config.ranker.first)]
    systems += [System(name, *files.get(name, first), recipe=recipe, ranker=config.ranker.first)
                for name, recipe in recipes.items()]  # fmt: skip
    with run.progress() as progress:
        run_fleet(
            users, systems, home / "fleet", evaluate=config.evaluate, baselines=run.folder / FITTED, left_out=left_out,
            resources=config.resources, progress=progress,
        )  # fmt: skip
    metrics = fleet_metrics(home / "fleet", evaluate=config.evaluate, seed=config.seed, data=load_summary(run.folder))
    rehearsals = {name: read_json(home / "rehearse" / name / "rehearsal.json") for name in recipes}
    words = {name: in_words(recipe) if recipe["personalise"] else "none" for name, recipe in recipes.items()}
    named = {REPEATS: ("none", "none"), **contenders(config)}
    found = ledger(metrics, read_users(home / "fleet"), named, rehearsals, words, costs)
    if config.compare.federated:
        found["shared"] = shared_rows(read_json(run.folder / FEDERATED))
    found["data"]["set"] = config.data.set or Path(config.data.path).name
    for name, chart in CHARTS.items():
        write_atomic(home / f"{name}.svg", standalone(chart(found)).encode("utf-8"))
    write_atomic(run.folder / PAGE_FILE, write_page(found).encode("utf-8"))
    write_json(run.folder / LEDGER_FILE, found)


def _ways(config: RunConfig) -> CompareConfig:
    """What shapes the ways of the ledger: not whether it has rows of the shared model."""
    return dataclasses.replace(config.compare, federated=False)


COMPARE_STAGES: tuple[Stage, ...] = (
    Stage(
        "compare-rehearse",
        "rehearse every way separately",
        needs=("prepare", "train-early"),
        depends=lambda c: [
            c.seed, *plain(_ways(c), c.rehearse, c.export), c.candidates.k, c.evaluate.mask_seen, c.evaluate.ties,
            *unusual(c.ranker.first),
        ],
        work=_rehearse,
        leaves=(f"{FOLDER}/recipes.json",),
        clears=(f"{FOLDER}/early", f"{FOLDER}/rehearse"),
    ),
    Stage(
        "compare-export",
        "write, check and measure the file of every way",
        needs=("train", "candidates", "compare-rehearse"),
        depends=lambda c: [*plain(_ways(c), c.export), c.candidates.k, c.evaluate.mask_seen, *unusual(c.ranker.first)],
        work=_export,
        leaves=(f"{FOLDER}/costs.json",),
        clears=(f"{FOLDER}/ways",),
    ),
    Stage(
        "compare-fleet",
        "serve the same users by every way, through the device code",
        needs=("prepare", "baselines", "compare-export"),
        depends=lambda c: [c.seed, *plain(c.compare, c.evaluate), *unusual(c.baselines)],
        also_needs=lambda c: ("federate-judge",) if c.compare.federated else (),
        work=_fleet,
        leaves=(LEDGER_FILE, PAGE_FILE),
        clears=(f"{FOLDER}/fleet",),
    ),
)
"""After those of a run."""


def _compare_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Run every way to personalise, with every optimiser, over the same users ([compare]): each is rehearsed by\n"
        "itself before the cut-off, exported, checked, measured and evaluated through the device code. Continues\n"
        "where it was interrupted; shares the run directory of `pocketrec run`. Writes RUN/compare/compare.html;\n"
        "prints a ledger, and one JSON document as the last line."
    )
    add_run_options(parser)


def _compare(options: argparse.Namespace) -> None:
    from pocketrec.cloud.config.load import load_config

    config = load_config(options.config, [*options.overrides, *named_resources(options)])
    options.out = options.out or Path("runs", Path(options.config).stem)
    with native_noise_into(options.out / LOG_FILE) as terminal:
        text = compare(config, options.out, terminal=None if options.quiet else terminal)
    print(text)


COMMANDS = {"compare": Command("all ways to personalise over the same users, one ledger", _compare_arguments, _compare)}
