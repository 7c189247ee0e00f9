# SPDX-License-Identifier: Apache-2.0
"""Memory of a device's process beside one that has only loaded numpy and the runtime, in the same run.

    python -P benchmarks/memory.py BUNDLE [--runtime auto] [--rounds 3]

The device's process opens BUNDLE (`make bench` gives that of reference configuration R), trains on 300 events, judges
the result with the guard and recommends. How much numpy and the runtime take by themselves depends on the processor and
their versions; what the project adds is the difference of the two peaks, and their ratio. Medians of several processes.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys

BASE = """
import sys
import numpy
from pocketrec.device.base.memory import peak_resident_mb
if sys.argv[1] == "tflite_runtime":
    import tflite_runtime.interpreter
else:
    import ai_edge_litert.interpreter
print(peak_resident_mb())
"""

WORK = """
import sys
from pocketrec.device import Recommender
from pocketrec.device.base.memory import peak_resident_mb
recommender = Recommender(sys.argv[2], user="u", runtime=sys.argv[1])
recommender.bundle.recipe.guard.prior.clear()
count = len(recommender.bundle.vocabulary)
recommender.personalise(recommender.bundle.vocabulary.ids([1 + 7 * place % (count - 1) for place in range(300)]))
recommender.recommend(20)
print(peak_resident_mb())
"""

RUNTIME = """
import sys
from pocketrec.device.delivery.bundle import open_bundle
print(open_bundle(sys.argv[2]).load_model(sys.argv[1]).runtime)
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle")
    parser.add_argument("--runtime", default="auto")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    runtime = printed(RUNTIME, options.runtime, options.bundle)
    base, peak = (
        statistics.median(float(printed(code, runtime, options.bundle)) for _ in range(options.rounds))
        for code in (BASE, WORK)
    )
    result = {
        "benchmark": "memory", "runtime": runtime, "rounds": options.rounds, "base_mb": round(base, 1),
        "peak_mb": round(peak, 1), "difference_mb": round(peak - base, 1), "ratio": round(peak / base, 3),
    }  # fmt: skip
    print(f"{'runtime':<16} {'numpy and runtime':>18} {'device':>9} {'difference':>11} {'ratio':>6}")
    print(f"{runtime:<16} {base:>15.1f} MB {peak:>6.1f} MB {peak - base:>8.1f} MB {peak / base:>6.2f}")
    print(json.dumps(result))
    return 0


def printed(code: str, *words: str) -> str:
    """The last line that a new process prints."""
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, "-P", "-c", code, *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        sys.exit(f"error: {(done.stderr.strip().splitlines() or ['a process ended'])[-1]}")
    return done.stdout.splitlines()[-1]


if __name__ == "__main__":
    sys.exit(main())
