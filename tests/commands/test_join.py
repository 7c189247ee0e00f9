# SPDX-License-Identifier: Apache-2.0
"""`pocketrec join` from end to end: a store, a bundle, a real server on the loopback."""

from __future__ import annotations

import dataclasses
import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rounds_here import training, users
from traces import traces

from pocketrec.cli import main
from pocketrec.cloud.federated.rounds import plan_of
from pocketrec.cloud.federated.serve import Offer, Served, serve
from pocketrec.device.contract.federated import CONTRIBUTION_FILE
from pocketrec.device.delivery.bundle import open_bundle
from pocketrec.device.federated.contribution import Contribution
from pocketrec.device.store.database import EventStore

BUNDLE = os.environ.get("POCKETREC_TEST_BUNDLE", "")
HOME = Path(f"{BUNDLE}.contribution")
pytestmark = pytest.mark.skipif(
    not (HOME / CONTRIBUTION_FILE).exists(), reason="set POCKETREC_TEST_BUNDLE to what tests/make_bundle.py has written"
)


@pytest.fixture
def served() -> Iterator[Served]:
    task = training(users(12))
    offer = Offer("t", open_bundle(BUNDLE).manifest.model_id, (HOME / CONTRIBUTION_FILE).read_bytes(),
                  plan_of(task, 0, 0, 12, live=False))  # fmt: skip
    with serve("127.0.0.1:0", offer, certificate=None, key=None, farewell=0.0) as engine:
        engine.show(task.code(task.weights))
        yield engine


@pytest.fixture
def arguments(served: Served, tmp_path: Path) -> list[str]:
    cut_off = open_bundle(BUNDLE).manifest.cut_off
    assert cut_off is not None
    with EventStore(tmp_path / "events") as store:
        store.append([(f"item {place}", cut_off - 50.0 + 5 * place) for place in range(1, 25)])
    return ["join", served.address, "--bundle", BUNDLE, "--user", "somebody-3", "--store", str(tmp_path / "events"),
            "--state", str(tmp_path / "state"), "--busy-too"]  # fmt: skip


def told(capsys: pytest.CaptureFixture[str]) -> tuple[str, dict[str, Any]]:
    """All of the output, and its last line."""
    text = capsys.readouterr().out
    return text, json.loads(text.splitlines()[-1])


def test_a_dry_run_says_what_would_be_sent_and_writes_it(
    served: Served, arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*arguments, "--dry-run", str(tmp_path / "update")]) == 0
    text, last = told(capsys)
    content = (tmp_path / "update").read_bytes()
    assert "No event, item id, candidate, time or user id is in it" in text
    assert last["bytes"] == len(content)
    assert last["numbers"].keys() == Contribution.from_bytes(content).update.numbers.keys()
    assert traces(content, "item ", "somebody-3") == []
    assert served.wait_for(0, 0) == []


def test_once_sends_one_update_and_leaves(
    served: Served, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    answers: list[Any] = []

    def rounds() -> None:
        names = served.wait_for(1, 60)
        task = dataclasses.replace(training(users(12), timeout=60.0), devices=names)
        plan = plan_of(task, 0, 0, 12, live=True)
        answers.extend(served.collect(plan, task.code(task.weights), names, 60.0))

    beside = threading.Thread(target=rounds)
    beside.start()
    assert main([*arguments, "--once"]) == 0
    beside.join(60)
    text, last = told(capsys)
    assert "round 1: sent " in text
    assert last["rounds"] == 1
    assert Contribution.from_bytes(answers[0].content).round == 0
    assert served.wait_for(0, 0) == [], "it has left"


def test_a_training_that_is_over_ends_the_command(
    served: Served, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    served.end()
    assert main(arguments) == 0
    assert told(capsys)[1]["rounds"] == 0


def test_a_busy_machine_is_one_line_and_asks_nothing(
    served: Served, arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("pocketrec.device.personal.idle.load_a_core", lambda file: 9.0)
    assert main([word for word in arguments if word != "--busy-too"]) == 75
    text, last = told(capsys)
    assert text.startswith("not now: load 9.00 a core")
    assert last == {"busy": "load 9.00 a core, the limit is 0.5"}
    assert served.wait_for(0, 0) == []


def test_leaving_is_one_line(served: Served, arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*arguments, "--leave"]) == 0
    assert told(capsys)[0].startswith("this device takes no part any more; what it has sent is not taken back\n")


@pytest.mark.parametrize(("change", "line"), [
    ({"--bundle": "nowhere"}, "error: "),
    ({"--store": "nowhere"}, "error: there are no events to learn from"),
    ({"--root-certificates": "nowhere.pem"}, "error: cannot read the certificates nowhere.pem"),
    ({"--node-key": "nowhere.key"}, "error: cannot read the key nowhere.key"),
    ({"": "127.0.0.1:1"}, "error: cannot reach 127.0.0.1:1"),
    ({"": "nonsense"}, "error: nonsense is not HOST:PORT"),
])  # fmt: skip
def test_mistakes_are_one_line_each(
    change: dict[str, str], line: str, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    changed = list(arguments)
    for option, value in change.items():
        if option in changed:
            changed[changed.index(option) + 1] = value
        elif option:
            changed += [option, value]
        else:
            changed[1] = value
    assert main(changed) == 2
    text = capsys.readouterr().err
    assert text.startswith(line)
    assert len(text.splitlines()) == 1
