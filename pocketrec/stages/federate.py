# SPDX-License-Identifier: Apache-2.0
"""The stages of `pocketrec federate`, which stand after those of a run, in the same folder.

Before the bundle exists nothing later than the cut-off is opened: the rehearsal plays the rounds on the early model and
the events between the earlier cut and the cut-off.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pocketrec.cloud.base.runs import METRICS_FILE, Run, Stage, read_json, write_json
from pocketrec.cloud.config.federate import FederateConfig
from pocketrec.cloud.config.run import RunConfig
from pocketrec.device.base.files import write_atomic
from pocketrec.device.contract.federated import CONTRIBUTION_FILE
from pocketrec.stages.models import export_model
from pocketrec.stages.parts import plain, ranking, unusual, use_threads
from pocketrec.stages.recipes import has_rehearsal, recipe_of_run, rehearsal_parts

if TYPE_CHECKING:
    import keras
    import numpy as np

    from pocketrec.cloud.federated.device import FederatedUser
    from pocketrec.cloud.federated.engine import Engine
    from pocketrec.cloud.federated.events import LaterEvents
    from pocketrec.cloud.federated.judging import RoundJudge
    from pocketrec.cloud.federated.rounds import Trained, Training

FOLDER: Final = "federate"
REHEARSAL: Final = f"{FOLDER}/rehearsal.json"
TRAINING: Final = f"{FOLDER}/training.json"
FEDERATED: Final = f"{FOLDER}/metrics.json"
#: The training that the configured engine is for.
ROUNDS: Final = "rounds"
#: The same rounds and rate in the cloud: the same devices (but for engine serve, whose devices are others), sums of
#: their targets, float32, no clip.
_CLOUD: Final[dict[str, Any]] = {
    "weight": "size", "cap": 0, "clip": 0.0, "bits": 32, "down_bits": 32, "local_steps": 0, "engine": "processes",
    "noise": 0.0, "epsilon": 0.0, "secure": False,
}  # fmt: skip


def rehearse(run: Run) -> None:
    """Play the rounds before the cut-off, and choose their number and the rate, or none."""
    use_threads(run)
    from pocketrec.cloud.data.prepared import load_cloud
    from pocketrec.cloud.federated.choice import best, trial
    from pocketrec.cloud.federated.events import LaterEvents

    config = run.config.federate
    earliest, later, learn = rehearsal_parts(run.config, load_cloud(run.folder).before)
    work = _Work(run, "train/early", run.path(FOLDER, "early", "x").parent, config)
    events, start = LaterEvents(earliest, later, learn), work.start()
    judge = work.judge(events)
    before = judge.values(start)

    trials = []
    for rate, looked in [(rate, looked) for rate in config.learning_rates for looked in _courses(config)]:
        rounds = max(looked)
        trained = work.train(f"rate-{rate:g}-{rounds}", rounds, rate, events, _judge_after(looked, judge))
        for record in trained.records:
            if record["judged"] is not None:
                after, samples = _array(record["judged"]), run.config.evaluate.bootstrap
                found = trial(rate, record["round"] + 1, before, after, samples, run.config.seed)
                trials.append(found)
                run.detail(_trial_in_words(found))
    chosen = best(trials, config.confidence)
    told = {"chosen": chosen, "trials": trials, "users": judge.users, "before": float(before.mean())}
    write_json(run.folder / REHEARSAL, told)
    run.detail("none: no trial gains surely enough" if chosen is None else
               f"{chosen['rounds']} rounds at rate {chosen['rate']:g}")  # fmt: skip


def _courses(config: FederateConfig) -> list[list[int]]:
    """The trainings by which a rate is rehearsed: after how many rounds of each the users are judged."""
    return [config.rounds] if config.decay == "constant" else [[rounds] for rounds in config.rounds]


def _judge_after(looked: Collection[int], judge: RoundJudge) -> Callable[[int, Any], list[float] | None]:
    """MRR@20 of each user after these numbers of rounds, None after others."""
    return lambda number, weights: judge.values(weights).tolist() if number in looked else None


def federate(run: Run) -> None:
    """The rounds that were chosen, on the model of the cut-off."""
    _continued(run, ROUNDS, run.config.federate, "model", TRAINING)


def fine_tune(run: Run) -> None:
    """The same rounds in the cloud, for comparison only."""
    _continued(run, "cloud", dataclasses.replace(run.config.federate, **_CLOUD), "cloud", f"{FOLDER}/cloud.json")


def _continued(run: Run, name: str, config: FederateConfig, model: str, told: str) -> None:
    """Train as the rehearsal chose: ``RUN/federate/MODEL.keras``, and what the rounds were; no model where none."""
    use_threads(run)
    from pocketrec.cloud.backbones import save_model
    from pocketrec.cloud.data.prepared import load_cloud, load_devices
    from pocketrec.cloud.federated.events import LaterEvents

    chosen = read_json(run.folder / REHEARSAL)["chosen"]
    if chosen is None:
        write_json(run.folder / told, {"chosen": None, "rounds": []})
        run.detail("nothing to do: the rehearsal chose none")
        return
    data, devices = load_cloud(run.folder), load_devices(run.folder)
    work = _Work(run, "train/model", run.path(FOLDER, "final", "x").parent, config)
    work.start()
    events = LaterEvents(data.before, devices.after, devices.learn)
    trained = work.train(name, chosen["rounds"], chosen["rate"], events)
    save_model(work.with_weights(trained.state.weights), run.folder / FOLDER / f"{model}.keras")
    write_json(run.folder / told, {"chosen": chosen, "rounds": trained.records, "stopped": trained.stopped,
                                   "devices": work.devices, "values": work.values,
                                   "file_bytes": work.file_bytes})  # fmt: skip
    for record in trained.records:
        run.detail(_record_in_words(record))
    if trained.stopped:
        run.detail(trained.stopped)


class _Work:
    """A model of the run, its contribution file in a folder, and trainings of it."""

    def __init__(self, run: Run, model: str, folder: Path, config: FederateConfig) -> None:
        self._run, self._name, self._folder, self._config = run, model, folder, config
        self._model: keras.Model | None = None
        self._weights: dict[str, np.ndarray[Any, Any]] = {}
        self._pruned: frozenset[str] = frozenset()
        self.devices, self.values, self.file_bytes = 0, 0, 0

    def start(self) -> dict[str, Any]:
        """Load the model, and write its contribution file, checked on every runtime; the first weights."""
        from pocketrec.cloud.backbones import load_model
        from pocketrec.export.federated.build import build_contribution
        from pocketrec.export.federated.check import check_contribution
        from pocketrec.export.graph.weights import pruned_names, weights_of

        config = self._run.config
        self._model = load_model(self._run.folder / f"{self._name}.keras")
        file = build_contribution(
            self._model, config.model, config.export, tensors=self._config.tensors,
            table_limit=self._config.table_limit, ranker=config.ranker.first.kind,
        )  # fmt: skip
        checked = check_contribution(file, self._model, config.seed)
        write_atomic(self._folder / CONTRIBUTION_FILE, file.content)
        write_json(self._folder / "facts.json", {**file.facts, "gate": checked})
        self._weights, self.values, self.file_bytes = file.weights, file.facts["values"], len(file.content)
        if config.export.keep_pruned:
            self._pruned = frozenset(pruned_names(weights_of(self._model)))
        return self._weights

    def judge(self, events: LaterEvents) -> RoundJudge:
        """The judge of rounds on these events."""
        from pocketrec.cloud.federated.judging import RoundJudge
        from pocketrec.export.federated.build import set_weights

        config = self._run.config
        assert self._model is not None
        return RoundJudge(self._model, set_weights, events, config.evaluate, config.ranker.first,
                          window=config.model.window, causal=config.model.causal)  # fmt: skip

    def with_weights(self, weights: Mapping[str, Any]) -> keras.Model:
        """The model with the weights of a round."""
        from pocketrec.export.federated.build import set_weights

        set_weights(self._model, weights)
        return self._model

    def train(
        self, name: str, rounds: int, rate: float, events: LaterEvents,
        judge: Callable[[int, Any], Any] = lambda number, weights: None,
    ) -> Trained:  # fmt: skip
        """Rounds with the devices of these events; continues where an interrupted call stopped."""
        from pocketrec.cloud.federated.device import federated_users
        from pocketrec.cloud.federated.rounds import Training, train
        from pocketrec.device.base.digest import sha256_of
        from pocketrec.export.federated.broadcast import round_weights

        run, home = self._run, self._folder / name
        home.mkdir(parents=True, exist_ok=True)
        users, path = federated_users(events), self._folder / CONTRIBUTION_FILE
        self.devices = len(users)
        training = Training(
            f"{run.config.seed}-{name}", self._config, rounds, rate, self._weights, sha256_of(path.read_bytes()),
            list(users), run.config.seed, pruned=self._pruned,
            items=read_json(self._folder / "facts.json")["items"],
            dropout=self._config.dropout_of(run.config.model),
            code=lambda weights: round_weights(weights, self._config.down_bits),
        )  # fmt: skip
        with (
            run.progress(name) as progress,
            self._engine(name, training, path, users, home) as (engine, task),
        ):
            return train(task, engine, home, judge=judge, progress=progress)

    @contextlib.contextmanager
    def _engine(
        self, name: str, training: Training, path: Path, users: dict[str, FederatedUser], home: Path
    ) -> Iterator[tuple[Engine, Training]]:
        """The engine that the configuration names, and the training with its devices; rehearsals stay here."""
        seed, resources, config = self._run.config.seed, self._run.config.resources, self._config
        if config.engine == "flower" and name == ROUNDS:
            from pocketrec.flower.engine import Options, flower

            asked = Options(config.nodes, python=config.flower)
            with flower(path, users, home, seed=seed, runtime=resources.runtime, options=asked) as far:
                yield far, training
        elif config.engine == "serve" and name == ROUNDS:
            from pocketrec.cloud.federated.serving import joined_devices
            from pocketrec.device.delivery.bundle import open_bundle

            model = open_bundle(self._run.folder / "bundle").manifest.model_id
            with joined_devices(training, path, model, self._run.detail) as found:
                self.devices = len(found[1].devices)
                yield found
        else:
            from pocketrec.cloud.federated.processes import processes

            with processes(path, users, home, seed=seed, runtime=resources.runtime,
                           number=resources.processes) as near:  # fmt: skip
                yield near, training


def export(run: Run) -> None:
    """Export, gate and bundle of what was federated: ``RUN/federate/bundle``; and the file of the cloud's model."""
    use_threads(run)
    told, recipe = read_json(run.folder / TRAINING), recipe_of_run(run)
    if told["chosen"] is not None:
        for model, gate in (("model", True), ("cloud", False)):
            folder = run.path(FOLDER, "export", model, "x").parent
            if not (folder / "facts.json").exists():
                export_model(run, f"{FOLDER}/{model}", folder, recipe["way"], recipe["optimizer"], gate=gate)
        publish(run, None)
    write_json(run.folder / FOLDER / "exported.json", {"chosen": told["chosen"]})


