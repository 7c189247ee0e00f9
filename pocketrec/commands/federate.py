# SPDX-License-Identifier: Apache-2.0
"""The command ``pocketrec federate``: devices improve the shared model together, and no event leaves one."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pocketrec.cloud.config.federate import ENGINES
from pocketrec.commands.options import add_config_options, add_quiet
from pocketrec.commands.terminal import LOG_FILE, native_noise_into
from pocketrec.device.base import documents
from pocketrec.device.base.errors import ConfigError
from pocketrec.device.cli.command import Command

if TYPE_CHECKING:
    from collections.abc import Mapping

_MEASURES = ("recall@20", "mrr@20", "ndcg@20")
_SYSTEMS = ("global", "federated", "central", "central_tuned", "personal", "federated_personal")


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Let devices improve the shared model with their later events; only clipped, rounded gradients leave them.\n"
        "The rounds are played on the past first, which chooses their number and the rate, or finds that it does not\n"
        "help. Does what `pocketrec run` would do, where it is not done, in the same run directory; continues where\n"
        "it was interrupted. Writes RUN/federate/bundle and RUN/federate/metrics.json, and adds `federated` to\n"
        "RUN/metrics.json; prints a table, and one JSON document as the last line."
    )
    add_config_options(parser, "configs/federated.toml", "federate.share=0.2")
    add_quiet(parser)
    add = parser.add_argument
    add("--engine", choices=ENGINES, help="how devices are reached (default: federate.engine)")
    add("--serve", metavar="HOST:PORT", help="wait there for devices that come with `pocketrec join`, and do the "
        "rounds with them; short for federate.engine=serve and federate.listen")  # fmt: skip
    add("--tls-cert", metavar="PEM", help="certificate for --serve (federate.certificate)")
    add("--tls-key", metavar="PEM", help="its private key (federate.key)")
    add("--node-keys", metavar="FILE", help="public keys of the nodes that may join, one a line (federate.node_keys)")
    add("--joining", type=int, metavar="N", help="devices to wait for (federate.joining)")
    parser.epilog = "All keys of [federate] and what they mean: docs/configuration.md; what is sent: docs/federated.md"


def _run(options: argparse.Namespace) -> None:
    from pocketrec.cloud.base.runs import Pipeline, Run, read_json
    from pocketrec.cloud.config.load import load_config
    from pocketrec.stages import STAGES
    from pocketrec.stages.federate import FEDERATE_STAGES, FEDERATED
    from pocketrec.stages.recipes import has_rehearsal

    overrides = [*options.overrides, *_named(options)]
    config = load_config(options.config, overrides)
    if not has_rehearsal(config):
        raise ConfigError(
            "federate needs a rehearsal: set rehearse.enabled = true, and split.kind to time or per_user"
        )
    if config.may_train_ranker:
        raise ConfigError("federate improves the model under the ranker, which would not be trained again: take "
                          "another way than ranker in personalise.way and rehearse.ways")  # fmt: skip
    folder = options.out = options.out or Path("runs", Path(options.config).stem)
    with native_noise_into(folder / LOG_FILE) as terminal:

        def say(line: str) -> None:
            if not options.quiet:
                print(line, file=terminal, flush=True)

        started = time.monotonic()
        run = Run(config, folder, say, terminal=None if options.quiet else terminal)
        Pipeline((*STAGES, *FEDERATE_STAGES), run).execute([stage.name for stage in FEDERATE_STAGES])
        say(f"done in {time.monotonic() - started:.1f} s")
    print(results(read_json(folder / FEDERATED), folder))


def _named(options: argparse.Namespace) -> list[str]:
    """The configuration's keys that options of this command name."""
    keys = {"engine": options.engine, "listen": options.serve, "certificate": options.tls_cert, "key": options.tls_key,
            "node_keys": options.node_keys, "joining": options.joining}  # fmt: skip
    if options.serve is not None:
        keys["engine"] = "serve"
    return [f"federate.{name}={value}" for name, value in keys.items() if value is not None]


def results(metrics: Mapping[str, Any], folder: Path) -> str:
    """The table of models, what the rounds cost, and one JSON document as the last line."""
    systems = [name for name in _SYSTEMS if name in metrics]
    facts = metrics["federate"]
    lines = ["", f"{'full ranking':<20}" + "".join(f"{name:>11}" for name in _MEASURES) + "   MRR@20 against global"]
    for name in systems:
        figures = "".join(f"{metrics[name][measure]:>11.4f}" for measure in _MEASURES)
        lines.append(f"{name:<20}{figures}   {_difference(metrics['compare'].get(name))}".rstrip())
    lines.append("")
    if facts["chosen"] is None:
        lines.append("the rehearsal chose none: nothing was federated, the bundle stays")
    else:
        falling = ", falling" if facts.get("decay") == "linear" else ""
        lines.append(
            f"{facts['rounds']} rounds of {facts['devices_a_round']:.0f} of {facts['devices']} devices at rate "
            f"{facts['learning_rate']:g}{falling}; a device and round: {facts['bytes_up'] / 1e3:.1f} kB up, "
            f"{facts['bytes_down'] / 1e3:.1f} kB down, {facts['device_ms']:.1f} ms; "
            f"server {facts['server_seconds']:.1f} s in all"
        )
        for name, words in (("central", "retraining in the cloud"), ("central_tuned", "the same rounds in the cloud")):
            if found := facts.get(f"share_of_{name}"):
                lines.append(f"share of the gain of {words}: {_share(found)}")
        lines += ["", f"bundle  {folder / 'federate' / 'bundle'} (and bundle.zip)"]
    short = {name: {measure: metrics[name][measure] for measure in _MEASURES} for name in systems}
    compared = {name: against["mrr@20"] for name, against in metrics["compare"].items() if "mrr@20" in against}
    kept = {name: value for name, value in facts.items() if name != "rehearsed"}
    lines.append(documents.line({"run": str(folder), "metrics": {**short, "compare": compared, "federate": kept}}))
    return "\n".join(lines)


def _difference(against: Mapping[str, Any] | None) -> str:
    if against is None:
        return ""
    found = against["mrr@20"]
    interval = "-" if found["low"] is None else f"{found['low']:+.4f} to {found['high']:+.4f}"
    return f"{found['mean']:+.4f} ({interval}), {found['gained']} : {found['harmed']}"


def _share(found: Mapping[str, Any]) -> str:
    if found["mean"] is None:
        return "none, for it gained nothing"
    interval = "its interval has no bounds, for the cloud's gain is not surely above 0"
    if found["low"] is not None:
        interval = f"{found['low']:.0%} to {found['high']:.0%}"
    return f"{found['mean']:.0%} ({interval})"


COMMANDS = {"federate": Command("devices improve the shared model; no event leaves one", _arguments, _run)}
