# SPDX-License-Identifier: Apache-2.0
"""The stages `prepare` and `candidates` on Apache Spark, with the results of the one-machine path.

`prepare` writes the same bytes: Spark cuts the log into parts and moves rows; what a row means is decided by the very
functions of `pocketrec.cloud.data`. ALS is Spark's own, so its factors differ and its recall is compared. Nothing here
is imported unless ``resources.engine`` is ``spark``; pyspark and Java are needed then.
"""
