# SPDX-License-Identifier: Apache-2.0
"""One Spark cluster for all tests of Spark; they are skipped where Java or pyspark is missing."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Iterator
from typing import Any

import pytest


@pytest.fixture(scope="session")
def master(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if not shutil.which("java"):
        pytest.skip("no Java")
    if importlib.util.find_spec("pyspark") is None:
        pytest.skip("no pyspark")
    from cluster import spark_cluster

    with spark_cluster(tmp_path_factory.mktemp("cluster")) as url:
        yield url


@pytest.fixture(scope="module")
def spark(master: str) -> Iterator[Any]:
    """A session, which holds all cores of the cluster: it ends with its module, and they are free for the command."""
    from pocketrec.cloud.spark.session import spark_session

    with spark_session(master) as session:
        yield session
