# SPDX-License-Identifier: Apache-2.0
"""Options of the commands that work on a configuration."""

from __future__ import annotations

import argparse
from pathlib import Path

from pocketrec.device.base import documents


def add_config_options(parser: argparse.ArgumentParser, config: str, change: str) -> None:
    """CONFIG, --set and --out, with examples of a file and of a change in their help."""
    parser.add_argument("config", metavar="CONFIG", help=f"TOML file, such as {config}")
    parser.add_argument(
        "--set", metavar="KEY=VALUE", dest="overrides", action="append", default=[],
        help=f"change a value of the configuration, such as {change}; may be repeated",
    )  # fmt: skip
    parser.add_argument("--out", metavar="DIR", type=Path, help="run directory (default: runs/NAME of the config)")


def add_quiet(parser: argparse.ArgumentParser) -> None:
    """--quiet."""
    parser.add_argument("--quiet", action="store_true", help="no progress, only results and errors")


def add_run_options(parser: argparse.ArgumentParser, config: str = "configs/demo.toml") -> None:
    """CONFIG, --set, --out, --engine, --master and --quiet."""
    add_config_options(parser, config, "train.epochs=3 or data.path=clicks.csv")
    parser.add_argument(
        "--engine", metavar="NAME", help="engine of prepare and candidates: local or spark (resources.engine)"
    )
    parser.add_argument(
        "--master", metavar="URL", help="of the Spark cluster, such as spark://host:7077 or local[2] (resources.master)"
    )
    add_quiet(parser)
    parser.epilog = "All keys of the configuration: docs/configuration.md"


def add_warm_start(parser: argparse.ArgumentParser) -> None:
    """--warm-start."""
    parser.add_argument(
        "--warm-start", metavar="RUN", type=Path,
        help="go on from the models of an earlier run, such as last week's (train.warm_start)",
    )  # fmt: skip


def named_resources(options: argparse.Namespace) -> list[str]:
    """Options with a name of their own, as overrides of the configuration."""
    named = {f"resources.{name}": getattr(options, name) for name in ("engine", "master")}
    named["train.warm_start"] = getattr(options, "warm_start", None)
    return [f"{key}={documents.line(str(value))}" for key, value in named.items() if value is not None]
