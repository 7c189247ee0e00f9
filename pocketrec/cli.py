"""The command ``pocketrec``: parse, hand over, and turn every error into one line.

Nothing heavy is imported before the subcommand is known: ``pocketrec --help`` loads neither numpy nor TensorFlow, and
the device's subcommands never load TensorFlow or pandas. Exit status: 0 done; 1 not as it should be (an unexpected
error, or `doctor` found something unusable); 2 an error that the user can mend; 130 interrupted.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import errno
import io
import os
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TextIO

from pocketrec import __version__, cli_android
from pocketrec.device import cli as device
from pocketrec.device import cli_bench, cli_bundles, cli_store
from pocketrec.device.errors import ConfigError, PocketRecError

if TYPE_CHECKING:
    from pocketrec.cloud.runs import Run

LOG_FILE = "log.txt"

# Errors of the operating system that the user can mend: a full disk or quota, no right to a file, a name too long.
_MENDABLE = {
    getattr(errno, name, None) for name in ("ENOSPC", "EDQUOT", "EFBIG", "EROFS", "EACCES", "EPERM", "ENAMETOOLONG")
} - {None}

_STAGES = {
    "prepare": ("read the log and split it at the cut-off", "reads the log, splits it, writes RUN/data"),
    "train": (
        "train the global model on events before the cut-off",
        "trains the model for rehearsal (to the earlier cut) and the global model (to the cut-off): RUN/train",
    ),
    "candidates": (
        "make each user's candidate set",
        "makes K items for each user from events before the cut-off: RUN/candidates",
    ),
    "rehearse": (
        "choose the devices' recipe before the cut-off",
        "tries the grid of recipes on a second, earlier cut, through the device's own code: RUN/rehearse",
    ),
    "export": (
        "write the .tflite file, check it on every runtime, write the bundle",
        "re-states the model as a TensorFlow Lite file, checks it, and writes the bundle: RUN/bundle",
    ),
    "fleet": (
        "evaluate many users through the device code",
        "lets every test user's device learn and rank, in processes, and measures: RUN/fleet, RUN/metrics.json",
    ),
    "report": ("write report.html", "writes one self-contained page about the run: RUN/report.html"),
}


@dataclass(frozen=True)
class Command:
    """A subcommand."""

    help: str
    """One line for ``pocketrec --help``."""
    arguments: Callable[[argparse.ArgumentParser], None]
    """Adds its arguments; called only where the subcommand is the one wanted."""
    run: Callable[[argparse.Namespace], int | None]
    """Does it; the exit status, None = 0."""


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


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # implicit asks for it; small matrices are faster so
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    name = next((word for word in arguments if not word.startswith("-")), "")
    parser = _parser(name)
    options = argparse.Namespace()
    try:
        try:
            options = parser.parse_args(arguments)
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


def _parser(command: str) -> argparse.ArgumentParser:
    """The parser; only `command` gets its arguments."""
    parser = _Parser(
        prog="pocketrec",
        usage="pocketrec [-h] [--version] COMMAND ...",
        description="Recommendation trained in the cloud and made personal on the device.",
        epilog=_command_list(),
        formatter_class=_Formatter,
    )
    parser.add_argument("--version", action="version", version=f"pocketrec {__version__}")
    commands = parser.add_subparsers(
        dest="command", required=True, prog="pocketrec", metavar="COMMAND", help=argparse.SUPPRESS
    )
    for name, entry in COMMANDS.items():
        sub = commands.add_parser(name, formatter_class=_Formatter)
        if name == command:
            entry.arguments(sub)
            sub.set_defaults(run=entry.run)
    return parser


def _command_list() -> str:
    lines = []
    for title, names in _GROUPS.items():
        lines += [f"{title}:", *(f"  {name:<12} {COMMANDS[name].help}" for name in names), ""]
    return "\n".join([*lines, "pocketrec COMMAND --help says more. Start with: pocketrec run configs/demo.toml"])


# --- runs and stages --------------------------------------------------------------------------------------------


def _run_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Do every stage of a run: prepare, train, candidates, rehearse, export, fleet, report.\n"
        "Stages that are up to date are skipped; an interrupted run goes on where it was; a changed\n"
        "configuration does the stages again that depend on it."
    )
    _add_run_options(parser)


def _stage_arguments(name: str) -> Callable[[argparse.ArgumentParser], None]:
    def add(parser: argparse.ArgumentParser) -> None:
        text = _STAGES[name][1]
        parser.description = (
            f"{text[0].upper()}{text[1:]}.\nStages that it needs and that are not up to date are done first."
        )
        _add_run_options(parser)
        parser.add_argument("--force", action="store_true", help="do the stage again even if it is up to date")
        if name == "train":
            parser.add_argument("--workers", metavar="HOST:PORT,...", help="train by several processes: all of them")
            parser.add_argument("--index", metavar="I", type=int, help="which of --workers this is; 0 writes the model")

    return add


def _add_run_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("config", metavar="CONFIG", help="TOML file, such as configs/demo.toml")
    parser.add_argument(
        "--set", metavar="KEY=VALUE", dest="overrides", action="append", default=[],
        help="change a value of the configuration, such as train.epochs=3 or data.path=clicks.csv; may be repeated",
    )  # fmt: skip
    parser.add_argument("--out", metavar="DIR", type=Path, help="run directory (default: runs/NAME of the config)")
    parser.add_argument(
        "--engine", metavar="NAME", help="what runs prepare and candidates: local or spark (resources.engine)"
    )
    parser.add_argument(
        "--master", metavar="URL", help="of the Spark cluster, such as spark://host:7077 or local[2] (resources.master)"
    )
    parser.add_argument("--quiet", action="store_true", help="no progress, only results and errors")
    parser.epilog = "All keys of the configuration: docs/configuration.md"


def _search_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Random search around a configuration. Trials learn from the earlier part of the events before the\n"
        "cut-off and are judged on the later part ([search]); what comes after the cut-off is not opened.\n"
        "A search that was interrupted, or is given more trials, goes on where it was. Writes search.json and\n"
        "best.toml, which `pocketrec run` takes; prints a table, and one JSON document as the last line."
    )
    _add_run_options(parser)
    parser.add_argument("--trials", type=int, default=20, help="in all, the configuration as it is included")
    parser.add_argument("--seed", type=int, default=1, help="of the values drawn (default: 1)")
    parser.add_argument(
        "--system", choices=("global", "als", "item_knn"), default="global",
        help="what is searched: the global model, or a baseline that it is to be compared with",
    )  # fmt: skip
    parser.epilog = "What is tried: [search.space], see docs/configuration.md"


def _search(options: argparse.Namespace) -> None:
    from pocketrec.cloud.config import load_config
    from pocketrec.searching import search

    if options.trials < 1:
        raise ConfigError(f"--trials must be at least 1, and is {options.trials}")
    config = load_config(options.config, options.overrides)
    options.out = options.out or Path("runs", f"{Path(options.config).stem}-search")
    with _native_noise_into(options.out / LOG_FILE) as terminal:
        text = search(config, options.out, system=options.system, trials=options.trials, seed=options.seed,
                      terminal=None if options.quiet else terminal)  # fmt: skip
    print(text)


def _compare_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Run every way to personalise, with every optimiser, over the same users ([compare]): each is rehearsed by\n"
        "itself before the cut-off, exported, checked, measured and evaluated through the device code. Goes on\n"
        "where it was interrupted; shares the run directory of `pocketrec run`. Writes RUN/compare/compare.html;\n"
        "prints a ledger, and one JSON document as the last line."
    )
    _add_run_options(parser)


def _compare(options: argparse.Namespace) -> None:
    from pocketrec.cloud.config import load_config
    from pocketrec.comparing import compare

    config = load_config(options.config, [*options.overrides, *_named_resources(options)])
    options.out = options.out or Path("runs", Path(options.config).stem)
    with _native_noise_into(options.out / LOG_FILE) as terminal:
        text = compare(config, options.out, terminal=None if options.quiet else terminal)
    print(text)


def _run_stages(options: argparse.Namespace) -> None:
    from pocketrec.cloud.config import load_config
    from pocketrec.cloud.runs import Pipeline, Run
    from pocketrec.pipeline import STAGES, TARGETS, TRAININGS, results

    config = load_config(options.config, [*options.overrides, *_named_resources(options)])
    if not config.model.tied and options.command not in ("prepare", "train", "candidates"):
        raise ConfigError("a device holds one item table: set model.tied = true (train alone can do without)")
    options.out = options.out or Path("runs", Path(options.config).stem)
    folder = options.out
    targets = None if options.command == "run" else TARGETS[options.command]
    with _native_noise_into(folder / LOG_FILE) as terminal:

        def say(line: str) -> None:
            if not options.quiet:
                print(line, file=terminal, flush=True)

        run = Run(config, folder, say, terminal=None if options.quiet else terminal)
        started = time.monotonic()
        with _together(options, run) as run:
            if run.workers and not run.workers.chief:
                from pocketrec.stages import follow

                follow(run)
            else:
                wanted = TRAININGS if run.workers else targets
                Pipeline(STAGES, run).execute(wanted, force=getattr(options, "force", False))
        say(f"done in {time.monotonic() - started:.1f} s")
    if options.command in ("run", "fleet"):
        print(results(folder))


@contextlib.contextmanager
def _together(options: argparse.Namespace, run: Run) -> Iterator[Run]:
    """The run with its workers, where it is a training by several; the chief lets the others go at the end."""
    named = options.command == "train" and (options.workers is not None or options.index is not None)
    if not named and (options.command != "train" or "TF_CONFIG" not in os.environ):
        yield run
        return
    from pocketrec.stages import DONE, FAILED, use_threads

    use_threads(run)
    from pocketrec.cloud.train_distributed import DisagreementError, announce, connect, lost_is_one_line

    run.say("waiting for all workers")
    workers = connect(options.workers, options.index)
    said: int | None = FAILED
    try:
        yield dataclasses.replace(run, workers=workers)
        said = DONE
    except DisagreementError:
        said = None
        raise
    finally:
        if workers and workers.chief and said is not None:
            with lost_is_one_line() if said == DONE else contextlib.suppress(Exception):
                announce(workers, said)


def _named_resources(options: argparse.Namespace) -> list[str]:
    """Options with a name of their own, as overrides of the configuration."""
    named = {name: getattr(options, name) for name in ("engine", "master")}
    return [f"resources.{name}='{value}'" for name, value in named.items() if value is not None]


@contextlib.contextmanager
def _native_noise_into(log: Path) -> Iterator[TextIO]:
    """Send what libraries (C++ ones too) write to standard error into a file; yield the true standard error."""
    try:
        redirected = sys.stderr.fileno() == 2
    except (AttributeError, OSError, io.UnsupportedOperation):
        redirected = False
    if not redirected:  # under a test runner, say
        yield sys.stderr
        return
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        file = log.open("ab")
    except OSError as error:
        raise ConfigError(f"cannot write {log} ({error.strerror}): name another folder with --out") from None
    saved = os.dup(2)
    with file, os.fdopen(saved, "w", encoding=sys.stderr.encoding, errors="backslashreplace") as terminal:
        sys.stderr.flush()
        os.dup2(file.fileno(), 2)
        try:
            yield terminal
        finally:
            sys.stderr.flush()
            terminal.flush()
            os.dup2(saved, 2)


# --- errors -----------------------------------------------------------------------------------------------------


def _fail(message: str, status: int, prefix: str = "error: ") -> int:
    line = " ".join(message.split())
    with contextlib.suppress(OSError):
        print(f"{prefix}{line}", file=sys.stderr, flush=True)
    return status


def _drop_unwritten_output() -> None:
    """Where standard output takes nothing more, let Python's last flush, when it exits, find no error to tell of."""
    try:
        sys.stdout.flush()
    except OSError:
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _how_to_go_on(arguments: Sequence[str]) -> str:
    if arguments and arguments[0] in ("run", "search", "compare", *_STAGES):
        return ": the same command goes on where this one was"
    return ""


