# SPDX-License-Identifier: Apache-2.0
"""One Spark cluster and one session for all tests of Spark; they are skipped where Java or pyspark is missing."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Iterator
from typing import Any

import pytest


def _master(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if not shutil.which("java"):
        pytest.skip("no Java")
    if importlib.util.find_spec("pyspark") is None:
        pytest.skip("no pyspark")
    from cluster import spark_cluster

    with spark_cluster(tmp_path_factory.mktemp("cluster")) as url:
        yield url


#: The cluster of the session `spark`, which holds all of its cores.
master = pytest.fixture(scope="session")(_master)
#: A cluster of its own, whose cores are free for the command.
free_master = pytest.fixture(scope="module")(_master)


@pytest.fixture(scope="session")
def spark(master: str) -> Iterator[Any]:
    from pocketrec.cloud.spark.session import spark_session

    with spark_session(master) as session:
        yield session
