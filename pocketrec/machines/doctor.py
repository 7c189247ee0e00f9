# SPDX-License-Identifier: Apache-2.0
"""What an installation can do, and what to do about what it cannot.

Everything that could crash or take long (TensorFlow, the runtimes) is tried in a process of its own; a runtime is
believed when it has computed something, for tflite-runtime imports well with a numpy that it then cannot use.
Every process is started with -P: else the current folder, such as that of a checkout, would be looked in first.
This module knows nothing about bundles or runs.
"""

from __future__ import annotations

import base64
import os
import platform
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import metadata, util
from pathlib import Path
from typing import Any

from pocketrec import __version__
from pocketrec.device.base import documents
from pocketrec.device.engine.runtimes import RUNTIMES

_RUNTIMES = {name: name.replace("_", "-") for name in RUNTIMES}  # with the names of their packages
_CLOUD = ("tensorflow", "pandas", "implicit")
# Import names of optional packages, with what each is for and the extra that installs it.
_OPTIONAL = {"pyarrow": ("to read Parquet and large CSV files", "parquet"),
             "cryptography": ("to encrypt what a device keeps and to sign bundles", "secure")}  # fmt: skip
_SECONDS = 180  # a first import of TensorFlow from a slow disk

# A .tflite file that adds its input, float32 [2], to itself.
_MODEL = zlib.decompress(base64.b85decode(
    'c-m!BO-lk%6upyEiOOU+L<=DotwqfUA_6f3!H+O$B}@ZOF`#4UjJRmgs#U9K+0vzp7X5-&En2pUmi>;V^WNMM!zTydJNKS*-'
    '@R|rMASa5?dg=EG;NbkNlJi=l8QZnBYFUSfG34$3Vf^(MR3Lz*<!_{N@!v@C0KU^Yycx`IJTW@qibE6UeA>}6?pc2Kio%wf#=?Mu'
    '8|}57QBWWmCq9ZrK!lVZ;lD1fO4~OQE8o5n+>C0X_rn)?Gk*0dkO!@LT=x7jG^bacHc6_)^KDG99jiG1E%6`z%A!La-GY0zv8~y+'
    '*feBl3kPB8tX{TBAlrz=kk7h@MYfbq$1plDpf><Y$2b`Eqe&>e0Dzw@tXbm{tNI5i22rQ)mElFaL|Wqb+d9-'
    'y3Ew()rF_Vym*@q_tWJ%ebaWrxrbU^)=yBJwcL9=!TTb=pTfO_OIZMMtiyHQpb?=Ydx%&DxC6h5|1)#w+Adzh>Xyx3?=bhze@pg5'
    '+)=RB!3JeRPlY`{;h9?g{)`D+Lr;ajJyrgQ{s07EXfF'
))  # fmt: skip

_TRY_RUNTIME = """
import sys
from pocketrec.device.base.errors import PocketRecError
from pocketrec.device.engine.runtime import load_interpreter
import numpy as np
try:
    interpreter, _ = load_interpreter(sys.argv[1], sys.argv[2])
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], np.array([1, 2], np.float32))
    interpreter.invoke()
    answer = interpreter.get_tensor(interpreter.get_output_details()[0]["index"]).tolist()
    print("works" if answer == [2.0, 4.0] else f"computes {answer} for [2.0, 4.0]")
except PocketRecError as error:
    print(error)
"""

_TENSORFLOW = """
import json
import tensorflow as tf
gpus = tf.config.list_physical_devices("GPU")
names = [tf.config.experimental.get_device_details(gpu).get("device_name", gpu.name) for gpu in gpus]
print("works", json.dumps(names))
"""


@dataclass(frozen=True)
class Finding:
    """One thing looked at."""

    topic: str
    state: str
    """ok, note (fine, but worth knowing) or wrong."""
    text: str
    """What was found."""
    advice: str = ""
    """What to do about it."""


