from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pocketrec.cloud.config import load_config
from pocketrec.cloud.data.location import data_root
from pocketrec.cloud.data.prepared import load_cloud, load_devices, prepare
from pocketrec.cloud.evaluate_global import sequence_ranks
from pocketrec.cloud.train import train
from pocketrec.device.errors import DataError

CONFIG = Path(__file__).parents[2] / "configs" / "yoochoose-100k.toml"


def has_log() -> bool:
    try:
        return (data_root() / "yoochoose-100k").is_dir()
    except DataError:
        return False


@pytest.mark.slow
@pytest.mark.real_data
@pytest.mark.skipif(not has_log(), reason="no yoochoose-100k under the data root")
def test_it_beats_the_official_gru4rec(tmp_path: Path) -> None:
    """Recall@20 and MRR@20 of GRU4Rec's own code on this split; full ranking, ties against the target."""
    config = load_config(CONFIG)
    prepare(config, tmp_path)
    data, devices = load_cloud(tmp_path), load_devices(tmp_path)
    trained = train(config.model, config.train, data.before, len(data.vocabulary), tmp_path, seed=config.seed)
    ranks = np.concatenate(
        sequence_ranks(trained.model, devices.after, config.model.window, config.evaluate)["global"]
    )
    hit = ranks <= 20
    assert len(ranks) == 10_152
    assert hit.mean() >= 0.6808
    assert (hit / ranks).mean() >= 0.3576
