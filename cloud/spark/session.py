# SPDX-License-Identifier: Apache-2.0
"""A Spark session that ends with its block, and Spark's errors as one line each.

This module knows nothing about logs or candidates.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pocketrec.device.base.errors import ConfigError, DataError

_LOOPBACK = ("localhost", "127.0.0.1")
_PATIENCE = 10  # seconds in which a master must answer
_SETTINGS = {
    "spark.driver.maxResultSize": "0",  # what comes back is what RUN/data holds
    "spark.sql.execution.arrow.maxRecordsPerBatch": str(1 << 17),
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.ansi.enabled": "true",
    "spark.ui.showConsoleProgress": "false",
}
_ON_LOOPBACK = {
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.ui.enabled": "false",
}


@contextlib.contextmanager
def spark_session(master: str) -> Iterator[Any]:
    """Yield a `SparkSession` on `master`; afterwards it is stopped and its Java process has ended.

    All other settings (memory, cores, shuffle) are Spark's own: ``conf/spark-defaults.conf`` in $SPARK_CONF_DIR.

    Args:
        master: ``local[2]``, ``spark://host:port``, ``yarn``, ``k8s://...``; empty = that of spark-submit, or
            ``local[*]``.

    Raises:
        ConfigError: pyspark or Java is missing, or no master answers.
        DataError: a job failed; the message names the cause.
    """
    sql = _import()
    _check_java()
    _check_master(master)
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    builder = sql.SparkSession.builder.appName("pocketrec")
    near = master.startswith("local") or urlsplit(master).hostname in _LOOPBACK
    if near:
        os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
        os.environ.setdefault("PYTHONSAFEPATH", "1")  # Spark's Python processes start in the current folder
    if master or "PYSPARK_GATEWAY_PORT" not in os.environ:  # which spark-submit sets, together with its own master
        builder = builder.master(master or "local[*]")
    for key, value in (_SETTINGS | (_ON_LOOPBACK if near else {})).items():
        builder = builder.config(key, value)
    with _one_line(master):
        spark = builder.getOrCreate()
    try:
        with _one_line(master):  # inside: the error's words are asked of the Java process
            yield spark
    finally:
        _end(spark)


def _import() -> Any:
    try:
        from pyspark import sql
    except ImportError:
        raise ConfigError(
            "resources.engine spark needs pyspark: pip install 'pocketrec[spark]', or use --engine local"
        ) from None
    return sql


def _check_java() -> None:
    home = os.environ.get("JAVA_HOME")
    if not shutil.which(str(Path(home, "bin", "java")) if home else "java"):
        raise ConfigError(
            "Spark needs Java 17 and there is none: install it (on Debian: openjdk-17-jre-headless) or set JAVA_HOME, "
            "or use --engine local"
        )


def _check_master(master: str) -> None:
    """Spark itself would try for a minute, or end with a page of Java."""
    if not re.match(r"$|local(\[.*\])?$|yarn$|spark://.|k8s://.", master):
        raise ConfigError(
            f"{master!r} is not a Spark master: use local[2], spark://host:7077, yarn or k8s://https://host:443"
        )
    if master == "yarn" and not {"HADOOP_CONF_DIR", "YARN_CONF_DIR"} & os.environ.keys():
        raise ConfigError("for master yarn set HADOOP_CONF_DIR to the folder of the cluster's configuration")
    if not master.startswith("spark://"):
        return
    answers = []
    for address in master.removeprefix("spark://").split(","):
        host, _, port = address.rpartition(":")
        with contextlib.suppress(OSError, ValueError), socket.create_connection((host, int(port)), _PATIENCE):
            answers.append(address)
    if not answers:
        raise ConfigError(f"no Spark master answers at {master}: start one, or correct --master")


@contextlib.contextmanager
def _one_line(master: str) -> Iterator[None]:
    from py4j.protocol import Py4JError
    from pyspark.errors import PySparkException

    try:
        yield
    except (Py4JError, PySparkException) as error:
        ours = re.search(rf"{re.escape(DataError.__module__)}\.\w+: ([^\n]+)", str(error))
        if ours:  # raised where the rows are
            raise DataError(ours[1]) from None
        causes = re.findall(r"(?:Caused by: |: )((?:[\w.]+)(?:Exception|Error): [^\n]+)", str(error))
        cause = causes[-1] if causes else str(error).strip().split("\n")[0]
        where = f" on {master}" if master else ""
        raise DataError(f"the Spark job{where} failed ({cause}): see log.txt in the run directory") from error


def _end(spark: Any) -> None:
    """Stop the session and wait for its Java process, which Spark leaves running until Python ends."""
    from pyspark import SparkContext

    gateway = SparkContext._gateway
    with contextlib.suppress(Exception):  # a lost master must not hide the error that is on its way
        spark.stop()
    process = getattr(gateway, "proc", None)
    if process is None:  # under spark-submit, which ends it
        return
    with contextlib.suppress(Exception):
        gateway.shutdown()
    process.stdin.close()
    try:
        process.wait(20)
    except Exception:
        process.kill()
        process.wait()
    SparkContext._gateway = SparkContext._jvm = None
