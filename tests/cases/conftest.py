# SPDX-License-Identifier: Apache-2.0
"""Made-up logs for everything that people hand in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from case_logs import Read

from pocketrec.cloud.config.data import DataConfig
from pocketrec.cloud.data.log import Log
from pocketrec.cloud.data.readers import read_log


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Writes a file and reads it; every share of bad rows passes."""

    def write_and_read(content: str | bytes, name: str = "log.csv", **options: Any) -> Log:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return read_log(DataConfig(path=str(path), **{"max_bad_share": 0.99, **options}))

    return write_and_read
