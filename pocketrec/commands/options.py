"""Options of the commands that work on a configuration."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_run_options(parser: argparse.ArgumentParser) -> None:
    """CONFIG, --set, --out, --engine, --master and --quiet."""
    parser.add_argument("config", metavar="CONFIG", help="TOML file, such as configs/demo.toml")
    parser.add_argument(
        "--set", metavar="KEY=VALUE", dest="overrides", action="append", default=[],
        help="change a value of the configuration, such as train.epochs=3 or data.path=clicks.csv; may be repeated",
    )  # fmt: skip
    parser.add_argument("--out", metavar="DIR", type=Path, help="run directory (default: runs/NAME of the config)")
    parser.add_argument(
        "--engine", metavar="NAME", help="engine of prepare and candidates: local or spark (resources.engine)"
    )
    parser.add_argument(
        "--master", metavar="URL", help="of the Spark cluster, such as spark://host:7077 or local[2] (resources.master)"
    )
    parser.add_argument("--quiet", action="store_true", help="no progress, only results and errors")
    parser.epilog = "All keys of the configuration: docs/configuration.md"


def named_resources(options: argparse.Namespace) -> list[str]:
    """Options with a name of their own, as overrides of the configuration."""
    named = {name: getattr(options, name) for name in ("engine", "master")}
    return [f"resources.{name}='{value}'" for name, value in named.items() if value is not None]