def publish(run: Run, metrics: dict[str, Any] | None) -> None:
    """Write the bundle; its manifest names the model that the devices had, its card the facts of the training."""
    from pocketrec.device.delivery.bundle import open_bundle
    from pocketrec.export.bundle import from_export
    from pocketrec.stages.bundles import bundle_content, run_facts

    parent = open_bundle(run.folder / "bundle").manifest.model_id
    content = dataclasses.replace(bundle_content(run, recipe_of_run(run)), parent=parent)
    facts = card_facts(read_json(run.folder / TRAINING), run.config.federate)
    about = dataclasses.replace(run_facts(run, metrics), federated={"parent": parent, **facts})
    exported, home = run.folder / FOLDER / "export" / "model", run.folder / FOLDER
    from_export.publish(exported, home / "bundle", content, about, archive=home / "bundle.zip")


def card_facts(told: Mapping[str, Any], config: FederateConfig) -> dict[str, Any]:
    """What the model card and metrics.json say of a training."""
    rounds = told["rounds"]
    if not rounds:
        return {}
    each = [record["accepted"] for record in rounds]
    return {
        "rounds": len(rounds), "learning_rate": told["chosen"]["rate"], "decay": config.decay,
        "dropout": config.dropout, "devices": told["devices"],
        "devices_a_round": round(sum(each) / len(each), 1), "share": config.share, "clip": config.clip,
        "bits": config.bits, "values": told["values"],
        "bytes_up": max(record["bytes_up"] for record in rounds),
        "bytes_down": max(record["bytes_down"] for record in rounds), "file_bytes": told["file_bytes"],
        "server_seconds": round(sum(record["seconds"] for record in rounds), 1),
        "device_ms": round(sum(record["device_ms"] for record in rounds) / len(rounds), 2),
        "refused": sum(sum(record["refused"].values()) for record in rounds),
        **privacy_facts(told, config),
    }  # fmt: skip