@dataclass(frozen=True)
class Findings:
    """All that was looked at."""

    entries: list[Finding]
    device: bool
    """Whether the device side works here."""
    cloud: bool
    """Whether the cloud side works here too."""
    facts: dict[str, Any] = field(default_factory=dict)
    """Versions, runtimes, cores and folders, for machines."""

    @property
    def usable(self) -> bool:
        """Whether nothing is wrong: the device side works, and the cloud side where it is installed."""
        return not any(entry.state == "wrong" for entry in self.entries)


def examine() -> Findings:
    """Look at this installation; takes some seconds where TensorFlow is installed."""
    entries = [_python(), _numpy()]
    runtimes = {name: _runtime(name) for name in _RUNTIMES}
    device = "works" in runtimes.values()
    for name, state in runtimes.items():
        entries.append(_judge_runtime(name, state, device))
    packages = {name: _version(name) for name in (*_CLOUD, "keras", "numpy", *_RUNTIMES.values(), *_OPTIONAL)}
    cloud, gpus = _look_at_cloud(packages, entries)
    entries += [_optional(name, packages[name]) for name in _OPTIONAL]
    entries += [_threads(), _data()]
    facts = {"versions": {"pocketrec": __version__, "python": platform.python_version(), **packages},
             "runtimes": runtimes, "cores": os.cpu_count(), "gpus": gpus, "machine": platform.machine()}  # fmt: skip
    return Findings(entries, device, cloud and device, facts)


def render(findings: Findings) -> str:
    """The findings as text; the last line is one JSON document."""
    lines = [f"{entry.state:<6} {entry.topic:<15} {entry.text}" for entry in findings.entries]
    advice = [f"- {entry.topic}: {entry.advice}" for entry in findings.entries if entry.advice]
    verdict = ("The device side works." if findings.device else "The device side does not work.") + (
        " The cloud side works." if findings.cloud else " The cloud side is not there."
    )
    last = {"usable": findings.usable, "device": findings.device, "cloud": findings.cloud, **findings.facts}
    todo = ["", "What to do:", *advice] if advice else []
    return "\n".join([*lines, "", verdict, *todo, "", documents.line(last)])


def _python() -> Finding:
    version = platform.python_version()
    if sys.version_info >= (3, 14):
        return Finding("python", "note", f"{version}, not tested", "use Python 3.11, 3.12 or 3.13")
    return Finding("python", "ok", f"{version} on {platform.machine()}, {platform.system()}")


def _numpy() -> Finding:
    version = _version("numpy")
    if version is None:
        return Finding("numpy", "wrong", "not installed", "pip install numpy")
    return Finding("numpy", "ok", version)


def _runtime(name: str) -> str:
    """``works``, ``absent``, or why it does not work."""
    if util.find_spec(name) is None:
        return "absent"
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder, "double.tflite")
        model.write_bytes(_MODEL)
        return _try([sys.executable, "-P", "-c", _TRY_RUNTIME, str(model), name])


def _judge_runtime(name: str, state: str, another_works: bool) -> Finding:
    version = _version(_RUNTIMES[name]) or ""
    if state == "works":
        return Finding(name, "ok", f"{version} computes")
    if state == "absent":
        if another_works:
            return Finding(name, "note", "not installed; the other runtime is enough")
        return Finding(name, "wrong" if name == "ai_edge_litert" else "note", "not installed",
                       "pip install 'pocketrec[device]' (or ai-edge-litert)")  # fmt: skip
    advice = state if another_works else f"repair it or install the other runtime: {state}"
    return Finding(name, "note" if another_works else "wrong", f"{version} does not work", advice)


