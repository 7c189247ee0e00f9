# SPDX-License-Identifier: Apache-2.0
"""The command ``pocketrec``: parse, hand over, and turn every error into one line.

Nothing heavy is imported before the subcommand is known: ``pocketrec --help`` loads neither numpy nor TensorFlow, and
the device's subcommands never load TensorFlow or pandas. Exit status: 0 done; 1 not as it should be (an unexpected
error, or `doctor` found something unusable); 2 an error that the user can correct; 130 interrupted.
"""

from __future__ import annotations

import argparse
import atexit
import contextlib
import dataclasses
import difflib
import errno
import importlib
import io
import os
import sys
import tempfile
import traceback
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, NoReturn

from pocketrec import __version__
from pocketrec.commands.terminal import LOG_FILE, native_noise_into
from pocketrec.device.base.errors import PocketRecError
from pocketrec.device.cli.command import Command

# Errors of the operating system that the user can correct: a full disk or quota, no right to a file, a name too long.
_MENDABLE = {
    getattr(errno, name, None) for name in ("ENOSPC", "EDQUOT", "EFBIG", "EROFS", "EACCES", "EPERM", "ENAMETOOLONG")
} - {None}


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """Descriptions as they are written, and room for the names of subcommands."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=18, width=110)


class _Parser(argparse.ArgumentParser):
    """Wrong arguments, and help that cannot be written, look like every other error."""

    def print_help(self, file: Any = None) -> None:
        (file or sys.stdout).write(self.format_help())  # argparse would pass over a full disk

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(2, f"error: {message}: see {self.prog} --help\n")


def program() -> NoReturn:
    """What the script `pocketrec` calls: `main`, and an end at which no destructor of a library runs.

    The process ends after the exit handlers of Python that are registered from here on. Threads of native libraries
    live on until then, and where one of Arrow's is just being started, the end of its pool aborts a process whose work
    is done and written (https://github.com/apache/arrow/issues/34314).
    """
    status: object = 1

    def end() -> None:
        try:
            for stream in filter(None, (sys.stdout, sys.stderr)):  # closed ones are None
                with contextlib.suppress(OSError, ValueError):  # `main` has told of a disk that is full
                    stream.flush()
        finally:
            os._exit(status if isinstance(status, int) else 1)

    atexit.register(end)  # the first to be registered is called last
    try:
        status = main()
    except SystemExit as stop:  # of argparse, after --help or an argument that is wrong
        status = stop.code or 0
    sys.exit()


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    _fill_closed_streams()
    if sys.stdout is None:
        return _fail(f"standard output is closed: send it to a file, or to {os.devnull}", 2)
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # implicit asks for it; small matrices are faster so
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    name = next((word for word in arguments if not word.startswith("-")), "")
    if name and name not in COMMANDS:
        alike = difflib.get_close_matches(name, COMMANDS, 1)
        return _fail(f"no command {name}{f', did you mean {alike[0]}?' if alike else ':'} see pocketrec --help", 2)
    options = argparse.Namespace()
    try:
        parser = parser_of([name])  # imports the subcommand's module, which may take a second
        try:
            options, unknown = parser.parse_known_args(arguments)
            if unknown:
                return _fail(f"unknown arguments {' '.join(unknown)}: see pocketrec {options.command} --help", 2)
        finally:
            sys.stdout.flush()  # of --help, too, so that a reader who has left is noticed here
        status = options.run(options)
        sys.stdout.flush()
        return status or 0
    except PocketRecError as error:
        return _fail(str(error), 2)
    except KeyboardInterrupt:
        return _fail(f"interrupted{_how_to_go_on(arguments)}", 130, "")
    except BrokenPipeError:
        _drop_unwritten_output()
        return 1
    except OSError as error:
        if isinstance(error, FileNotFoundError) and _is_working_folder_gone():
            return _fail("the working folder was deleted: change to one that exists", 2)
        if error.errno not in _MENDABLE:
            return _fail(_unexpected(error, getattr(options, "out", None)), 1)
        where = f"use {error.filename}" if error.filename is not None else "write the output"
        reason = error.strerror or type(error).__name__
        message = f"cannot {where}: {reason}: free some space, or name a file or folder that can be used"
        _drop_unwritten_output()
        return _fail(message, 2)
    except MemoryError:
        return _fail("out of memory: use a smaller log, model.window, train.batch or fewer resources.processes", 2)
    except Exception as error:
        if isinstance(error.__cause__, KeyboardInterrupt):  # numpy makes a SystemError of one that comes while it works
            return _fail(f"interrupted{_how_to_go_on(arguments)}", 130, "")
        return _fail(_unexpected(error, getattr(options, "out", None)), 1)


def parser_of(wanted: Collection[str]) -> argparse.ArgumentParser:
    """The parser; only the subcommands `wanted` get their arguments, for which their modules are imported."""
    parser = _Parser(
        prog="pocketrec",
        usage="pocketrec [-h] [--version] COMMAND ...",
        description="Recommendation trained in the cloud and made personal on the device.",
        epilog=_command_list() if COMMANDS.keys().isdisjoint(wanted) else "",
        formatter_class=_Formatter,
    )
    parser.add_argument("--version", action="version", version=f"pocketrec {__version__}")
    commands = parser.add_subparsers(
        dest="command", required=True, prog="pocketrec", metavar="COMMAND", help=argparse.SUPPRESS
    )
    for name in COMMANDS:
        if name not in wanted:
            commands.add_parser(name)
            continue
        found = command(name)
        sub = commands.add_parser(name, formatter_class=_Formatter, help=found.help)
        found.arguments(sub)
        sub.set_defaults(run=found.run, whole_parser=lambda: parser_of(COMMANDS))
    return parser


def _command_list() -> str:
    lines = []
    for title, names in _GROUPS.items():
        lines += [f"{title}:", *(f"  {name:<12} {command(name).help}" for name in names), ""]
    return "\n".join([*lines, "pocketrec COMMAND --help says more. Start with: pocketrec run configs/demo.toml"])


# --- errors -----------------------------------------------------------------------------------------------------


def _fail(message: str, status: int, prefix: str = "error: ") -> int:
    line = " ".join(message.split()).encode(errors="backslashreplace").decode()
    with contextlib.suppress(OSError):
        print(f"{prefix}{line}", file=sys.stderr, flush=True)
    return status


def _fill_closed_streams() -> None:
    """Open the null device where standard input, output or error is closed.

    Else the next file that is opened, perhaps a user's, gets the number, and what libraries print.
    """
    if os.name == "posix":
        for number in range(3):
            try:
                os.fstat(number)
            except OSError:
                os.open(os.devnull, os.O_RDWR)  # takes the smallest number that is free
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115


def _is_working_folder_gone() -> bool:
    try:
        os.getcwd()
    except FileNotFoundError:
        return True
    except OSError:
        pass
    return False


def _drop_unwritten_output() -> None:
    """Where standard output takes nothing more, let Python's last flush, when it exits, find no error to tell of."""
    try:
        sys.stdout.flush()
    except OSError:
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _how_to_go_on(arguments: Sequence[str]) -> str:
    if arguments and arguments[0] in ("run", "search", "compare", "federate", "pfedrec", "transfer", *_STAGES):
        return ": the same command resumes the work"
    return ""


def _unexpected(error: Exception, folder: object) -> str:
    """Write the traceback to a file and say where."""
    text = "".join(traceback.format_exception(error))
    places = [folder / LOG_FILE] if isinstance(folder, Path) and folder.is_dir() else []
    for place in (*places, None):
        with contextlib.suppress(OSError):
            if place is None:  # everybody may write there: this name cannot be guessed, and only the owner may read it
                descriptor, name = tempfile.mkstemp(".log", "pocketrec-")
            else:
                descriptor, name = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), str(place)
            with open(descriptor, "a", encoding="utf-8", errors="backslashreplace") as file:
                file.write(text)
            return f"unexpected {type(error).__name__}: {error}: please report it with the traceback in {name}"
    return f"unexpected {type(error).__name__}: {error}: please report it"