def privacy_facts(told: Mapping[str, Any], config: FederateConfig) -> dict[str, Any]:
    """Noise, delta and epsilon of a training; nothing where it had no noise, for then there is no epsilon."""
    if not config.noise:
        return {}
    from pocketrec.cloud.federated.rounds import ledger_of

    ledger = ledger_of(config, told["devices"], len(told["rounds"]))
    return {"noise": config.noise, "delta": ledger.delta, "epsilon": round(ledger.spent, 4)}


def judge(run: Run) -> None:
    """Rank the test users by every model, and write metrics.json."""
    from pocketrec.cloud.data.prepared import load_cloud, load_devices, load_summary
    from pocketrec.cloud.evaluation.evaluate import fleet_metrics, read_users
    from pocketrec.cloud.federated.choice import share_of_gain
    from pocketrec.cloud.fleet.fleet import System, device_users, run_fleet
    from pocketrec.cloud.metrics.metrics import user_values

    config, home = run.config, run.folder / FOLDER
    told, rehearsal = read_json(run.folder / TRAINING), read_json(run.folder / REHEARSAL)
    data, devices = load_cloud(run.folder), load_devices(run.folder)
    users, left_out = device_users(
        data.before, devices.after, devices.learn, limit=config.evaluate.users, seed=config.seed
    )
    some = told["chosen"] is not None
    first = run.folder / "export"
    folders = {"global": first, "federated": home / "export" / "model" if some else first}
    if config.evaluate.central:
        folders["central"] = run.folder / "central"
    if config.data.privacy:
        folders["necessary"] = run.folder / "necessary"
    folders["central_tuned"] = home / "export" / "cloud" if some else first
    files = {name: (folder / "model.tflite", folder / "item_embeddings.npy") for name, folder in folders.items()}
    systems = [System(name, *own, ranker=config.ranker.first) for name, own in files.items()]
    recipe = recipe_of_run(run)
    for name, model in (("personal", "global"), ("federated_personal", "federated")):
        systems.append(System(name, *files[model], recipe=recipe, ranker=config.ranker.first))
    with run.progress() as progress:
        run_fleet(users, systems, home / "fleet", evaluate=config.evaluate, left_out=left_out,
                  resources=config.resources, progress=progress)  # fmt: skip
    metrics = fleet_metrics(home / "fleet", evaluate=config.evaluate, seed=config.seed, data=load_summary(run.folder))
    ranks = read_users(home / "fleet")
    values = {name: user_values([user["ranks"][name] for user in ranks]) for name in folders}
    facts: dict[str, Any] = {"chosen": told["chosen"], "rehearsed": rehearsal["trials"],
                             **card_facts(told, config.federate)}  # fmt: skip
    for name in ("central", "central_tuned"):
        if name in values:
            facts[f"share_of_{name}"] = share_of_gain(
                values["global"], values["federated"], values[name], config.evaluate.bootstrap, config.seed
            )
    metrics["federate"] = facts
    write_json(run.folder / FEDERATED, metrics)
    own = read_json(run.folder / METRICS_FILE)
    for name in ("federated", "federated_personal", "central_tuned"):
        own[name], own["compare"][name] = metrics[name], metrics["compare"][name]
    own["federate"] = facts
    write_json(run.folder / METRICS_FILE, own)
    if some:
        publish(run, own)


