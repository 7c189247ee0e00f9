# SPDX-License-Identifier: Apache-2.0
"""Make the figures of README.md and docs that need real logs or much time: ``python benchmarks/measure.py [NAME...]``.

Without NAME it lists the names in measure.toml, with their time and the tables that they feed. A name's steps run one
after the other; what a step's command printed lies in runs/measure/NAME/STEP.log, its JSON document (the last line of
its output) in STEP.json. A step that has finished is not run again: delete its STEP.json, or change its command in
measure.toml, to have it measured again. A step that was interrupted continues where its own command can. Exit status 1
if a step failed, 2 where something is missing. Only the standard library is used.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shlex
import subprocess
import sys
import time
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
TABLE = Path(__file__).with_suffix(".toml")


class MeasureError(Exception):
    """Something is missing; the message says what."""


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "measure", help="where finished figures are kept")
    parser.add_argument("--table", type=Path, default=TABLE, help="what there is to measure (default: measure.toml)")
    options = parser.parse_args(arguments)
    known: dict[str, Any] = tomllib.loads(options.table.read_text(encoding="utf-8"))
    if not options.names:
        print("\n".join(listing(known)))
        return 0
    try:
        for name in options.names:
            if name not in known:
                raise MeasureError(f"there is no {name} to measure: choose of {', '.join(known)}")
            check(name, known[name])
        found = {name: measure(name, known[name], options.out / name) for name in options.names}
    except MeasureError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted: the same command continues with the step that was started", file=sys.stderr)
        return 130
    print(json.dumps({"machine": platform.processor() or platform.machine(), "cores": os.cpu_count(), **found}))
    return int(any(step is None for steps in found.values() for step in steps.values()))


def listing(known: dict[str, Any]) -> list[str]:
    """One line for each name."""
    lines = [f"{'name':<18} {'minutes':>7}  feeds"]
    for name, entry in known.items():
        minutes = str(entry["minutes"]) if entry["minutes"] else "?"
        needs = f" (needs {', '.join(entry['needs'])})" if entry.get("needs") else ""
        lines.append(f"{name:<18} {minutes:>7}  {'; '.join(entry['tables'])}{needs}")
    return lines


def check(name: str, entry: dict[str, Any]) -> None:
    """See whether everything is there.

    Raises:
        MeasureError: an environment variable or a data set is missing.
    """
    data = Path(os.environ.get("POCKETREC_DATA", ROOT.parent / "shared" / "data"))
    for need in entry.get("needs", []):
        if need.startswith("$") and not os.environ.get(need[1:]):
            raise MeasureError(f"{name} needs ${need[1:]} in the environment: set it")
        if not need.startswith("$") and not (data / need).is_dir():
            raise MeasureError(f"{name} needs the data set {need}, and {data} has none: set POCKETREC_DATA")


def measure(name: str, entry: dict[str, Any], out: Path) -> dict[str, Any]:
    """Run the steps that have not finished; what each found, None where it failed."""
    out.mkdir(parents=True, exist_ok=True)
    binaries = Path(sys.executable).parent
    values = {**os.environ, "out": str(out), "python": str(sys.executable), "pocketrec": str(binaries / "pocketrec")}
    found: dict[str, Any] = {}
    for step, template in entry["steps"].items():
        words = [word.format_map(values) for word in shlex.split(template)]
        found[step] = kept(out / f"{step}.json", template) or run(f"{name} {step}", words, template, out / step)
        if found[step] is None:
            break  # later steps may use what this one should have made
    print(f"\n{name}: {'; '.join(entry['tables'])}")
    for step, done in found.items():
        print(f"  {step}: {'failed' if done is None else '{seconds:.0f} s'.format_map(done)}")
        for label, path in entry.get("figures", {}).items() if done else ():
            print(f"    {label:<20} {shown(at(done['document'], path))}")
    return found


def kept(file: Path, template: str) -> dict[str, Any] | None:
    """What a finished step found; None where there is none, or it was of another command."""
    try:
        done = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return done if isinstance(done, dict) and done.get("command") == template else None


def run(title: str, words: list[str], template: str, place: Path) -> dict[str, Any] | None:
    """Run a command, with what it says on standard error shown, and keep what it found."""
    print(f"{title}: {shlex.join(words)}", file=sys.stderr, flush=True)
    started = time.monotonic()
    with place.with_suffix(".log").open("w", encoding="utf-8") as log:
        try:
            status = subprocess.run(words, stdout=log, cwd=ROOT, check=False).returncode
        except OSError as error:
            raise MeasureError(f"{title} cannot be started: {error}") from None
    output = place.with_suffix(".log").read_text(encoding="utf-8").splitlines()
    if status:
        print(f"{title} failed with status {status}: see {place.with_suffix('.log')}", file=sys.stderr)
        return None
    try:
        document = json.loads(output[-1])
    except (IndexError, ValueError):
        document = None  # of commands that only prepare
    seconds = round(time.monotonic() - started, 1)
    done = {"command": template, "seconds": seconds, "commit": commit(), "document": document}
    unfinished = place.with_suffix(".json.tmp")
    unfinished.write_text(json.dumps(done), encoding="utf-8")
    unfinished.rename(place.with_suffix(".json"))
    return done


def at(document: Any, path: str) -> Any:
    """The value at a dotted path; None where there is none."""
    for name in path.split("."):
        document = document.get(name) if isinstance(document, dict) else None
    return document


def shown(value: Any) -> str:
    if isinstance(value, list):
        return "\n".join(["", *(f"      {json.dumps(row)}" for row in value)])
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def commit() -> str:
    """The commit that was measured; empty where git does not tell."""
    words = ["git", "rev-parse", "--short", "HEAD"]
    try:
        done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return done.stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
