# SPDX-License-Identifier: Apache-2.0
"""Replay: a program that reads one later event is found, its twin passes, an irreproducible one is named."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd
import pytest
from started import POCKETREC

from pocketrec.cloud.audit.altered import CANARY_ITEM, CANARY_USER, altered_log
from pocketrec.cloud.audit.finding import CANNOT_TELL, FAIL, OK
from pocketrec.cloud.audit.replay import Replay, first_difference, replay
from pocketrec.cloud.audit.tables import USUAL
from pocketrec.device.base.errors import ConfigError, DataError

PROGRAM = """
import collections, csv, os, sys, time
log, out, mode = sys.argv[1:4]
with open(log, encoding="utf-8", newline="") as file:
    rows = [row for row in csv.DictReader(file)]
past = [row for row in rows if int(row["timestamp"]) < 80]
later = [row for row in rows if int(row["timestamp"]) >= 80]
counts = collections.Counter(row["item"] for row in (rows if mode == "kcore" else past))
with open(os.path.join(out, "train.csv"), "w") as file:
    file.writelines(f"{row['user']},{row['item']}\\n" for row in past if counts[row["item"]] >= 3)
if mode == "one":
    with open(os.path.join(out, "train.csv"), "a") as file:
        file.write(f"{later[7]['item']}\\n")
if mode == "rating":
    with open(os.path.join(out, "mean.txt"), "w") as file:
        file.write(str(sum(float(row["rating"]) for row in rows) / len(rows)))
if mode == "noise":
    with open(os.path.join(out, "noise.bin"), "wb") as file:
        file.write(os.urandom(8))
if mode == "noisyleak":
    for name, content in (("noise.bin", os.urandom(8)), ("last.txt", later[-1]["user"].encode())):
        with open(os.path.join(out, name), "wb") as file:
            file.write(content)
if mode == "path":
    with open(os.path.join(out, "config.txt"), "w") as file:
        file.write(f"{log} {out} {os.path.getmtime(log)}")
if mode == "fails":
    sys.exit("no such thing: boom")
if mode == "canary" and any(not row["item"].startswith("i") for row in later):
    sys.exit("cannot read an item of the future")
if mode == "test" :
    os.makedirs(os.path.join(out, "test"))
    with open(os.path.join(out, "test", "test.csv"), "w") as file:
        file.writelines(f"{row['user']},{row['item']}\\n" for row in later)
if mode == "slow":
    time.sleep(60)
if mode == "nothing":
    os.remove(os.path.join(out, "train.csv"))
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("replay")
    (folder / "program.py").write_text(PROGRAM, encoding="utf-8")
    rows = [f"u{time * 5 % 9},i{int(20 * (time * 37 % 101 / 101) ** 3)},{time % 5 + 1},{time}" for time in range(100)]
    (folder / "log.csv").write_text("user,item,rating,timestamp\n" + "\n".join(rows) + "\n", encoding="utf-8")
    return folder


def run(place: Path, mode: str, **options):  # type: ignore[no-untyped-def]
    command = f"{sys.executable} {place / 'program.py'} {{log}} {{out}} {mode}"
    return replay(Replay(command, place / "log.csv", options.pop("cut", "80"), **options)).of("replay")


@pytest.mark.parametrize("mode", ["one", "kcore"])
def test_a_program_that_reads_the_future_is_found(place: Path, mode: str) -> None:
    found = run(place, mode)
    assert found.verdict == FAIL
    assert found.figures["leaking"] == ["train.csv"]
    assert (found.figures["altered"], found.figures["events"]) == (20, 100)
    assert "train.csv from byte" in found.sentence


@pytest.mark.parametrize("mode", ["clean", "path"])
def test_its_twin_passes(place: Path, mode: str) -> None:
    """Also where it writes the paths and the time of its log."""
    found = run(place, mode)
    assert (found.verdict, found.number) == (OK, 0)


def test_an_irreproducible_program_is_named_and_not_accused(place: Path) -> None:
    found = run(place, "noise")
    assert found.verdict == CANNOT_TELL
    assert found.figures["irreproducible"] == ["noise.bin"]
    assert "two equal runs differ in noise.bin" in found.sentence
    assert run(place, "noise", ignore=("noise.*",)).verdict == OK


def test_a_leak_beside_an_irreproducible_file_is_found(place: Path) -> None:
    found = run(place, "noisyleak")
    assert found.verdict == FAIL
    assert found.figures["leaking"] == ["last.txt"]


