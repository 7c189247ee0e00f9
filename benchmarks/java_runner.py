# SPDX-License-Identifier: Apache-2.0
"""Is the Java runner as fast as the Python one on the same runtime? ``python benchmarks/java_runner.py BUNDLE BUILD``.

BUNDLE is a bundle (build/test/bundle.reference for configuration R); BUILD is where `make test-android` has built the
Java classes (build/android). Both run LiteRT with one thread, in turns, each in a process of its own. The table has
medians of the rounds' medians, in ms; the last line of output is one JSON document.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

ROUNDS, CALLS = 5, 200
KINDS = ("train", "embed", "infer")


def main(bundle: Path, build: Path) -> None:
    (jna,) = Path.home().glob(".m2/repository/net/java/dev/jna/jna/5.14.0/jna-5.14.0.jar")
    classes = ":".join(str(path) for path in (build / "target/desktop/classes", build / "target/core/classes", jna))
    calls = ["--bundle", str(bundle), "--calls", str(CALLS)]
    commands = {
        "python": [sys.executable, "-P", "-m", "pocketrec.cli", "bench", *calls, "--runtime", "ai_edge_litert"],
        "java": ["java", "-cp", classes, "pocketrec.desktop.Main", "bench", *calls, "--litert", sys.prefix],
    }
    rounds: dict[str, list[dict[str, Any]]] = {name: [] for name in commands}
    for _ in range(ROUNDS):
        for name, command in commands.items():
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            rounds[name].append(json.loads(done.stdout.splitlines()[-1]))
    result: dict[str, Any] = {"machine": rounds["java"][0]["machine"], "rounds": ROUNDS, "calls": CALLS}
    print(f"{'call':6} {'python':>9} {'java':>9} {'ratio':>7}")
    for kind in KINDS:
        python, java = (statistics.median(r[f"{kind}_ms_p50"] for r in rounds[name]) for name in ("python", "java"))
        result[kind] = {"python_ms": python, "java_ms": java, "ratio": round(java / python, 3)}
        print(f"{kind:6} {python:9.3f} {java:9.3f} {java / python:7.3f}")
    for name in commands:
        result[f"{name}_peak_rss_mb"] = statistics.median(r["peak_rss_mb"] for r in rounds[name])
        print(f"peak RSS, {name}: {result[f'{name}_peak_rss_mb']} MB")
    print(json.dumps(result))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("build", type=Path, help="where `make test-android` compiles to: build/android")
    options = parser.parse_args()
    main(options.bundle, options.build)
