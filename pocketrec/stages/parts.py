# SPDX-License-Identifier: Apache-2.0
"""What the stages share: parts of keys, and the threads of TensorFlow."""

from __future__ import annotations

import os
from typing import Any

from pocketrec.cloud.base.runs import Run
from pocketrec.cloud.config.run import RunConfig
from pocketrec.cloud.config.section import key_values


def plain(*configs: Any) -> list[Any]:
    """Tables of the configuration as plain values, for a stage's key.

    Runs that were made before a field came, or before a key got another address, stay up to date
    (`pocketrec.cloud.config.section.key_values`).
    """
    return [key_values(config) for config in configs]


def unusual(*configs: Any) -> list[Any]:
    """The same for tables that came later: nothing of one that is as it is by default."""
    return plain(*(config for config in configs if config != type(config)()))


def ranking(config: RunConfig) -> list[Any]:
    """How ranks are taken, for a stage's key."""
    return [config.evaluate.mask_seen, config.evaluate.ties, config.evaluate.bootstrap]


def use_threads(run: Run) -> None:
    """Give TensorFlow its threads; has an effect before TensorFlow is first used only."""
    threads = str(run.config.resources.threads or os.cpu_count() or 1)
    os.environ.setdefault("TF_NUM_INTRAOP_THREADS", threads)
    os.environ.setdefault("TF_NUM_INTEROP_THREADS", "1")
