# SPDX-License-Identifier: Apache-2.0
"""What a run has measured, handed to TensorBoard or MLflow: curves of its trainings, figures of its systems, its keys.

It reads the run's own files (docs/runs.md), so it can be called at any time, while a run is at work too, and changes
nothing of the run. TensorFlow writes TensorBoard's files; MLflow is the extra ``mlflow``. Nothing is sent anywhere
unless MLflow is told an address.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

from pocketrec.device.base import documents
from pocketrec.device.base.errors import ConfigError, DataError
from pocketrec.device.base.files import storage_error

_T = TypeVar("_T")

#: Folder of TensorBoard's files in a run, unless another is named.
TENSORBOARD: Final = "tensorboard"
#: Files of a run that MLflow keeps a copy of, where they are there.
ARTIFACTS: Final = ("report.html", "metrics.json", "config.json")

_EVENTS: Final = "events.out.tfevents."  # how the names of TensorBoard's files begin
_LONGEST: Final = 500  # characters of a parameter that MLflow takes
_AT_ONCE: Final = 100  # parameters in one call


@dataclass(frozen=True)
class Tracked:
    """All of a run that is handed over."""

    name: str
    """Name of the run's folder."""
    curves: dict[str, list[tuple[int, float]]]
    """By name, such as ``train/search/loss``: epoch and value of each line of metrics.jsonl."""
    figures: dict[str, float]
    """By name, such as ``personal/mrr@20``: what metrics.json has of each system, and the gains over global."""
    parameters: dict[str, str]
    """Keys of the configuration with their values."""


def tracked(run: Path) -> Tracked:
    """Read what a run has measured so far.

    Raises:
        DataError: it is not the folder of a run, or a file is damaged.
    """
    if not (run / "config.json").is_file():
        raise DataError(f"{run} is not the directory of a run: it has no config.json")
    metrics = _read(run / "metrics.json")
    return Tracked(run.resolve().name, _curves(run / "metrics.jsonl"), dict(_figures(metrics)),
                   dict(_parameters(_read(run / "config.json"))))  # fmt: skip


def to_tensorboard(found: Tracked, folder: Path) -> Path:
    """Write TensorBoard's event files; earlier ones in the folder are replaced. Gives the folder.

    Raises:
        ConfigError: TensorFlow is not installed.
        DataError: the folder holds files that are not TensorBoard's.
        StorageError: the folder cannot be written.
    """
    try:
        import tensorflow as tf
    except ImportError:
        raise ConfigError("TensorBoard's files are written by TensorFlow: pip install 'pocketrec[cloud]'") from None

    others = [file.name for file in folder.glob("*") if not file.name.startswith(_EVENTS)]
    if others:
        raise DataError(f"{folder} holds other files ({sorted(others)[0]}): name an empty folder with --out")
    for file in folder.glob(f"{_EVENTS}*"):
        file.unlink()
    v1, now = tf.compat.v1, time.time()

    def event(step: int, **value: Any) -> bytes:
        summary = v1.Summary(value=[v1.Summary.Value(**value)])
        return bytes(v1.Event(wall_time=now, step=step, summary=summary).SerializeToString())

    try:
        folder.mkdir(parents=True, exist_ok=True)
        # tf.summary itself needs the package tensorboard, which is for those who look.
        with tf.io.TFRecordWriter(str(folder / f"{_EVENTS}{now:.0f}.pocketrec")) as file:
            file.write(v1.Event(wall_time=now, file_version="brain.Event:2").SerializeToString())
            for name, values in [*found.curves.items(), *((name, [(0, one)]) for name, one in found.figures.items())]:
                for step, value in values:
                    file.write(event(step, tag=name, simple_value=value))
            keys = [f"| {name} | {value.replace('|', ' ')} |" for name, value in found.parameters.items()]
            text = "\n".join(["| key | value |", "| --- | --- |", *keys])
            kind = v1.SummaryMetadata(plugin_data=v1.SummaryMetadata.PluginData(plugin_name="text"))
            file.write(event(0, tag="configuration", metadata=kind, tensor=tf.make_tensor_proto([text])))
    except OSError as error:
        raise storage_error(folder, error) from None
    return folder


def to_mlflow(found: Tracked, run: Path, address: str | None = None, experiment: str = "pocketrec") -> str:
    """Log a new run of MLflow; gives its id.

    Args:
        found: what `tracked` gives.
        run: the folder, whose `ARTIFACTS` go along.
        address: MLflow's tracking address, such as ``sqlite:///mlflow.db`` or ``https://...``; None = MLflow's own way
            to find one.
        experiment: its name; made where there is none.

    Raises:
        ConfigError: MLflow is not installed, or refuses.
    """
    try:
        import mlflow
        from mlflow.exceptions import MlflowException
    except ImportError:
        raise ConfigError("MLflow is not installed: pip install 'pocketrec[mlflow]'") from None

    try:
        if address is not None:
            mlflow.set_tracking_uri(address)
        mlflow.set_experiment(experiment)
        with mlflow.start_run(run_name=found.name) as active:
            parameters = [(name, value[:_LONGEST]) for name, value in found.parameters.items()]
            for begin in range(0, len(parameters), _AT_ONCE):
                mlflow.log_params(dict(parameters[begin : begin + _AT_ONCE]))
            for name, values in found.curves.items():
                for step, value in values:
                    mlflow.log_metric(_plain(name), value, step=step)
            mlflow.log_metrics({_plain(name): value for name, value in found.figures.items()})
            for name in ARTIFACTS:
                if (run / name).exists():
                    mlflow.log_artifact(str(run / name))
            return str(active.info.run_id)
    except MlflowException as error:
        raise ConfigError(f"MLflow refuses ({str(error).splitlines()[0]}): check --to and the server") from None


def _plain(name: str) -> str:
    """A name that MLflow takes: it knows no @."""
    return name.replace("@", "_at_")


def _curves(path: Path) -> dict[str, list[tuple[int, float]]]:
    found: dict[str, list[tuple[int, float]]] = {}
    for entry in _lines(path):
        if not _is_number(entry.get("epoch")):
            continue
        prefix = "/".join(str(entry[key]) for key in ("stage", "phase") if entry.get(key))
        for key, value in entry.items():
            if key != "epoch" and _is_number(value):
                found.setdefault(f"{prefix}/{key}", []).append((int(entry["epoch"]), float(value)))
    return found


def _figures(metrics: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    for system, entry in metrics.items():
        if isinstance(entry, Mapping) and "mrr@20" in entry:
            yield from ((f"{system}/{key}", float(value)) for key, value in entry.items()
                        if "@" in key and _is_number(value))  # fmt: skip
    for system, entry in metrics.get("compare", {}).items():
        gain = entry.get("mrr@20", {})
        for key in ("mean", "low", "high", "gained", "harmed"):
            if _is_number(gain.get(key)):
                yield f"{system}/gain {key}", float(gain[key])


def _parameters(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield from _parameters(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", documents.line(value) if isinstance(value, list) else str(value)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _read(path: Path) -> dict[str, Any]:
    return _parsed(path, documents.parse_table) if path.exists() else {}


def _lines(path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    return _parsed(path, lambda text: [documents.parse_table(line) for line in text.splitlines()])


def _parsed(path: Path, parse: Callable[[str], _T]) -> _T:
    try:
        return parse(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"cannot read {path} ({type(error).__name__}): finish the run with the same command") from None