def test_only_what_is_asked_for_is_compared(place: Path) -> None:
    assert run(place, "test").figures["leaking"] == ["test/test.csv"]
    assert run(place, "test", ignore=("test",)).verdict == OK
    assert run(place, "test", compare=("train.csv",)).verdict == OK
    with pytest.raises(DataError, match=r"no file into \{out\} that is to be compared"):
        run(place, "test", compare=("model.bin",))


def test_another_column_is_changed_where_it_is_named(place: Path) -> None:
    assert run(place, "rating").verdict == OK  # users and items are another, ratings are not
    assert run(place, "rating", alter=("rating",)).figures["leaking"] == ["mean.txt"]


def test_a_failing_program_is_one_line_with_its_status_and_words(place: Path) -> None:
    with pytest.raises(DataError, match="status 1 on the log: no such thing: boom"):
        run(place, "fails")


def test_a_program_that_fails_on_the_other_future_alone_is_told(place: Path) -> None:
    found = run(place, "canary")
    assert found.verdict == CANNOT_TELL
    assert found.figures["status"] == 1
    assert "cannot read an item of the future" in found.sentence


def test_a_program_that_does_not_end_is_stopped(place: Path) -> None:
    started = time.monotonic()
    with pytest.raises(DataError, match=r"did not end in 1.5 s .*raise --timeout"):
        run(place, "slow", timeout=1.5)
    assert time.monotonic() - started < 30


def test_nothing_is_left_behind(place: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    run(place, "clean")
    with pytest.raises(DataError):
        run(place, "fails")
    with pytest.raises(DataError, match="no file into"):
        run(place, "nothing")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
def test_what_a_program_has_started_ends_with_it(place: Path, tmp_path: Path) -> None:
    child = tmp_path / "child.py"
    child.write_text("import os, subprocess, sys\nfrom pathlib import Path\n"
                     "p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
                     "Path(sys.argv[2], 'x').write_text('same')\n"
                     f"open({str(tmp_path / 'pids')!r}, 'a').write(f'{{p.pid}}\\n')\n", encoding="utf-8")  # fmt: skip
    replay(Replay(f"{sys.executable} {child} {{log}} {{out}}", place / "log.csv", "80"))
    pids = (tmp_path / "pids").read_text().split()
    assert len(pids) == 3
    end = time.monotonic() + 10
    while any(map(alive, pids)) and time.monotonic() < end:
        time.sleep(0.05)  # a signal takes a moment
    assert not any(map(alive, pids))


def alive(pid: str) -> bool:
    """Whether a process runs; one that has ended and waits to be asked for its status does not."""
    try:
        return Path("/proc", pid, "stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize(("command", "options", "words"), [
    ("python x.py {log}", {}, r"needs {log} and {out}"),
    ("no-such-program {log} {out}", {}, "cannot start 'no-such-program'"),
    ("python 'x {log} {out}", {}, "quotes"),
    ("python x {log} {out}", {"cut": "yesterday"}, "neither a number nor an ISO 8601 date"),
    ("python x {log} {out}", {"cut": "120%"}, "share between"),
    ("python x {log} {out}", {"cut": "1000"}, r"no event of .* lies at or after the cut"),
    ("python x {log} {out}", {"cut": "0"}, r"no event of .* lies before the cut"),
    ("python x {log} {out}", {"timeout": 0.0}, "--timeout must be above 0"),
    ("python x {log} {out}", {"alter": ("price",)}, "no column 'price'"),
    ("python x {log} {out}", {"columns": USUAL.__class__(item="film")}, "no column 'film'"),
])  # fmt: skip
def test_unusable_input_is_one_line(place: Path, command: str, options: dict[str, object], words: str) -> None:
    with pytest.raises((ConfigError, DataError), match=words) as error:
        replay(Replay(command, place / "log.csv", str(options.pop("cut", "80")), **options))  # type: ignore[arg-type]
    assert "\n" not in str(error.value)


# --- the log with another future --------------------------------------------------------------------------------

