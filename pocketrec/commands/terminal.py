# SPDX-License-Identifier: Apache-2.0
"""Where output goes while a command works."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final, TextIO

from pocketrec.device.base.errors import ConfigError

#: What a run directory's log of the libraries' messages is called.
LOG_FILE: Final = "log.txt"


@contextlib.contextmanager
def native_noise_into(log: Path) -> Iterator[TextIO]:
    """Send what libraries (C++ ones too) write to standard error into a file, and what the logger ``pocketrec`` gets,
    with the time; yield the true standard error."""
    try:
        redirected = sys.stderr.fileno() == 2
    except (AttributeError, OSError, io.UnsupportedOperation):
        redirected = False
    if not redirected:  # under a test runner, say
        yield sys.stderr
        return
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        file = log.open("ab")
    except OSError as error:
        raise ConfigError(f"cannot write {log} ({error.strerror}): name another folder with --out") from None
    saved = os.dup(2)
    with file, os.fdopen(saved, "w", encoding=sys.stderr.encoding, errors="backslashreplace") as terminal:
        sys.stderr.flush()
        os.dup2(file.fileno(), 2)
        try:
            with contextlib.nullcontext() if log == Path(os.devnull) else _logged():
                yield terminal
        finally:
            sys.stderr.flush()
            terminal.flush()
            os.dup2(saved, 2)


@contextlib.contextmanager
def _logged() -> Iterator[None]:
    """Write what the logger ``pocketrec`` gets to standard error, from INFO on."""
    import logging  # not by commands of devices, which start often

    logger, handler = logging.getLogger("pocketrec"), logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(min(level or logging.INFO, logging.INFO))
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
