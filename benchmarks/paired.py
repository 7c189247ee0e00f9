# SPDX-License-Identifier: Apache-2.0
"""Is one model better than another on the same log? Runs of two configurations, user by user, with paired intervals.

    python benchmarks/paired.py --first RUN... --second RUN... [--system global]

The runs are finished runs of logs with devices (`pocketrec run`), as many first ones as second ones: the first of each
are compared, then the second of each, and so on, such as runs of several seeds, whose users count as different ones.
Both of a pair must have judged the same users on the same positions. The difference is second less first, with a 95 %
interval over users. Prints a table, and one JSON document as the last line.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from pocketrec.cloud.evaluation.evaluate import read_users
from pocketrec.cloud.metrics.metrics import paired, user_values
from pocketrec.device.base.errors import DataError, PocketRecError

_SAMPLES, _SEED = 10_000, 1
_MEASURES = ("recall@20", "mrr@20")


def ranks_of(first: Path, second: Path, system: str) -> list[tuple[Any, Any]]:
    """The ranks of each user in both runs.

    Raises:
        DataError: a run has none, or the two have judged different users or positions.
    """
    both = [read_users(run / "fleet") for run in (first, second)]
    seen = [[(entry["user"], len(entry["ranks"].get(system, ()))) for entry in users] for users in both]
    if seen[0] != seen[1] or not any(count for _, count in seen[0]):
        raise DataError(
            f"{first} and {second} have not judged {system} on the same users and positions: "
            "name runs with the same [data], [split] and [evaluate]"
        )
    return [(one["ranks"][system], other["ranks"][system]) for one, other in zip(*both, strict=True)]


def main() -> int:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--first", type=Path, nargs="+", required=True, metavar="RUN")
    parser.add_argument("--second", type=Path, nargs="+", required=True, metavar="RUN")
    parser.add_argument("--system", default="global", help="of both runs")
    options = parser.parse_args()
    if len(options.first) != len(options.second):
        parser.error("--first and --second have different numbers of runs: name them in pairs")
    try:
        pairs = [ranks_of(*runs, options.system) for runs in zip(options.first, options.second, strict=True)]
    except PocketRecError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    found: dict[str, Any] = {"first": list(map(str, options.first)), "second": list(map(str, options.second)),
                             "system": options.system, "users": sum(map(len, pairs))}  # fmt: skip
    print(f"{found['users']} users of {len(pairs)} pairs of runs, {options.system}, second less first")
    for measure in _MEASURES:
        first, second = (
            np.concatenate([user_values([user[side] for user in pair], measure) for pair in pairs]) for side in (0, 1)
        )
        found[measure] = {"first": float(first.mean()), "second": float(second.mean()),
                          **paired(second, first, _SAMPLES, _SEED).to_dict()}  # fmt: skip
        one = found[measure]
        print(f"{measure:<10} {one['first']:.4f} -> {one['second']:.4f}  {one['mean']:+.4f}  95 % {one['low']:+.4f} to "
              f"{one['high']:+.4f}  users gained {one['gained']}, harmed {one['harmed']}")  # fmt: skip
    print(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