def _look_at_cloud(packages: dict[str, str | None], entries: list[Finding]) -> tuple[bool, list[str]]:
    """Whether the cloud side works, and the names of the GPUs that TensorFlow can use."""
    missing = [name for name in _CLOUD if packages[name] is None]
    if len(missing) == len(_CLOUD):
        text = "not installed, as it should be on a device"
        entries.append(Finding("cloud", "note", text, "to train and export here: pip install 'pocketrec[cloud]'"))
        return False, []
    for name in missing:
        entries.append(Finding(name, "wrong", "not installed", "pip install 'pocketrec[cloud]'"))
    works, gpus = not missing, ""
    for name in _CLOUD:
        if name in missing:
            continue
        state = _import(name)
        if not state.startswith("works"):
            works = False
            entries.append(Finding(name, "wrong", f"{packages[name]} does not import: {state}",
                                   "make a new environment: pip install -r requirements.txt"))  # fmt: skip
        else:
            entries.append(Finding(name, "ok", f"{packages[name]} imports"))
            gpus = gpus or state.removeprefix("works")
    found: list[str] = documents.parse(gpus or "[]")
    if works:
        entries.append(_judge_gpus(found))
    return works, found


def _optional(name: str, version: str | None) -> Finding:
    """A package without which the rest works: missing is a note, installed and broken is wrong."""
    purpose, extra = _OPTIONAL[name]
    if version is None:
        return Finding(name, "note", f"not installed; only needed {purpose}", f"pip install 'pocketrec[{extra}]'")
    state = _import(name)
    if state == "works":
        return Finding(name, "ok", f"{version} imports")
    return Finding(name, "wrong", f"{version} does not import: {state}",
                   f"reinstall it ({purpose}): pip install --force-reinstall 'pocketrec[{extra}]'")  # fmt: skip


def _judge_gpus(gpus: list[str]) -> Finding:
    if gpus:
        return Finding("gpu", "ok", ", ".join(gpus))
    if any(Path("/dev").glob("nvidia[0-9]*")):
        return Finding("gpu", "note", "there is one that TensorFlow cannot use; training runs on the processor",
                       "pip install 'tensorflow[and-cuda]'")  # fmt: skip
    return Finding("gpu", "ok", "none; training runs on the processor")


def _threads() -> Finding:
    cores = os.cpu_count() or 1
    names = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS")
    given = ", ".join(f"{name}={os.environ[name]}" for name in names if name in os.environ)
    text = f"{cores} cores; a run uses resources.threads (0 = all)"
    return Finding("threads", "ok", f"{text}; {given}" if given else text)


def _data() -> Finding:
    from pocketrec.cloud.data.location import ENVIRONMENT, data_root

    root = data_root()
    if os.environ.get(ENVIRONMENT) and not root.is_dir():
        return Finding("data", "wrong", f"${ENVIRONMENT} names {root}, which is not a folder",
                       f"set {ENVIRONMENT} to the folder that holds the data sets, or unset it")  # fmt: skip
    sets = sorted(path.name for path in root.iterdir() if path.is_dir()) if root.is_dir() else []
    if sets:
        return Finding("data", "ok", f"{root}: {', '.join(sets)}")
    advice = "for real logs: set POCKETREC_DATA to the folder that holds them, or use --set data.path=FILE"
    return Finding("data", "note", f"no data sets in {root}; the synthetic one is built in", advice)


def _import(name: str) -> str:
    """``works``, or why a package does not import in a process of its own; of TensorFlow with its GPUs as JSON."""
    code = _TENSORFLOW if name == "tensorflow" else f"import {name}; print('works')"
    return _try([sys.executable, "-P", "-c", code])


def _try(command: Sequence[str]) -> str:
    """The last line that a command prints, or one line about how it failed."""
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONWARNINGS": "ignore"}
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, env=environment, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"does not answer ({type(error).__name__})"
    printed, complained = result.stdout.strip().splitlines(), result.stderr.strip().splitlines()
    if result.returncode:
        return complained[-1] if complained and result.returncode > 0 else f"ends with status {result.returncode}"
    return printed[-1] if printed else "says nothing"


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
