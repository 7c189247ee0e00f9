# SPDX-License-Identifier: Apache-2.0
"""How many users a guard could protect that has seen their test events: ``python benchmarks/guard_bound.py RUN...``.

On a device the guard uses a user's earlier events to decide between personal and global model. The guard measured here
uses data that no device has: the gain of personal ranking at every second one of the user's *test* events. Where that
gain is below a threshold the user gets the global model, and the result is measured at the other test events; then the
two halves change places. The threshold is the one with the fewest users harmed among those that keep nine tenths of the
gain, chosen on the same users.

It bounds guards that know as many events of a user as they are judged by, or fewer; a device holds back three tenths of
what it learns from. What many more events of the user would tell, it does not say.

Told of each run (users with at least two test events, gain in MRR@20 of personal over global, harmed = a loss above
.01): users; the gain; the correlation of a user's gains in the two halves; how often users are harmed in one half, and
how often those who are harmed in the other; and the users harmed and the gain with that guard, each as a share of what
it is without. A run whose devices have a guard already is refused. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketrec.cloud.evaluation.evaluate import read_users
from pocketrec.cloud.metrics.metrics import HEADLINE, MARGIN, per_position
from pocketrec.device.contract.recipe import Recipe

Floats = NDArray[np.float64]

#: Share of the gain that must stay.
KEPT = 0.9


def halves(ranks: list[dict[str, Floats]]) -> Floats:
    """Mean gain of each user at the even and at the odd places of the test events, [users, 2]."""
    found = []
    for one in ranks:
        gain = per_position(one["personal"], HEADLINE) - per_position(one["global"], HEADLINE)
        if len(gain) > 1:
            found.append([gain[0::2].mean(), gain[1::2].mean()])
    return np.array(found).reshape(-1, 2)


def bound(gains: Floats) -> dict[str, Any]:
    """The best that refusing users by one half does in the other.

    Args:
        gains: [users, 2], as `halves` has them.
    """
    known, judged = gains.ravel(), gains[:, ::-1].ravel()  # each half decides once, and is judged once
    harmed = judged < -MARGIN
    best = {"harmed": 1.0, "gain": 1.0}
    for threshold in np.unique(known):
        kept = known >= threshold
        gain = float(judged[kept].sum() / judged.sum()) if judged.sum() > 0 else 0.0
        share = float((harmed & kept).sum() / max(1, harmed.sum()))
        if gain >= KEPT and share < best["harmed"]:
            best = {"harmed": share, "gain": gain}
    before = known < -MARGIN
    return {
        "users": len(gains), "gain": float(gains.mean()),
        "correlation": float(np.corrcoef(gains.T)[0, 1]) if gains.std(axis=0).all() else None,
        "harmed": float(harmed.mean()),
        "harmed_again": float(harmed[before].mean()) if before.any() else None,
        "guarded": best,
    }  # fmt: skip


def gains_of(run: Path) -> Floats:
    """`halves` of a run whose devices have no guard."""
    recipe = Recipe.from_dict(json.loads((run / "rehearse" / "recipe.json").read_text(encoding="utf-8")))
    if not recipe.personalise or recipe.guard.enabled:
        why = "has a guard" if recipe.personalise else "has no personal training"
        raise SystemExit(f"error: {run}: its recipe {why}, so there is nothing to see: name another run")
    return halves([entry["ranks"] for entry in read_users(run / "fleet")])


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="run directories")
    found = {}
    print("run                        users     gain  correlation  harmed  again   with that guard: harmed   gain")
    for run in parser.parse_args().runs:
        one = found[str(run)] = bound(gains_of(run))
        shown = {name: f"{one[name]:.2f}" if one[name] is not None else "-" for name in ("correlation", "harmed_again")}
        print(f"{run.name:<24} {one['users']:7,}  {one['gain']:+.4f}  {shown['correlation']:>11}  "
              f"{one['harmed']:6.3f}  {shown['harmed_again']:>5}  {one['guarded']['harmed']:24.2f}  "
              f"{one['guarded']['gain']:5.2f}")  # fmt: skip
    print(json.dumps({"runs": found}))


if __name__ == "__main__":
    main()
