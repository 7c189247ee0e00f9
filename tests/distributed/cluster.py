# SPDX-License-Identifier: Apache-2.0
"""A Spark standalone cluster on the loopback: a master and two workers, each a Java process of its own.

``python cluster.py FOLDER`` starts one and waits to be killed.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

from processes import process_group, start, wait_for

# For processes that live for seconds: compiling to fast code would cost more than it saves. Frames of such code are
# larger, and ALS nests its tasks by the number of iterations, so threads get more stack than the usual 1 MB.
QUICK = "-XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Xss8m"
SETTINGS = f"""\
spark.driver.extraJavaOptions {QUICK}
spark.executor.extraJavaOptions {QUICK}
spark.executor.memory 700m
spark.executor.cores 1
spark.python.worker.reuse true
spark.sql.shuffle.partitions 3
spark.sql.files.maxPartitionBytes 40000
"""


@contextlib.contextmanager
def spark_cluster(folder: Path, workers: int = 2) -> Iterator[str]:
    """Yield ``spark://127.0.0.1:PORT``; settings of the session are in $SPARK_CONF_DIR meanwhile."""
    import pyspark

    home = Path(pyspark.__file__).parent
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "spark-defaults.conf").write_text(SETTINGS)
    local = {
        "SPARK_HOME": str(home), "SPARK_CONF_DIR": str(folder), "SPARK_LOCAL_IP": "127.0.0.1",
        "SPARK_DAEMON_MEMORY": "256m", "SPARK_DAEMON_JAVA_OPTS": QUICK,
        "SPARK_LOCAL_DIRS": str(folder / "scratch"), "PYSPARK_PYTHON": sys.executable,
    }  # fmt: skip
    with process_group() as environment:
        java, package = str(home / "bin" / "spark-class"), "org.apache.spark.deploy"
        where = ["--host", "127.0.0.1", "--port", "0", "--webui-port", "0"]
        environment |= local
        log = folder / "master.log"
        master = start([java, f"{package}.master.Master", *where], environment, log)
        url = wait_for(master, log, r"Starting Spark master at (spark://\S+)")
        size = ["--cores", "1", "--memory", "1g", "--work-dir", str(folder / "work")]
        started = []
        for number in range(workers):
            log = folder / f"worker{number}.log"
            started.append((start([java, f"{package}.worker.Worker", *where, *size, url], environment, log), log))
        for worker, log in started:
            wait_for(worker, log, "(Successfully registered) with master")
        before = {name: os.environ.get(name) for name in local}
        os.environ.update(local)
        try:
            yield url
        finally:
            for name, value in before.items():
                if value is None:
                    del os.environ[name]
                else:
                    os.environ[name] = value


if __name__ == "__main__":
    with spark_cluster(Path(sys.argv[1]), workers=1) as url:
        print(url, flush=True)
        signal.pause()
