"""Make the golden files: what devices and run folders hold that were written by PocketRec at commit 8ba119b.

    python tests/golden/make.py BUNDLE OUT

BUNDLE is the folder ``bundle`` that ``python tests/make_bundle.py bundle`` writes; both are run in a checkout of
8ba119b with that commit's package, to whose addresses the imports below belong. The files are never made again by a
later commit: tests/device/test_golden.py and tests/test_golden_run.py open, continue and report on them, so that
whatever a device holds stays usable. What can be is done by commands, as a user would.
"""

from __future__ import annotations

import contextlib
import csv
import gzip
import hashlib
import io
import json
import shutil
import sys
import tarfile
from pathlib import Path
from typing import Any

from pocketrec.cli import main
from pocketrec.cloud.config import ModelConfig
from pocketrec.cloud.models import build_model, save_model

SECRET = "07" * 32
CONFIG = """
seed = 1
[data]
set = "synthetic"
[data.synthetic]
users = 40
items = 60
events = 60
[split]
quantile = 0.7
[model]
embedding = 8
hidden = 8
window = 6
[train]
epochs = 2
validation = 0.0
[candidates]
k = 10
factors = 8
[rehearse]
quantile = 0.7
users = 10
ways = ["partial"]
learning_rates = [0.05]
passes = [2]
proximals = [0.0]
targets = ["later"]
[evaluate]
bootstrap = 100
central = true
"""


def pocketrec(*words: object) -> dict[str, Any]:
    """What a command prints as its last line; the command must end with status 0."""
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        status = main([str(word) for word in words])
    if status:
        raise SystemExit(f"pocketrec {words[0]} ended with {status}")
    last = output.getvalue().splitlines()[-1]
    return json.loads(last) if last.startswith("{") else {}


def golden_events() -> list[tuple[str, str, int]]:
    """User u1 alternates between two items after the cut-off (1000), with some noise before it."""
    rows = [("u1", f"item {place % 7 + 1}", 900 + place) for place in range(8)]
    rows += [("u1", f"item {3 if place % 2 else 7}", 1010 + 10 * place) for place in range(16)]
    return rows


def make(bundle: Path, out: Path) -> None:
    """Write every golden file into the folder `out`, which must not exist."""
    out.mkdir(parents=True)
    for kind in ("", ".packed", ".lean"):
        source = bundle.with_name(bundle.name + kind)
        shutil.copytree(source, out / f"bundle{kind}", ignore=shutil.ignore_patterns(".verified"))
    with (out / "events.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([("user", "item", "timestamp"), *golden_events()])
    (out / "secret.hex").write_text(SECRET + "\n", encoding="ascii")
    expected = {
        "plain": personal(out, "plain"),
        "store": personal(out, "store", store=True),
        "sealed": personal(out, "sealed", store=True, secret=True),
        "paused": personal(out, "paused", budget=True),
    }
    pocketrec("publish", "--make-key", out / "publisher.key")
    for kind in ("bundle", "bundle.packed"):
        pocketrec("publish", out / kind, "--to", out / "published" / kind, "--sign", out / "publisher.key")
    save_models(bundle, out)
    write_json(out / "expected.json", expected)
    make_run(out)


def personal(out: Path, name: str, *, store: bool = False, secret: bool = False, budget: bool = False) -> Any:
    """Train u1's state (states/NAME.state, with NAME.events where `store`), and keep what it then recommends."""
    folder = out / "states"
    folder.mkdir(exist_ok=True)
    who = ["--bundle", out / "bundle", "--user", "u1", "--state", folder / f"{name}.state"]
    if store:
        who += ["--store", folder / f"{name}.events"]
    if secret:
        who += ["--secret", out / "secret.hex"]
    events = ["--events", out / "events.csv"]
    if store:
        pocketrec("record", *(word for word in who if word not in ("--state", folder / f"{name}.state")), *events)
        events = []
    trained = pocketrec("personalise", *who, *events, *(["--max-seconds", "1e-9"] if budget else []))
    shown = pocketrec("state", "show", *(word for word in who if word not in ("--store", folder / f"{name}.events")))
    best = pocketrec("recommend", *who, "--now", 2000)
    return {
        "choice": trained["choice"],
        "paused": trained["paused"],
        "history": shown["history"],
        "steps": shown["steps"],
        "items": best["items"],
        "scores": best["scores"],
    }


def save_models(bundle: Path, out: Path) -> None:
    """The Keras models behind the bundles, and the SHA-256 of the files that were exported from them.

    A processor may initialise weights, and make a lean table's clusters, with other last bits; from the same weights
    the same file has to come.
    """
    import tensorflow as tf

    model = build_model(ModelConfig(embedding=8, hidden=12, window=6), 60, 1)
    save_model(model, out / "model.keras")
    packed = ("bundle.packed/model.skeleton", "bundle.packed/model.weights")
    files = ("bundle/model.tflite", "bundle.sampled.tflite", *packed)
    sums = {name: hashlib.sha256((bundle.parent / name).read_bytes()).hexdigest() for name in files}
    write_json(out / "exported.json", {"tensorflow": tf.__version__, "sha256": sums})


def make_run(out: Path) -> None:
    """A whole run on a small synthetic log, as run.tar.gz with times of 0, so that it is the same each time."""
    work = out / "run-at-work"
    work.mkdir()
    (work / "config.toml").write_text(CONFIG, encoding="utf-8")
    printed = pocketrec("run", work / "config.toml", "--out", work / "run")
    write_json(out / "run.json", printed["metrics"])
    with gzip.GzipFile(out / "run.tar.gz", "wb", mtime=0) as packed, tarfile.open(fileobj=packed, mode="w") as tar:
        tar.add(work / "config.toml", "config.toml", filter=_plain)
        tar.add(work / "run", "run", filter=_plain)
    shutil.rmtree(work)


def _plain(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    entry.mtime = 0
    return entry


def write_json(path: Path, value: Any) -> None:
    """One JSON document, indented."""
    path.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    make(Path(sys.argv[1]), Path(sys.argv[2]))
