# SPDX-License-Identifier: Apache-2.0
"""Every baseline on the clients' training events, in the form of scores of all items."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pocketrec.cloud.base.progress import Progress, no_progress
from pocketrec.cloud.baselines.baseline import Baseline, Past
from pocketrec.cloud.baselines.fitting import fit_all, judged
from pocketrec.cloud.federated.pfedrec.config import PFedRecRun
from pocketrec.cloud.federated.pfedrec.data import Split
from pocketrec.cloud.federated.pfedrec.evaluation import Scorer


def baselines(config: PFedRecRun, split: Split, progress: Progress = no_progress) -> dict[str, Scorer]:
    """Fit every baseline that is judged, by name.

    Args:
        config: [baselines], [candidates.als] for ALS.
        split: the clients.
        progress: called with the alternations of ALS.
    """
    before = split.sequences()
    past = Past(before, split.items, config.seed, config.resources.threads, progress)

    def scorer(baseline: Baseline) -> Scorer:
        def scores(first: int, last: int) -> NDArray[np.float32]:
            histories = [before.of(user)[0] for user in range(first, last)]
            return baseline.many(histories, before.users[first:last].tolist())[:, 1:]

        return scores

    return {name: scorer(found) for name, found in fit_all(config, past, judged(config, personal=True)).items()}
