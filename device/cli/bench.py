# SPDX-License-Identifier: Apache-2.0
"""The subcommand bench; mounted by `pocketrec.cli`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from pocketrec.device.base.errors import DataError
from pocketrec.device.cli.command import Command
from pocketrec.device.cli.options import print_json, print_rows, runtime_options

if TYPE_CHECKING:
    import argparse


def add_bench(parser: argparse.ArgumentParser) -> None:
    """Arguments of `pocketrec bench`."""
    parser.description = (
        "Measure the train step, embed and infer of a bundle's model, and retrieve and rank of a file that has them:\n"
        "first call, percentiles, memory, the start of a process, and each time as a multiple of what its matrix\n"
        "products alone would take on this core.\n"
        "The last line of output is JSON and holds the raw series too."
    )
    place = parser.add_mutually_exclusive_group(required=True)
    place.add_argument("place", metavar="BUNDLE", nargs="?", help="folder or .zip of a bundle")
    place.add_argument("--bundle", metavar="PATH", help="the same")
    parser.add_argument("--calls", type=int, default=100, metavar="N", help="calls of each kind (default: 100)")
    runtime_options(parser)


def run_bench(args: argparse.Namespace) -> int:
    """`pocketrec bench`; 0, or a `PocketRecError`."""
    from pocketrec.device.bench.bench import bench
    from pocketrec.device.delivery.bundle import open_bundle
    from pocketrec.device.engine.runtime import check_threads

    if args.calls < 1:
        raise DataError("--calls must be at least 1: give a larger number")
    check_threads(args.threads)
    result = bench(open_bundle(args.place or args.bundle), args.runtime, args.threads, args.calls)
    print_result(result)
    print_json(result)
    return 0


def print_result(result: dict[str, Any]) -> None:
    """A result as tables for people."""
    machine, governor = result["machine"], result["machine"]["governor"]
    cores = f"{machine['cores']} cores" + (f", governor {governor}" if governor else "")
    runtime = f"{result['runtime']} {result['runtime_version']}"
    print(f"{runtime}, {result['threads']} thread(s), {machine['processor'] or machine['architecture']} ({cores})")
    if result["emulated"]:
        print("emulated: times and memory say nothing about a device")
    names = ("first_ms", "ms_p50", "ms_p90", "ms_p99", "limit_ms", "ratio")
    rows = []
    for kind in result["raw_ms"]:
        values = [result[f"{kind}_{name}"] for name in names]
        rows.append((kind, *("-" if value is None else f"{value:.3f}" for value in values)))
    print_rows(("call", "first ms", "p50 ms", "p90 ms", "p99 ms", "limit ms", "ratio"), rows)
    if result["sgemm_gflops"] is not None:
        print(f"limit: the matrix products alone at {result['sgemm_gflops']:.1f} GFLOP/s, numpy's rate here")
    start = "" if result["start_ms"] is None else f"; import to first recommendation {result['start_ms']:.0f} ms"
    print(f"loading {result['load_ms']:.1f} ms{start}")
    before, delta, peak = result["rss_before_mb"], result["rss_delta_mb"], result["peak_rss_mb"]
    print(f"memory: {before} MB before loading, {delta:+} MB by it, peak {peak} MB; energy {result['energy']}")


COMMANDS: Final[dict[str, Command]] = {
    "bench": Command("time the train step, embedding and scoring, and measure memory", add_bench, run_bench),
}
