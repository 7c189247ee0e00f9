"""What the stages share: parts of keys, and the threads of TensorFlow."""

from __future__ import annotations

import dataclasses
import os
from typing import Any

from pocketrec.cloud.base.runs import Run
from pocketrec.cloud.config.checks import LATER
from pocketrec.cloud.config.run import RunConfig


def plain(*configs: Any) -> list[Any]:
    """Tables of the configuration as plain values, for a stage's key.

    A field that came later (`pocketrec.cloud.config.checks.LATER`) is left out while it has its default: runs that were
    made before it stay up to date.
    """
    return [_plain(config) for config in configs]


def unusual(*configs: Any) -> list[Any]:
    """The same for tables that came later: nothing of one that is as it is by default."""
    return plain(*(config for config in configs if config != type(config)()))


def _plain(config: Any) -> dict[str, Any]:
    later = [f.name for f in dataclasses.fields(config) if f.metadata == LATER and getattr(config, f.name) == f.default]
    return {name: value for name, value in dataclasses.asdict(config).items() if name not in later}


def ranking(config: RunConfig) -> list[Any]:
    """How ranks are taken, for a stage's key."""
    return [config.evaluate.mask_seen, config.evaluate.ties, config.evaluate.bootstrap]


def use_threads(run: Run) -> None:
    """Give TensorFlow its threads; has an effect before TensorFlow is first used only."""
    threads = str(run.config.resources.threads or os.cpu_count() or 1)
    os.environ.setdefault("TF_NUM_INTRAOP_THREADS", threads)
    os.environ.setdefault("TF_NUM_INTEROP_THREADS", "1")
