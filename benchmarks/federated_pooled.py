# SPDX-License-Identifier: Apache-2.0
"""Runs of `pocketrec federate` with several seeds, as one: gains over users of all of them, with paired intervals.

    python benchmarks/federated_pooled.py RUN...

Users of different seeds are taken as different users; a run whose rehearsal chose none counts with a federated model
that is the global one. `share` is the gain of federation as a share of the gain of retraining in the cloud, and
`beyond` the paired difference federated - global - .9 (central - global), which is above 0 where at least 90 % are
reached. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from pocketrec.cloud.evaluation.evaluate import read_users
from pocketrec.cloud.federated.choice import share_of_gain
from pocketrec.cloud.metrics.metrics import bootstrap_mean, paired, user_values

_SAMPLES, _SEED = 10_000, 1


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="run directories")
    print(render(pooled(parser.parse_args().runs)))


def pooled(runs: list[Path]) -> dict[str, Any]:
    """All figures."""
    users = [entry for run in runs for entry in read_users(run / "federate" / "fleet")]
    facts = [json.loads((run / "federate" / "metrics.json").read_text(encoding="utf-8"))["federate"] for run in runs]
    systems = [name for name in ("global", "federated", "central", "central_tuned") if name in users[0]["ranks"]]
    values = {name: user_values([entry["ranks"][name] for entry in users]) for name in systems}
    found: dict[str, Any] = {
        "runs": [str(run) for run in runs], "users": len(users),
        "federated_in": sum(one["chosen"] is not None for one in facts), "chosen": [one["chosen"] for one in facts],
        "bytes_up": max(one.get("bytes_up", 0) for one in facts),
        "bytes_down": max(one.get("bytes_down", 0) for one in facts),
        "mrr@20": {name: float(value.mean()) for name, value in values.items()},
        "compare": {name: paired(values[name], values["global"], _SAMPLES, _SEED).to_dict() for name in systems[1:]},
    }  # fmt: skip
    gain = values["federated"] - values["global"]
    for name in systems[2:]:
        whole = values[name] - values["global"]
        found[f"share_of_{name}"] = share_of_gain(values["global"], values["federated"], values[name], _SAMPLES, _SEED)
        found[f"beyond_{name}"] = bootstrap_mean(gain - 0.9 * whole, _SAMPLES, _SEED).to_dict()
    found["positive"] = float((np.sign(gain) > 0).mean())
    return found


def render(found: dict[str, Any]) -> str:
    """The figures as a table, and JSON as the last line."""
    lines = [f"{found['users']} users of {len(found['runs'])} runs, of which {found['federated_in']} federate"]
    for name, value in found["mrr@20"].items():
        against = found["compare"].get(name)
        told = "" if against is None else (
            f"{against['mean']:+.4f} ({against['low']:+.4f} to {against['high']:+.4f}), "
            f"{against['gained']} : {against['harmed']}"
        )
        lines.append(f"{name:<16} {value:.4f}  {told}")
    for name in ("central", "central_tuned"):
        if f"share_of_{name}" in found:
            beyond, share = found[f"beyond_{name}"], found[f"share_of_{name}"]["mean"]
            told = "none, for it gained nothing" if share is None else f"{share:.2f}"
            lines.append(f"share of {name}: {told}; beyond 90 % of it "
                         f"{beyond['mean']:+.4f} ({beyond['low']:+.4f} to {beyond['high']:+.4f})")  # fmt: skip
    return "\n".join([*lines, json.dumps(found)])


if __name__ == "__main__":
    main()
