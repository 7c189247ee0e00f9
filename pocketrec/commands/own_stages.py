# SPDX-License-Identifier: Apache-2.0
"""Commands with stages of their own, in a run directory as `pocketrec run` has it."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pocketrec.cloud.base.runs import Stage
    from pocketrec.cloud.config.run import RunConfig


def run_own_stages(
    options: argparse.Namespace, config: RunConfig, stages: Sequence[Stage], results: Callable[[Path], str]
) -> None:
    """Bring the stages up to date, and print the results.

    Args:
        options: ``config``, ``out`` (the default is put in) and ``quiet``.
        config: the configuration.
        stages: in their order.
        results: of a run directory: what is printed, with one JSON document as the last line.
    """
    from pocketrec.cloud.base.runs import Pipeline, Run

    options.out = options.out or Path("runs", Path(options.config).stem)

    def say(line: str) -> None:
        if not options.quiet:
            print(line, file=sys.stderr, flush=True)

    started = time.monotonic()
    work = Run(config, options.out, say, terminal=None if options.quiet else sys.stderr)
    Pipeline(stages, work).execute()
    say(f"done in {time.monotonic() - started:.1f} s")
    print(results(options.out))
