# SPDX-License-Identifier: Apache-2.0
"""Finding a TensorFlow Lite runtime and opening a model file with it.

Two packages offer the same Python interface: ``ai_edge_litert`` (Python 3.10 to 3.14, numpy 2, the faster one) and
``tflite_runtime`` (Python up to 3.11, numpy below 2, also for 32-bit ARM). The environment variable
POCKETREC_RUNTIME names one of them for all callers that leave the choice open. This module does not know what a
model computes.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from pocketrec.device.base import held
from pocketrec.device.base.errors import BundleError, ConfigError, RuntimeMissingError
from pocketrec.device.engine.runtimes import AUTO, RUNTIMES

#: Environment variable that names the runtime where the caller says "auto".
RUNTIME_VARIABLE: Final = "POCKETREC_RUNTIME"

_INSTALL: Final = "install ai-edge-litert, or tflite-runtime with numpy<2 on Python 3.11 and below"


@dataclass(frozen=True)
class Runtime:
    """One runtime, as found in this environment."""

    name: str
    """ai_edge_litert or tflite_runtime."""
    installed: bool
    """Whether the package is there."""
    problem: str
    """Why it cannot be used, in one line that ends with what to do; empty where it can."""


def find_runtimes() -> list[Runtime]:
    """The known runtimes, the preferred one first; nothing is imported."""
    return [_inspect(name) for name in RUNTIMES]


def choose_runtime(name: str = AUTO) -> str:
    """The runtime to use: `name`, else the one that POCKETREC_RUNTIME names, else the first usable one.

    Raises:
        ConfigError: the name is unknown.
        RuntimeMissingError: it is not installed or cannot be used here; the message says why.
    """
    if name == AUTO:
        name = os.environ.get(RUNTIME_VARIABLE, "") or AUTO
    found = find_runtimes()
    if name != AUTO:
        if name not in RUNTIMES:
            raise ConfigError(f"unknown runtime {name!r}: use {AUTO}, {' or '.join(RUNTIMES)}")
        found = [runtime for runtime in found if runtime.name == name]
    for runtime in found:
        if not runtime.problem:
            return runtime.name
    problems = [runtime.problem for runtime in found if runtime.installed] or [found[0].problem]
    raise RuntimeMissingError(problems[0])


def load_interpreter(path: str | Path, runtime: str = AUTO, threads: int = 1) -> tuple[Any, str]:
    """Open a .tflite file: a small one is read into memory, a large one mapped (`pocketrec.device.base.held`).

    Args:
        path: the file.
        runtime: auto, ai_edge_litert or tflite_runtime.
        threads: threads of the runtime's kernels, see `check_threads`.

    Returns:
        The interpreter and the name of its runtime.

    Raises:
        ConfigError: the runtime's name is unknown, or the number of threads is out of range.
        RuntimeMissingError: no usable runtime.
        BundleError: the file is missing, or the runtime cannot read it.
    """
    check_threads(threads)
    if not os.path.isfile(path):
        raise BundleError(f"no model file {path}: name a complete bundle")
    name = choose_runtime(runtime)
    try:
        interpreter = RUNTIMES.load(name)
    except (ImportError, AttributeError, OSError) as error:
        raise RuntimeMissingError(f"{name} does not import ({_line(error)}): {_INSTALL}") from None
    try:
        given: dict[str, object] = {"model_path": os.fsencode(path)}  # bytes: a name need not be UTF-8
        if os.path.getsize(path) <= held.SMALL:
            given = {"model_content": Path(path).read_bytes()}
        return interpreter(**given, num_threads=threads), name
    except OSError as error:
        raise BundleError(f"cannot read {path} ({error.strerror}): name a complete bundle") from None
    except (ValueError, RuntimeError) as error:
        raise BundleError(f"{name} cannot read {path} ({_line(error)}): fetch or export the bundle again") from None


def check_threads(threads: int) -> None:
    """Refuse a number of threads below 1 or above four for each core, where the runtimes crash or only get slower.

    Raises:
        ConfigError: it is out of range.
    """
    most = 4 * (os.cpu_count() or 1)
    if not 1 <= threads <= most:
        raise ConfigError(f"the number of threads must lie between 1 and {most}, not {threads}: give another one")


def runtime_version(name: str) -> str:
    """Version of a runtime that is already imported, or "unknown"."""
    version = getattr(sys.modules.get(name), "__version__", None)
    return str(version) if version else "unknown"


def _inspect(name: str) -> Runtime:
    if importlib.util.find_spec(name) is None:
        return Runtime(name, False, f"no TensorFlow Lite runtime {name} is installed: {_INSTALL}")
    if name == "tflite_runtime":
        if int(np.__version__.split(".")[0]) >= 2:
            return Runtime(name, True, f"tflite_runtime needs numpy below 2 and found {np.__version__}: "
                                       "pip install 'numpy<2', or install ai-edge-litert")  # fmt: skip
        tensorflow = sys.modules.get("tensorflow")
        if tensorflow is not None and "tflite_runtime.interpreter" not in sys.modules and _from_2_21(tensorflow):
            return Runtime(name, True, "tflite_runtime cannot start after TensorFlow 2.21 in one process: "
                                       "use ai_edge_litert, or a process of its own")  # fmt: skip
    return Runtime(name, True, "")


def _from_2_21(tensorflow: Any) -> bool:
    parts = str(getattr(tensorflow, "__version__", "0.0")).split(".")
    return (int(parts[0]), int(parts[1])) >= (2, 21)


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