# --- other subcommands ------------------------------------------------------------------------------------------


def _on_device(found: Command) -> Command:
    """The same without what the runtimes write to standard error on their own; ids no terminal can show are escaped."""

    def quietly(options: argparse.Namespace) -> int | None:
        if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
            sys.stdout.reconfigure(errors="backslashreplace")
        with native_noise_into(Path(os.devnull)):
            return found.run(options)

    return dataclasses.replace(found, run=quietly)


# Subcommand -> the module whose table `COMMANDS` has it. Only the module of the subcommand that is wanted is imported.
_STAGES = (
    "prepare", "train", "rank", "baselines", "candidates", "rehearse", "export", "fleet", "report", "refit",
)  # fmt: skip
_ON_A_DEVICE = {
    "personalise": "device.cli.personal",
    "recommend": "device.cli.personal",
    "pull": "device.cli.bundles",
    **dict.fromkeys(("record", "forget", "wipe", "export-data", "store"), "device.cli.store"),
    "bench": "commands.bench",
    "state": "device.cli.state",
    "join": "device.cli.federated",
}
_OTHERS = ("data", "search", "compare", "audit", "retrieval", "items", "track", "federate", "pfedrec", "transfer",
           "publish", "android", "doctor", "events", "config", "completion")  # fmt: skip
COMMANDS = {
    **dict.fromkeys(("run", *_STAGES), "commands.run"),
    **{name: f"commands.{name}" for name in _OTHERS},
    **_ON_A_DEVICE,
}

_GROUPS = {
    "everything": ("run",),
    "before a run": ("data", "search", "config"),
    "beside a run": ("compare", "audit", "retrieval", "items", "track"),
    "federated": ("federate", "pfedrec"),
    "transfer to cold users": ("transfer",),
    "one stage of a run": _STAGES,
    "for a server": ("publish",),
    "on a device (no TensorFlow needed)": tuple(_ON_A_DEVICE),
    "for phones": ("android",),
    "help": ("doctor", "events", "completion"),
}


def command(name: str) -> Command:
    """The subcommand of this name; its module is imported."""
    table: dict[str, Command] = importlib.import_module(f"pocketrec.{COMMANDS[name]}").COMMANDS
    return _on_device(table[name]) if name in _ON_A_DEVICE else table[name]


if __name__ == "__main__":
    program()
