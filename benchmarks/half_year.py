# SPDX-License-Identifier: Apache-2.0
"""Half a year of weekly releases, in one process: ``python benchmarks/half_year.py [--weeks 26] [--svg FILE]``.

A made-up shop whose shelf changes (benchmarks/half_year_cloud.py) trains a model from scratch each week on the events
of people who opted in, and publishes it. 100 devices with an event store and 50 without
(benchmarks/half_year_devices.py) pull it, train on their own events, which the cloud never sees, recommend, and record;
one in ten cannot reach the server for three to eight weeks. One device in five has a twin that gets the same events
and keeps the first release for ever. Each event counts 1 / rank among ten recommendations, 0 beyond or where the model
does not know its item: by the weights that were in use right before it (served), by the global weights of the same
release (never personal), and on the twin (never updated). The last line is JSON; exit status 1 if a device was ever
without ten recommendations, or lost an event.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))  # Python leaves it out where PYTHONSAFEPATH is set
from half_year_cloud import WEEK, Cloud, Market, Plan
from half_year_devices import Device, K, Week, outages

from pocketrec.cloud.base.progress import Progress, TerminalProgress, no_progress
from pocketrec.cloud.report import svg
from pocketrec.cloud.report.style import STYLE
from pocketrec.device.base.files import write_atomic

#: One device in so many has a twin.
TWINS = 5
#: Lines of the table and of the plot: name, and class of the colour.
LINES = (("served", "personal"), ("never updated", "naive"), ("never personal", "global"))


@dataclass(frozen=True)
class Lived:
    """What the half year came to."""

    weeks: list[dict[str, Any]]
    """Of each week MRR@10 of the devices that have a twin (`LINES`), of all devices (``all served``, ``all never
    personal``), ``events``, ``away`` (devices that could not pull) and ``choices`` of the guard."""
    empty: int
    """Times at which a device was asked and had fewer than ten items to recommend."""
    lost: int
    """Events that a device should have and has not."""
    events: int
    """Events of all devices."""
    filled: bool
    """Whether the last release's file, which was filled into the first one's skeleton, is that of its own export."""


def live(plan: Plan, folder: Path, progress: Progress = no_progress, *, compare: bool = True) -> Lived:
    """Live through a plan.

    Args:
        plan: sizes.
        folder: for all files.
        progress: called after each week.
        compare: convert the last model on its own, too.
    """
    market = Market.open(plan)
    cloud = Cloud(plan, market, folder)
    for name in ("devices", "twins"):
        (folder / name).mkdir()
    away = outages(plan.devices, plan.weeks, plan.seed)
    every = range(plan.devices)
    devices = [Device(n, folder / "devices", stored=n < plan.stored, away=away[n]) for n in every]
    first = folder / "bundles" / "week-0"
    twins = {n: Device(n, folder / "twins", stored=n < plan.stored, bundle=first) for n in every[::TWINS]}
    weeks, model = [], None
    for week in range(plan.weeks):
        model = cloud.release(week)
        events = _events(market, plan, week)
        lived = [device.live(week, cloud.www, cloud.known, events[n]) for n, device in enumerate(devices)]
        beside = {n: twin.live(week, cloud.www, cloud.known, events[n]) for n, twin in twins.items()}
        paired = [lived[n] for n in twins]
        weeks.append({
            "served": _mean(paired, "served"), "never updated": _mean(list(beside.values()), "served"),
            "never personal": _mean(paired, "plain"), "all served": _mean(lived, "served"),
            "all never personal": _mean(lived, "plain"), "events": sum(one.events for one in lived),
            "away": sum(week in weeks_away for weeks_away in away),
            "choices": dict(Counter(one.choice for one in lived)),
        })  # fmt: skip
        progress(week + 1, plan.weeks, f"MRR@{K} {weeks[-1]['all served']:.3f}")
    last = folder / "bundles" / f"week-{plan.weeks - 1}" / "model.tflite"
    filled = compare and cloud.exported_anew(model) == last.read_bytes()
    everybody = [*devices, *twins.values()]
    return Lived(weeks, sum(device.empty for device in everybody), sum(device.lost() for device in everybody),
                 sum(week["events"] for week in weeks), filled)  # fmt: skip


def _events(market: Market, plan: Plan, week: int) -> list[list[tuple[str, int]]]:
    """Each device's events of a week."""
    begin = market.begin + week * WEEK
    part = market.between(begin, begin + WEEK)
    found: list[list[tuple[str, int]]] = [[] for _ in range(plan.devices)]
    for user, item, when in zip(market.users[part] - plan.opted, market.items[part], market.times[part], strict=True):
        if user >= 0:
            found[user].append((str(item), int(when)))
    return found