def _array(values: list[float]) -> np.ndarray[Any, Any]:
    import numpy as np

    return np.array(values, np.float64)


def _trial_in_words(found: Mapping[str, Any]) -> str:
    gain = found["gain"]
    return (f"rate {found['rate']:<6g} {found['rounds']:>3} rounds  {gain['mean']:+.4f} ({gain['low']:+.4f} to "
            f"{gain['high']:+.4f}), chance of a gain {found['chance']:.2f}, {found['gained']} : {found['harmed']}")


def _record_in_words(record: Mapping[str, Any]) -> str:
    refused = sum(record["refused"].values())
    up, down = record["bytes_up"] / 1e3, record["bytes_down"] / 1e3
    return (f"round {record['round'] + 1}: {record['accepted']} of {record['chosen']} devices, {record['declined']} "
            f"declined, {record['silent']} silent, {refused} refused, {up:.1f} kB up, {down:.1f} kB down, "
            f"{record['seconds']:.1f} s")


def _shapes(config: RunConfig) -> list[Any]:
    """All that shapes a training."""
    return [config.seed, *plain(config.federate, config.model, config.export), *unusual(config.ranker.first),
            config.evaluate.mask_seen]  # fmt: skip


FEDERATE_STAGES: tuple[Stage, ...] = (
    Stage(
        "federate-rehearse", "play the rounds before the cut-off: how many, at which rate, or none?",
        needs=("prepare", "train-early"), depends=lambda c: [*_shapes(c), *ranking(c), *plain(c.rehearse)],
        work=rehearse, leaves=(REHEARSAL,), clears=(f"{FOLDER}/early",), applies=has_rehearsal,
    ),
    Stage(
        "federate", "devices improve the model together",
        needs=("prepare", "train", "export", "federate-rehearse"), depends=_shapes, work=federate, leaves=(TRAINING,),
        clears=(f"{FOLDER}/final/rounds", f"{FOLDER}/model.keras"), applies=has_rehearsal,
    ),
    Stage(
        "federate-cloud", "the same rounds in the cloud, for comparison only",
        needs=("prepare", "train", "export", "federate-rehearse"), depends=lambda c: [*_shapes(c), _CLOUD],
        work=fine_tune, leaves=(f"{FOLDER}/cloud.json",), clears=(f"{FOLDER}/final/cloud", f"{FOLDER}/cloud.keras"),
        applies=has_rehearsal,
    ),
    Stage(
        "federate-export", "write the file, check it on every runtime, write the bundle",
        needs=("export", "federate", "federate-cloud"), depends=lambda c: c.candidates.k, work=export,
        leaves=(f"{FOLDER}/exported.json",),
        clears=(f"{FOLDER}/export", f"{FOLDER}/bundle", f"{FOLDER}/bundle.zip"), applies=has_rehearsal,
    ),
    Stage(
        "federate-judge", "rank the test users by every model, through the device code",
        needs=("prepare", "export", "train-central", "fleet", "federate-export"),
        depends=lambda c: [c.seed, *plain(c.evaluate, c.personalise)], work=judge, leaves=(FEDERATED,),
        clears=(f"{FOLDER}/fleet",), applies=has_rehearsal,
    ),
)  # fmt: skip
"""After those of a run."""