def _unexpected(error: Exception, folder: object) -> str:
    """Write the traceback to a file and say where."""
    text = "".join(traceback.format_exception(error))
    places = [folder / LOG_FILE] if isinstance(folder, Path) and folder.is_dir() else []
    places.append(Path(tempfile.gettempdir(), f"pocketrec-{os.getpid()}.log"))
    for place in places:
        with contextlib.suppress(OSError):
            with place.open("a", encoding="utf-8") as file:
                file.write(text)
            return f"unexpected {type(error).__name__}: {error}: please report it with the traceback in {place}"
    return f"unexpected {type(error).__name__}: {error}: please report it"


# --- other subcommands ------------------------------------------------------------------------------------------


def _events_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Write the events that one device of a run would hold (all before the cut-off, and those after it that it\n"
        "learns from) as CSV, and print the user's id. For trying out personalise and recommend."
    )
    parser.add_argument("folder", metavar="RUN", type=Path, help="run directory")
    parser.add_argument("--user", help="id of the user (default: one with a middling number of events)")
    parser.add_argument("--out", metavar="FILE", type=Path, required=True, help="the CSV to write: item,timestamp")


def _events(options: argparse.Namespace) -> None:
    from pocketrec.pipeline import write_events

    print(write_events(options.folder, options.user, options.out))