def _mean(weeks: Sequence[Week], name: str) -> float:
    """Mean of 1 / rank over all events of some devices."""
    return sum(getattr(week, name) for week in weeks) / max(1, sum(week.events for week in weeks))


def summary(weeks: Sequence[dict[str, Any]], last: int = 8) -> dict[str, float]:
    """Means of each line over all weeks but the first (in which nobody has learned yet), and over the last ones."""
    found = {}
    for name, _ in LINES:
        values = [week[name] for week in weeks[1:]]
        found[name] = sum(values) / len(values)
        found[f"{name}, last {min(last, len(values))} weeks"] = sum(values[-last:]) / len(values[-last:])
    return found


def plot(weeks: Sequence[dict[str, Any]]) -> bytes:
    """The lines over the weeks, as an SVG of its own."""
    series = [svg.Series(name, range(1, len(weeks) + 1), [week[name] for week in weeks], kind) for name, kind in LINES]
    drawn = svg.line_chart(
        series, x_label="weekly release", y_label=f"MRR@{K} of the week's events, on the device", width=760, height=300,
        label="quality over half a year: served, never updated, never personal",
    )  # fmt: skip
    style = STYLE[: STYLE.index("@media (prefers")] + STYLE[STYLE.index("\nsvg {") :] + "svg { background: #ffffff; }"
    head = '<svg xmlns="http://www.w3.org/2000/svg" font-family="system-ui, Liberation Sans, Arial, sans-serif"'
    return drawn.replace("<svg", head, 1).replace(">", f"><style>{style}</style>", 1).encode()


def main(arguments: list[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("weeks", "stored", "plain", "opted", "epochs", "seed"):
        parser.add_argument(f"--{name}", type=int, default=getattr(Plan, name), metavar="N")
    parser.add_argument("--svg", type=Path, help="write the plot there")
    options = vars(parser.parse_args(arguments))
    drawing = options.pop("svg")
    plan, began = Plan(**options), time.process_time()
    with tempfile.TemporaryDirectory() as folder, TerminalProgress("weeks") as progress:
        lived = live(plan, Path(folder), progress)
    print(f"{'week':>4}  {'events':>6}  {'away':>4}  " + "  ".join(f"{name:>14}" for name, _ in LINES) + "  choices")
    for number, week in enumerate(lived.weeks, 1):
        values = "  ".join(f"{week[name]:>14.4f}" for name, _ in LINES)
        choices = ", ".join(f"{name} {count}" for name, count in sorted(week["choices"].items()))
        print(f"{number:>4}  {week['events']:>6}  {week['away']:>4}  {values}  {choices}")
    print(f"{lived.events} events, {lived.lost} lost; without ten recommendations: {lived.empty} times")
    if drawing is not None:
        write_atomic(drawing, plot(lived.weeks))
    table = {**asdict(lived), "plan": asdict(plan), "mrr@10": summary(lived.weeks),
             "cpu_seconds": round(time.process_time() - began, 1)}  # fmt: skip
    print(json.dumps(table))
    return int(bool(lived.empty or lived.lost))


if __name__ == "__main__":
    sys.exit(main())
