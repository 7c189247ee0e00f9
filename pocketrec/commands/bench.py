# SPDX-License-Identifier: Apache-2.0
"""The subcommand bench, here or on another machine."""

from __future__ import annotations

import argparse

from pocketrec.device.cli import bench as here
from pocketrec.device.cli.command import Command
from pocketrec.device.cli.options import print_json


def _bench_arguments(parser: argparse.ArgumentParser) -> None:
    here.add_bench(parser)
    there = parser.add_argument_group("on another machine")
    there.add_argument("--ssh", metavar="USER@HOST", help="run there, by ssh with a key: the device's modules and the "
                       "bundle are copied, and deleted afterwards")  # fmt: skip
    there.add_argument("--remote-python", metavar="PATH", default="python3", help="Python there, with numpy and a "
                       "runtime, such as /opt/pocketrec/bin/python (default: python3)")  # fmt: skip
    there.add_argument("--ssh-command", metavar="CMD", default="ssh", help='such as "ssh -p 2222" (default: ssh)')
    there.add_argument("--ssh-timeout", metavar="S", type=float, default=600.0, help="limit in seconds (default: 600)")


def _bench(options: argparse.Namespace) -> int:
    if options.ssh is None:
        return here.run_bench(options)
    from pocketrec.machines.ssh import Remote, bench_there

    remote = Remote(options.ssh, options.remote_python, options.ssh_command, options.ssh_timeout)
    words = ["--calls", str(options.calls), "--runtime", options.runtime, "--threads", str(options.threads)]
    result = bench_there(remote, options.place or options.bundle, words)
    here.print_result(result)
    print_json(result)
    return 0


COMMANDS = {"bench": Command(here.COMMANDS["bench"].help, _bench_arguments, _bench)}