def _doctor_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Look at this installation: versions, numpy against the runtimes, runtimes that work, threads, where data is\n"
        "looked for, and what to do about what is wrong. The last line is JSON. Exit status 1 if it cannot be used."
    )


def _doctor(options: argparse.Namespace) -> int:
    from pocketrec.cloud.doctor import examine, render

    findings = examine()
    print(render(findings))
    return 0 if findings.usable else 1


def _bench_arguments(parser: argparse.ArgumentParser) -> None:
    cli_bench.ARGUMENTS["bench"](parser)
    there = parser.add_argument_group("on another machine")
    there.add_argument("--ssh", metavar="USER@HOST", help="run there, by ssh with a key: the device's modules and the "
                       "bundle are copied, and deleted afterwards")  # fmt: skip
    there.add_argument("--remote-python", metavar="PATH", default="python3", help="Python there, with numpy and a "
                       "runtime, such as /opt/pocketrec/bin/python (default: python3)")  # fmt: skip
    there.add_argument("--ssh-command", metavar="CMD", default="ssh", help='such as "ssh -p 2222" (default: ssh)')
    there.add_argument("--ssh-timeout", metavar="S", type=float, default=600.0, help="most seconds (default: 600)")


def _bench(options: argparse.Namespace) -> int:
    if options.ssh is None:
        return cli_bench.RUN["bench"](options)
    from pocketrec.remote import Remote, bench_there

    remote = Remote(options.ssh, options.remote_python, options.ssh_command, options.ssh_timeout)
    words = ["--calls", str(options.calls), "--runtime", options.runtime, "--threads", str(options.threads)]
    result = bench_there(remote, options.place or options.bundle, words)
    cli_bench.print_result(result)
    device.print_json(result)
    return 0


