# SPDX-License-Identifier: Apache-2.0
"""`pocketrec track`: a run's curves and figures, handed to TensorBoard or MLflow."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from pocketrec.device.base.errors import ConfigError
from pocketrec.device.cli.command import Command

if TYPE_CHECKING:
    import argparse


def add_track(parser: argparse.ArgumentParser) -> None:
    """Arguments of `pocketrec track`."""
    parser.description = (
        "Hand what a run has measured so far to TensorBoard (files in RUN/tensorboard, replaced each time) or to\n"
        "MLflow (a new run each time): curves of all trainings, every measure of every system, the gains over the\n"
        "global model, and the configuration. The run itself is not changed. The last line of output is JSON."
    )
    parser.add_argument("folder", metavar="RUN", type=Path, help="directory of a run")
    parser.add_argument("--with", dest="tool", required=True, choices=["tensorboard", "mlflow"], help="which of them")
    parser.add_argument("--out", type=Path, metavar="DIR", help="tensorboard: folder of its files")
    parser.add_argument("--to", metavar="URI", help="mlflow: tracking address, such as sqlite:///mlflow.db (default: "
                        "MLflow's own way to find one)")  # fmt: skip
    parser.add_argument("--experiment", default="pocketrec", metavar="NAME", help="mlflow: experiment (default: "
                        "pocketrec)")  # fmt: skip


def run_track(args: argparse.Namespace) -> int:
    """`pocketrec track`; 0, or a `PocketRecError`."""
    from pocketrec.cloud.report.tracking import TENSORBOARD, to_mlflow, to_tensorboard, tracked
    from pocketrec.device.cli.options import print_json

    if args.tool == "tensorboard" and args.to is not None:
        raise ConfigError("--to is of mlflow: name a folder with --out")
    if args.tool == "mlflow" and args.out is not None:
        raise ConfigError("--out is of tensorboard: name an address with --to")
    found = tracked(args.folder)
    table: dict[str, object] = {"run": str(args.folder), "curves": len(found.curves), "figures": len(found.figures)}
    if args.tool == "tensorboard":
        folder = to_tensorboard(found, args.out or args.folder / TENSORBOARD)
        print(f"{len(found.curves)} curves and {len(found.figures)} figures: tensorboard --logdir {folder}")
        print_json({**table, "folder": str(folder)})
        return 0
    number = to_mlflow(found, args.folder, args.to, args.experiment)
    print(f"{len(found.curves)} curves and {len(found.figures)} figures are in MLflow's run {number}")
    print_json({**table, "mlflow": number})
    return 0


COMMANDS: Final[dict[str, Command]] = {
    "track": Command("hand a run's curves and figures to TensorBoard or MLflow", add_track, run_track),
}
