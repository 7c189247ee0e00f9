# SPDX-License-Identifier: Apache-2.0
"""The command line: complete help, one line for every error, the promised exit statuses."""

from __future__ import annotations

import functools
import importlib.util
import os
import re
import signal
import subprocess
import time
from pathlib import Path
from typing import NoReturn

import pytest
from started import POCKETREC

from pocketrec import cli
from pocketrec.cloud.base import progress as progress_module
from pocketrec.cloud.base.progress import TerminalProgress
from pocketrec.cloud.base.runs import Pipeline
from pocketrec.cloud.config.load import load_config
from pocketrec.cloud.data.prepared import load_cloud, load_devices

CONFIG = """
[data]
set = "synthetic"
[data.synthetic]
users = 30
items = 40
[model]
embedding = 8
gru.hidden = 8
window = 6
[train]
epochs = 2
"""

@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "small.toml"
    path.write_text(CONFIG, encoding="utf-8")
    return path


def _one_error_line(captured: pytest.CaptureResult[str]) -> str:
    lines = [line for line in captured.err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1, captured.err
    assert "Traceback" not in captured.err + captured.out
    return lines[0]


def test_help_lists_every_subcommand(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main(["--help"])
    assert stop.value.code == 0
    text = capsys.readouterr().out
    for name in ("run", "prepare", "train", "baselines", "candidates", "rehearse", "export", "fleet", "report",
                 "doctor", "personalise", "recommend", "bench", "state"):  # fmt: skip
        assert f"\n  {name} " in text


@pytest.mark.parametrize("name", sorted(cli.COMMANDS))
def test_every_subcommand_says_what_it_does_and_explains_its_arguments(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main([name, "--help"])
    assert stop.value.code == 0
    usage, _, rest = capsys.readouterr().out.partition("\n\n")
    assert name in usage
    assert not rest.startswith(("positional", "options")), "a description is missing"
    for option in (word.strip("[]") for word in usage.split() if word.strip("[").startswith("--")):
        assert re.search(rf"{option}[ ,\n]", rest)


@pytest.mark.parametrize("arguments", [[], ["run"], ["recommend"], ["run", "x.toml", "--out"]])
def test_wrong_arguments_exit_with_status_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main(arguments)
    assert stop.value.code == 2
    errors = capsys.readouterr().err.splitlines()
    assert errors[0].startswith("usage: pocketrec")
    assert errors[-1].startswith("error: ")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["run", "missing.toml"], "no configuration file missing.toml"),
        (["run", "{config}", "--set", "train.epochs"], "write it as table.key=value"),
        (["run", "{config}", "--set", "train.speed=3"], "unknown key train.speed"),
        (["run", "{config}", "--set", "train.epochs=many"], "train.epochs must be of type int"),
        (["run", "{config}", "--set", "model.tied=false"], "set model.tied = true"),
        (["prepare", "{config}", "--set", "data.path=missing.csv"], "missing.csv"),
        (["personalise", "--bundle", "missing", "--user", "u", "--events", "missing.csv"], "missing"),
        (["recommend", "--bundle", "missing", "--user", "u"], "missing"),
        (["events", "missing", "--out", "events.csv"], "pocketrec prepare"),
    ],
)
def test_an_error_that_the_user_can_mend_is_one_line_and_status_2(
    arguments: list[str], says: str, config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert cli.main([word.format(config=config) for word in arguments]) == 2
    assert says in _one_error_line(capsys.readouterr())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["recomend"], "no command recomend, did you mean recommend? see pocketrec --help"),
        (["xyzzy"], "no command xyzzy: see pocketrec --help"),
        (["run", "a.toml", "--epochs", "5"], "unknown arguments --epochs 5: see pocketrec run --help"),
        (["run", "nowhere.csv"], "no log or configuration nowhere.csv: name a file that is there"),
    ],
)
def test_a_slip_of_the_pen_is_one_line_that_leads_on(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(words) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {said}")
    assert error.count("\n") == 1


def test_an_unexpected_error_is_one_line_with_the_place_of_its_traceback(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_args: object, **_named: object) -> NoReturn:
        raise ValueError("two\nlines")

    monkeypatch.setattr(Pipeline, "execute", broken)
    (tmp_path / "run").mkdir()
    assert cli.main(["run", str(config), "--out", str(tmp_path / "run")]) == 1
    line = _one_error_line(capsys.readouterr())
    assert "unexpected ValueError: two lines" in line
    log = tmp_path / "run" / cli.LOG_FILE
    assert str(log) in line
    assert "Traceback" in log.read_text(encoding="utf-8")


def test_an_interruption_says_how_to_go_on(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_args: object, **_named: object) -> NoReturn:
        raise KeyboardInterrupt

    monkeypatch.setattr(Pipeline, "execute", interrupted)
    assert cli.main(["run", str(config), "--out", str(tmp_path / "run")]) == 130
    assert "the same command resumes the work" in capsys.readouterr().err


def test_a_folder_that_cannot_be_written_is_an_error_with_advice(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    assert cli.main(["prepare", str(config), "--out", str(tmp_path / "file")]) == 2
    assert "--out" in _one_error_line(capsys.readouterr())


def test_prepare_alone_and_the_events_of_one_user(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    assert cli.main(["prepare", str(config), "--out", str(run), "--quiet"]) == 0
    assert cli.main(["events", str(run), "--out", str(tmp_path / "events.csv")]) == 0
    user = capsys.readouterr().out.strip()
    data, devices = load_cloud(run), load_devices(run)
    lines = (tmp_path / "events.csv").read_text(encoding="utf-8").splitlines()
    earlier, later = data.before.find(user), devices.after.find(user)
    assert later is not None
    known = 0 if earlier is None else len(data.before.of(earlier)[0])
    assert len(lines) == 1 + known + devices.learn[later], "everything before the cut-off, and what it learns from"
    assert lines[0] == "user,item,timestamp"
    last_learnt = int(devices.after.of(later)[0][devices.learn[later] - 1])
    assert lines[-1].split(",")[1] == data.vocabulary.ids[last_learnt - 1]


def test_the_default_folder_has_the_name_of_the_configuration(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(["prepare", str(config), "--quiet"]) == 0
    assert (tmp_path / "runs" / "small" / "config.json").exists()


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"]])
def test_a_reader_that_leaves_early_is_no_error(arguments: list[str]) -> None:
    """`pocketrec --help | head -1`: no traceback about a broken pipe."""
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run([*POCKETREC, *arguments], stdout=writing, stderr=subprocess.PIPE, check=False, cwd=os.sep)
    os.close(writing)
    assert done.stderr == b""


@pytest.mark.long
def test_ctrl_c_ends_a_run_with_one_line_and_the_next_run_goes_on(config: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    command = [*POCKETREC, "train", str(config), "--out", str(run)]
    command += ["--set", "train.epochs=400", "--set", "train.patience=400"]
    # A shell ignores the signal for what it starts in the background, and children inherit that.
    default_sigint = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=os.sep, preexec_fn=default_sigint)
    history = run / "metrics.jsonl"
    patience = time.monotonic() + 120
    while time.monotonic() < patience and not (history.exists() and "epoch" in history.read_text(encoding="utf-8")):
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    errors = process.communicate(timeout=60)[1]
    assert process.returncode == 130, errors
    assert errors.splitlines()[-1].startswith("interrupted: ")
    assert "Traceback" not in errors
    again = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=os.sep)
    try:
        assert again.stderr is not None
        lines = [again.stderr.readline() for _ in range(2)]
        assert "up to date" in lines[0]
        assert "resumes" in lines[1]
    finally:
        again.kill()
        again.communicate()


# --- progress ---------------------------------------------------------------------------------------------------


class Screen:
    """A text stream that says whether it is a terminal."""

    def __init__(self, terminal: bool) -> None:
        self.terminal, self.text = terminal, ""

    def isatty(self) -> bool:
        return self.terminal

    def write(self, text: str) -> int:
        self.text += text
        return len(text)

    def flush(self) -> None:
        pass


def test_progress_draws_on_a_terminal_in_one_line_and_ends_it() -> None:
    screen = Screen(terminal=True)
    with TerminalProgress("train", screen) as progress:  # type: ignore[arg-type]
        for step in range(1, 1001):
            progress(step, 1000, f"step {step}")
    assert screen.text.count("\n") == 1
    assert screen.text.endswith("\n")
    last = screen.text.rsplit("\r", 1)[1]
    assert "1000/1000" in last
    assert "[" + "#" * 24 + "]" in last
    assert screen.text.count("\r") < 20, "not at every step"


def test_progress_is_silent_off_a_terminal_while_the_work_is_short() -> None:
    screen = Screen(terminal=False)
    with TerminalProgress("train", screen) as progress:  # type: ignore[arg-type]
        progress(1, 2)
        progress(2, 2)
    assert screen.text == ""


@pytest.mark.parametrize("terminal", [True, False])
def test_progress_tells_unit_and_time_left(monkeypatch: pytest.MonkeyPatch, terminal: bool) -> None:
    """Redirected too; what an earlier call did does not make the rest look shorter."""
    now = [1000.0]
    monkeypatch.setattr(progress_module.time, "monotonic", lambda: now[0])
    screen = Screen(terminal)
    with TerminalProgress("fleet", screen, "users") as progress:  # type: ignore[arg-type]
        progress(500, 1000)  # of an earlier call
        now[0] += 50
        progress(600, 1000, "two systems")
        assert "600/1000 users" in screen.text
        assert "3 min left" in screen.text
        assert "two systems" in screen.text
        now[0] += 50
        progress(1000, 1000)
    assert ("after 100 s" in screen.text) != terminal
    assert screen.text.count("left") == 1  # not where all is done


def test_progress_counts_bytes_in_megabytes() -> None:
    screen = Screen(terminal=True)
    with TerminalProgress("prepare", screen, "bytes") as progress:  # type: ignore[arg-type]
        progress(1_500_000, 30_000_000)
    assert "1.5/30.0 MB" in screen.text


def test_progress_ends_its_line_when_the_work_fails() -> None:
    screen = Screen(terminal=True)


    def fail() -> None:
        with TerminalProgress("train", screen) as progress:  # type: ignore[arg-type]
            progress(1, 0, "unknown total")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert screen.text.endswith("\n")


# --- documents --------------------------------------------------------------------------------------------------


def test_the_page_about_the_configuration_is_up_to_date() -> None:
    docs = Path(__file__).parents[1] / "docs"
    spec = importlib.util.spec_from_file_location("configuration_page", docs / "configuration.py")
    assert spec is not None
    assert spec.loader is not None
    page = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(page)
    text = (docs / "configuration.md").read_text(encoding="utf-8")
    assert text == page.render(), "run: python docs/configuration.py"


@pytest.mark.parametrize("path", sorted((Path(__file__).parents[1] / "configs").glob("*.toml")), ids=lambda p: p.stem)
def test_every_configuration_that_we_ship_is_sound(path: Path) -> None:
    if path.stem.startswith("pfedrec"):
        from pocketrec.cloud.federated.pfedrec.config import load_pfedrec

        load_pfedrec(path)
    elif "[transfer" in path.read_text(encoding="utf-8"):
        from pocketrec.cloud.config.transfer import load_transfer

        load_transfer(path)
    else:
        load_config(path)


def test_no_text_of_the_repository_names_a_place_on_a_developers_machine() -> None:
    root = Path(__file__).parents[1]
    suffixes = {".py", ".md", ".toml", ".txt", ".java", ".svg", ""}
    homes = re.compile(r"(?<![\w.])/(home|root|Users|work)/\w")
    found = [
        f"{path.relative_to(root)}: {line.strip()}"
        for folder in ("cloud", "export", "device", "pocketrec", "tests", "docs", "configs", "benchmarks", ".ci")
        for path in [*(root / folder).rglob("*"), root / "README.md", root / "Makefile", root / "pyproject.toml"]
        if path.is_file() and path.suffix in suffixes
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines()  # golden files have binary ones
        if homes.search(line)
    ]
    assert found == []