FORMS = {
    "log.csv": 'user,item,rating,timestamp\na,x,5,1\nb,y,4,2\n"c,d",z,1,3\na,y,2,4\nb,x,3,5\nb,z,1,6\n',
    "log.tsv": "user\titem\ttimestamp\na\tx\t1\nb\ty\t2\nc\tz\t3\na\ty\t4\nb\tx\t5\nb\tz\t6\n",
    "bom.csv": "\ufeffuser,item,timestamp\r\na,x,1\r\nb,y,2\r\nc,z,3\r\na,y,4\r\nb,x,5\r\n",
    "u.data": "1\t10\t5\t881250949\n2\t20\t5\t881250950\n3\t30\t4\t881250951\n"
    "1\t20\t4\t891250952\n2\t10\t1\t891250953\n",
    "ratings.dat": "1::10::5::881250949\n2::20::5::881250950\n3::30::4::881250951\n"
    "1::20::4::891250952\n2::10::1::891250953\n",
    "x.inter": "user_id:token\titem_id:token\ttimestamp:float\n1\t10\t1\n2\t20\t2\n3\t30\t3\n1\t20\t4\n2\t10\t5\n",
}


@pytest.mark.parametrize("name", FORMS)
def test_the_past_stays_byte_for_byte_and_the_future_is_another(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text(FORMS[name], encoding="utf-8")
    cut = "881260000" if "8812" in FORMS[name] else "4"
    made = altered_log(path, cut, USUAL, (), tmp_path / "out")
    assert made.same.read_bytes() == path.read_bytes()
    before, after = path.read_text(encoding="utf-8").splitlines(), made.other.read_text(encoding="utf-8").splitlines()
    assert len(before) == len(after)
    assert before[: -made.altered] == after[: -made.altered]
    assert all(one != other for one, other in zip(before[-made.altered :], after[-made.altered :], strict=True))
    assert any(made.canary_item in line and made.canary_user in line for line in after)
    assert not any(made.canary_item in line.split("timestamp")[0] for line in before)
    numbers = name in ("u.data", "ratings.dat", "x.inter")
    assert (made.canary_item, made.canary_user) == (("31", "4") if numbers else (CANARY_ITEM, CANARY_USER))


def test_compressed_and_parquet_logs(tmp_path: Path) -> None:
    import gzip

    raw = FORMS["log.tsv"].encode()
    (tmp_path / "log.tsv.gz").write_bytes(gzip.compress(raw))
    made = altered_log(tmp_path / "log.tsv.gz", "4", USUAL, (), tmp_path / "one")
    assert gzip.decompress(made.other.read_bytes()).startswith(raw[: raw.index(b"a\ty\t4")])
    pytest.importorskip("pyarrow")
    table = pd.DataFrame({"user": [1, 2, 3, 1, 2], "item": [7, 8, 9, 8, 7], "timestamp": [1, 2, 3, 4, 5]})
    table.to_parquet(tmp_path / "log.parquet")
    other = pd.read_parquet(altered_log(tmp_path / "log.parquet", "4", USUAL, (), tmp_path / "two").other)
    assert other.dtypes.equals(table.dtypes)
    assert (other != table).any(axis=1).tolist() == [False, False, False, True, True]


def test_the_cut_may_be_a_share_or_a_date(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text("user,item,timestamp\n" + "".join(f"u{n % 3},i{n % 4},{1_700_000_000 + n}\n" for n in range(10)))
    assert altered_log(path, "80%", USUAL, (), tmp_path / "share").altered == 2
    assert altered_log(path, "2023-11-14T22:13:27", USUAL, (), tmp_path / "date").altered == 3


def test_the_place_of_a_difference(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    one.write_bytes(b"x" * 2_000_000 + b"a")
    other.write_bytes(b"x" * 2_000_000 + b"b")
    assert first_difference(one, other) == 2_000_000
    other.write_bytes(b"x" * 2_000_000)
    assert first_difference(one, other) == 2_000_000
    assert first_difference(one, one) is None
    assert first_difference(one, tmp_path / "none") == 0


@pytest.mark.slow
def test_a_library_of_its_own_finds_a_leak_through_the_command_line(place: Path) -> None:
    """As a user would: the exit status is 1 for a leak, 0 for none."""
    for mode, status in (("one", 1), ("clean", 0)):
        words = ["audit", "--replay", f"{sys.executable} {place / 'program.py'} {{log}} {{out}} {mode}", "--log",
                 place / "log.csv", "--cut", "80", "--quiet"]  # fmt: skip
        done = subprocess.run([*POCKETREC, *map(str, words)], capture_output=True, text=True,
                              check=False, env=os.environ, cwd=os.sep)  # fmt: skip
        assert done.returncode == status, done.stdout + done.stderr
