# SPDX-License-Identifier: Apache-2.0
"""The one form of a benchmark's result, whoever measured it: `pocketrec bench`, the Java runner, a board over ssh.

    python -m pocketrec.device.bench.schema RESULT.json      # 0, or 2 and what is wrong ("-" reads standard input)

Names end in their unit: ``_ms`` milliseconds, ``_mb`` 10^6 bytes, ``_c`` degrees Celsius. A value that could not be
measured is null, and never absent. Further tables of a caller's own (``android``) may stand beside.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from pocketrec.device.base import documents
from pocketrec.device.base.fields import FieldError, take

#: Version of this form.
FORMAT: Final = 2
#: What is timed in every result: a train step, the user embedding, scores of C candidates.
KINDS: Final = ("train", "embed", "infer")
#: The only value of ``energy`` that was not read from a meter.
NOT_MEASURED: Final = "not measured"

_OR_NULL = float | None

#: Field -> what it takes, as an annotation that `pocketrec.device.base.fields` knows.
FIELDS: Final[dict[str, Any]] = {
    "format": int,  # FORMAT
    "runtime": str,  # ai_edge_litert, tflite_runtime, or the Java runner's
    "runtime_version": str,
    "python": str,  # "" where it is not Python
    "numpy": str,  # the same
    "machine": dict,  # MACHINE
    "emulated": bool,  # another processor's instructions were interpreted: times and memory mean nothing
    "threads": int,  # of the runtime's kernels
    "energy": str | float,  # joules of a train step from a meter, else NOT_MEASURED
    "temperature_before_c": _OR_NULL,  # of the hottest thermal zone
    "temperature_after_c": _OR_NULL,
    "model_id": str,  # the bundle's
    "model_sha256": str,  # of the file that was run; the model id, but for lean bundles
    "model": dict,  # the manifest's table `model`
    "calls": int,  # timed calls of each kind
    "warm_up_calls": int,  # calls of each kind before them, after the first
    "load_ms": float,  # opening the model file
    "start_ms": _OR_NULL,  # a new process: from the first import to the first recommendation, median
    "rss_before_mb": float,  # resident memory before loading; 0 = the system does not tell, as below
    "rss_mb": float,  # after the last call
    "rss_delta_mb": float,  # rss_mb - rss_before_mb: what the model took
    "peak_rss_mb": float,  # VmHWM of the whole process
    "sgemm_gflops": _OR_NULL,  # 10^9 FLOP a second of a float32 matrix product here, in the same run
    "raw_ms": dict,  # kind -> the series, one number a call
}

#: Fields of each kind, with the kind and "_" before them.
KIND_FIELDS: Final[dict[str, Any]] = {
    "first_ms": float,  # the very first call
    "ms_p50": float,
    "ms_p90": float,
    "ms_p99": float,
    "mflop": _OR_NULL,  # 10^6 FLOP of its matrix products (`pocketrec.device.bench.limit`)
    "limit_ms": _OR_NULL,  # mflop / sgemm_gflops
    "ratio": _OR_NULL,  # ms_p50 / limit_ms
}

#: Fields of the table ``machine``.
MACHINE: Final[dict[str, Any]] = {
    "system": str,
    "architecture": str,
    "processor": str,
    "cores": int,
    "governor": str,  # of the processor's frequency; "" where the system does not tell
}


def problem(result: Any) -> str:
    """What is wrong with a result, in one line; "" where it has the form of this module."""
    if not isinstance(result, Mapping):
        return "a result is a JSON object"
    fields = {**FIELDS, **{f"{kind}_{name}": takes for kind in KINDS for name, takes in KIND_FIELDS.items()}}
    if found := _wrong(result, fields, "") or _wrong(result["machine"], MACHINE, "machine."):
        return found
    if result["format"] != FORMAT:
        return f"format is {result['format']} and not {FORMAT}"
    if isinstance(result["energy"], str) and result["energy"] != NOT_MEASURED:
        return f"energy is {result['energy']!r}: give joules, or {NOT_MEASURED!r}"
    for kind in KINDS:
        series = result["raw_ms"].get(kind)
        if not isinstance(series, list) or len(series) != result["calls"] or not all(map(_is_time, series)):
            return f"raw_ms.{kind} must be {result['calls']} times"
        p50, p90, p99 = (result[f"{kind}_ms_p{quantile}"] for quantile in (50, 90, 99))
        if not 0 < p50 <= p90 <= p99 or not min(series) - 1e-3 <= p50 <= max(series) + 1e-3:
            return f"the percentiles of {kind} are not those of its series"
    return ""


def _wrong(table: Mapping[str, Any], fields: Mapping[str, Any], prefix: str) -> str:
    for name, takes in fields.items():
        if name not in table:
            return f"{prefix}{name} is missing"
        try:
            take(takes, table[name], f"{prefix}{name}")
        except FieldError as error:
            return str(error)
    return ""


def _is_time(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < math.inf


def main(arguments: list[str]) -> int:
    """Check the file that is named; see the module."""
    try:
        text = sys.stdin.read() if arguments == ["-"] else Path(*arguments).read_text(encoding="utf-8")
        found = problem(documents.parse(text.strip().splitlines()[-1]))
    except (OSError, ValueError, IndexError, TypeError) as error:
        found = f"no result can be read ({error}): name one file whose last line is JSON"
    if found:
        print(f"error: {found}", file=sys.stderr)
    return 2 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