def _on_device(run: Callable[[argparse.Namespace], int]) -> Callable[[argparse.Namespace], int]:
    """The same without what the runtimes write to standard error on their own; ids no terminal can show are escaped."""

    def quietly(options: argparse.Namespace) -> int:
        if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
            sys.stdout.reconfigure(errors="backslashreplace")
        with _native_noise_into(Path(os.devnull)):
            return run(options)

    return quietly


_DEVICE = {
    "personalise": "make a bundle's model personal with a user's events",
    "recommend": "print the items to recommend",
    "pull": "fetch a published bundle and switch to it",
    "record": "append events to a user's event store",
    "forget": "delete a user's events of some items, and what was trained on them",
    "wipe": "delete everything personal of a user",
    "export-data": "write a user's own events to a CSV file",
    "store": "show, trim or repair an event store",
    "bench": "time the train step, embedding and scoring, and measure memory",
    "state": "show, reset or restore a personal state",
}

_DEVICE_ARGUMENTS = {**device.ARGUMENTS, **cli_store.ARGUMENTS, **cli_bundles.ARGUMENTS, "bench": _bench_arguments}
_DEVICE_RUN = {**device.RUN, **cli_store.RUN, **cli_bundles.RUN, "bench": _bench}

_GROUPS = {
    "everything": ("run",),
    "before a run": ("search",),
    "beside a run": ("compare",),
    "one stage of a run": tuple(_STAGES),
    "for a server": ("publish",),
    "on a device (no TensorFlow needed)": tuple(_DEVICE),
    "for phones": ("android",),
    "help": ("doctor", "events"),
}

COMMANDS: dict[str, Command] = {
    "run": Command("do everything: from a log to a bundle, an evaluation and a report", _run_arguments, _run_stages),
    "search": Command("try configurations on events before the cut-off", _search_arguments, _search),
    "compare": Command("all ways to personalise over the same users, one ledger", _compare_arguments, _compare),
    **{name: Command(text[0], _stage_arguments(name), _run_stages) for name, text in _STAGES.items()},
    "publish": Command("write a bundle for a static server", _DEVICE_ARGUMENTS["publish"], _DEVICE_RUN["publish"]),
    "events": Command("write one user's events of a run as a device would hold them", _events_arguments, _events),
    "android": Command(
        "measure on an Android phone, and compare machines", cli_android.add_android, cli_android.run_android
    ),
    "doctor": Command("say whether this installation works, and what to do", _doctor_arguments, _doctor),
    **{name: Command(text, _DEVICE_ARGUMENTS[name], _on_device(_DEVICE_RUN[name])) for name, text in _DEVICE.items()},
}


if __name__ == "__main__":
    sys.exit(main())
