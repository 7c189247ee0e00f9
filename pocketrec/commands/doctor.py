# SPDX-License-Identifier: Apache-2.0
"""The subcommand doctor: does this installation work?"""

from __future__ import annotations

import argparse

from pocketrec.device.cli.command import Command


def _doctor_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Look at this installation: versions, numpy against the runtimes, runtimes that work, optional packages, GPU,\n"
        "threads, where data is looked for, and what to do about what is wrong.\n"
        "The last line is JSON. Exit status 1 if it cannot be used."
    )


def _doctor(options: argparse.Namespace) -> int:
    from pocketrec.machines.doctor import examine, render

    findings = examine()
    print(render(findings))
    return 0 if findings.usable else 1


COMMANDS = {"doctor": Command("say whether this installation works, and what to do", _doctor_arguments, _doctor)}
