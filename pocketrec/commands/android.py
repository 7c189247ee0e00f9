# SPDX-License-Identifier: Apache-2.0
"""The subcommand android: devices, install, run, report; mounted by `pocketrec.cli`.

Each prints a table, and as its last line one JSON document. No TensorFlow is imported.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pocketrec.device.base import documents
from pocketrec.device.cli.command import Command
from pocketrec.device.cli.options import print_json, print_rows, print_table

if TYPE_CHECKING:
    import argparse

#: What `make apk` makes.
APK: Final = Path("build/android/apk/pocketrec.apk")
#: Where results are kept if nobody says.
RESULTS: Final = Path("runs/bench")


def add_android(parser: argparse.ArgumentParser) -> None:
    """Arguments of `pocketrec android`."""
    parser.description = (
        "Measure a bundle on an Android phone or emulator, and compare machines. docs/android.md has the whole way.\n"
        "Needs adb (on Debian: apt-get install adb), USB debugging on the phone, and the app: make apk"
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    actions.add_parser("devices", help="list what adb sees")

    install = actions.add_parser("install", help="install the app")
    install.add_argument("apk", metavar="APK", nargs="?", type=Path, default=APK, help=f"default: {APK}")
    _serial(install)

    run = actions.add_parser("run", help="push a bundle, measure it in the app, and fetch the result")
    run.add_argument("bundle", metavar="BUNDLE", type=Path, help="folder or .zip of a bundle")
    _serial(run)
    run.add_argument("--runs", type=int, default=100, metavar="N", help="calls of each kind (default: 100)")
    run.add_argument("--threads", type=int, default=1, metavar="N", help="threads of the runtime (default: 1)")
    run.add_argument("--xnnpack", choices=["on", "off"], default="on", help="let XNNPACK run what it can (default: on)")
    run.add_argument("--timeout", type=float, default=600.0, metavar="S", help="seconds to wait (default: 600)")
    run.add_argument("--out", metavar="FILE", type=Path, help=f"keep the result here (default: {RESULTS}/DEVICE.json, "
                     "with other settings after DEVICE)")  # fmt: skip
    run.add_argument(
        "--compare", metavar="FILE", nargs="+", type=Path, default=[],
        help="results of other machines (the output of `pocketrec bench`), for one table with this one",
    )  # fmt: skip
    run.add_argument("--page", metavar="FILE", type=Path, help="write the comparison as a page with plots, too")

    report = actions.add_parser("report", help="compare results of phones, boards and computers; write a page")
    report.add_argument(
        "results", metavar="FILE", nargs="*", type=Path,
        help=f"results of `android run` and `bench`; their names stand in the table (default: all of {RESULTS})",
    )  # fmt: skip
    report.add_argument(
        "--page", metavar="FILE", type=Path, default=RESULTS / "comparison.html",
        help=f"default: {RESULTS}/comparison.html",
    )  # fmt: skip


def _serial(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--serial", metavar="S", help="which device, where there are several: see `android devices`")


def run_android(args: argparse.Namespace) -> int:
    """`pocketrec android`; 0, or a `PocketRecError`."""
    {"devices": _devices, "install": _install, "run": _run, "report": _report}[args.action](args)
    return 0


def _devices(args: argparse.Namespace) -> None:
    from pocketrec.machines.android import devices

    found = devices()
    names = ("serial", "state", "manufacturer", "device", "android", "api", "abis")
    if found:
        print_rows(names, [[one.get(name) or "-" for name in names] for one in found])
    else:
        print("no device is connected: connect one with USB debugging switched on, or start an emulator")
    print_json({"devices": found})


def _install(args: argparse.Namespace) -> None:
    from pocketrec.machines.android import PACKAGE, install

    serial = install(args.apk, args.serial)
    print(f"{PACKAGE} is on {serial}")
    print_json({"serial": serial, "package": PACKAGE, "apk": str(args.apk), "bytes": args.apk.stat().st_size})


def _run(args: argparse.Namespace) -> None:
    from pocketrec.cloud.report.comparison import named, read_result, table, write_page
    from pocketrec.device.base.files import write_atomic
    from pocketrec.device.cli.bench import print_result
    from pocketrec.machines.android import Request, run

    request = Request(args.bundle, args.runs, args.threads, args.xnnpack == "on", args.timeout)
    others = [(path.stem, read_result(path)) for path in args.compare]
    result = run(request, args.serial, lambda line: print(line, file=sys.stderr, flush=True))
    print_result(result)
    facts = result.get("android", {})
    if facts:
        _print_facts(facts)
    name = named(result)
    path = args.out or RESULTS / f"{name}.json"
    text = _line(result)
    write_atomic(path, text.encode())
    print(f"kept as {path}")
    if others:
        print()
        print_rows(*table([(path.stem, result), *others]))
    if args.page is not None:
        write_page(args.page, [(path.stem, result), *others])
        print(f"page: {args.page}")
    print(text)


def _report(args: argparse.Namespace) -> None:
    from pocketrec.cloud.report.comparison import read_result, summary, table, write_page
    from pocketrec.device.base.errors import DataError

    paths = args.results or sorted(RESULTS.glob("*.json"))
    if not paths:
        raise DataError(f"there is no result in {RESULTS}: make some with `android run` and `bench`")
    results = [(path.stem, read_result(path)) for path in paths]
    print_rows(*table(results))
    write_page(args.page, results)
    print(f"page: {args.page}")
    print_json({"page": str(args.page), "results": summary(results)})


def _print_facts(facts: dict[str, Any]) -> None:
    battery = f"{facts['battery_percent']} %{', charging' if facts['charging'] else ''}"
    print_table(
        [
            ("device", f"{facts['manufacturer']} {facts['device']}, Android {facts['android']} (API {facts['api']})"
                       + (", an emulator" if facts["emulator"] else "")),
            ("memory", f"PSS {facts['pss_mb']:.1f} MB, native heap {facts['native_heap_mb']:.1f} MB"),
            ("pages", f"{facts['page_bytes']} bytes"),
            ("xnnpack", "on" if facts["xnnpack"] else "off"),
            ("state", f"thermal status {facts['thermal_status']}, battery {battery}"
                      + (", power save" if facts["power_save"] else "")),
        ]
    )  # fmt: skip


def _line(result: dict[str, Any]) -> str:
    return documents.line(result)


COMMANDS: Final = {"android": Command("measure on an Android phone, and compare machines", add_android, run_android)}
