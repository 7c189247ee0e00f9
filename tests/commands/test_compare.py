# SPDX-License-Identifier: Apache-2.0
"""`pocketrec compare`: the ledger of all ways."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import pytest

from pocketrec.cli import main
from pocketrec.cloud.report.ledger import as_text, gain_chart, ledger, standalone

TINY = """
[data]
set = "synthetic"
[split]
quantile = 0.7
[model]
embedding = 8
gru.hidden = 8
gru.layers = 1
window = 6
[train]
epochs = 1
batch = 32
validation = 0.0
[rehearse]
quantile = 0.7
users = 6
passes = [2]
targets = ["later"]
decays = [0.8]
[compare]
ways = ["head", "patch"]
optimizers = ["sgd"]
learning_rates = { sgd = [0.5] }
[evaluate]
users = 6
central = true
[federate]
rounds = [2, 6]
learning_rates = [0.005, 0.02]
confidence = 0.5
[resources]
processes = 1
"""


@pytest.mark.long
@pytest.mark.feature("P6", "N1")
def test_every_way_is_rehearsed_exported_and_served_and_nothing_is_done_twice(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config, out = tmp_path / "tiny.toml", tmp_path / "run"
    config.write_text(TINY, encoding="utf-8")
    assert main(["compare", str(config), "--out", str(out), "--quiet"]) == 0
    first = capsys.readouterr().out
    rows = {row["name"]: row for row in json.loads(first.splitlines()[-1])["rows"]}
    assert list(rows) == ["repeats", "head-sgd", "patch-sgd"]
    assert rows["head-sgd"]["parameters"] == 8 * 8 + 8
    assert rows["patch-sgd"]["parameters"] == 2 * (2 * 8 * 16 + 16 + 8)
    assert rows["patch-sgd"]["state_bytes"] > 4 * rows["patch-sgd"]["parameters"]
    assert all(sum(row["kept"].values()) == 6 for row in rows.values())
    assert (out / "compare" / "compare.html").exists()
    before = {path: path.stat().st_mtime_ns for path in (out / "compare").rglob("*") if path.is_file()}
    assert main(["compare", str(config), "--out", str(out), "--quiet"]) == 0
    assert capsys.readouterr().out == first
    assert before == {path: path.stat().st_mtime_ns for path in (out / "compare").rglob("*") if path.is_file()}
    assert main(["compare", str(config), "--out", str(out), "--quiet", "--set", "compare.federated=true"]) == 0
    text = capsys.readouterr().out
    again = json.loads(text.splitlines()[-1])
    assert {row["name"]: row for row in again["rows"]} == rows, "the ways are as they were"
    shared = {row["name"]: row for row in again["shared"]}
    assert list(shared) == ["federated", "federated_personal", "central", "central_tuned"]
    measured = json.loads((out / "federate" / "metrics.json").read_text())
    facts = measured["federate"]
    assert facts["chosen"] is not None
    for name, row in shared.items():
        assert row["mrr@20"] == measured[name]["mrr@20"]
        assert row["gain"] == measured["compare"][name]["mrr@20"]
    row = shared["federated"]
    assert row["bytes_up"] > facts["values"] < row["bytes_down"] + facts["values"]
    assert row["bytes_up_all"] == round(facts["rounds"] * 0.4 * facts["bytes_up"])
    assert min(row["server_seconds"], row["device_ms"]) > 0
    assert row["share"] == facts["share_of_central"]
    assert "share of central" in text
    assert "The shared model" in (out / "compare" / "compare.html").read_text(encoding="utf-8")


def test_a_log_without_personal_training_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "tiny.toml"
    config.write_text(TINY, encoding="utf-8")
    assert main(["compare", str(config), "--out", str(tmp_path / "run"), "--set", "rehearse.enabled=false"]) == 2
    assert "set rehearse.enabled = true" in capsys.readouterr().err


@pytest.fixture
def found() -> dict[str, Any]:
    measures = {"recall@20": 0.5, "mrr@20": 0.25, "ndcg@20": 0.3}
    gain = {"mean": 0.02, "low": -0.01, "high": 0.05, "ratio": {"mean": 1.08}, "gained": 9, "harmed": 2}
    count = {"error": 0.01, "gained": 1, "harmed": 2}
    trials = [
        {"name": name, "passes": 3, "repeats": {"strength": bonus}, "unguarded": {"mean": mean, **count}}
        for name, bonus, mean in (("a", 0.0, -0.2), ("b", 0.0, -0.1), ("c", 2.0, 0.5))
    ]
    return ledger(
        {"global": measures, "patch-sgd": measures, "compare": {"patch-sgd": {"mrr@20": gain}},
         "users": {"evaluated": 11}, "protocol": {}},
        [{"decision": {"patch-sgd": {"kept": choice}}} for choice in ("personal", "blend", "personal")],
        {"head-sgd": ("head", "sgd"), "patch-sgd": ("patch", "sgd")},
        {"patch-sgd": {"users": 7, "trials": trials, "forecast": {"gain": {"mean": 0.01, "low": 0.0, "high": 0.02}}}},
        {"patch-sgd": "patch, sgd 0.5 x 3 passes"},
        {"patch-sgd": {
            "parameters": 1234, "state_bytes": 5000, "bytes_down": 300_000, "bytes_up": 0, "runtime": "litert",
            "train_ms_p50": 1.5, "embed_ms_p50": 0.2, "infer_ms_p50": 0.25, "peak_rss_mb": 60.0,
        }},
    )  # fmt: skip


def test_the_ledger_names_the_best_training_without_the_bonus(found: dict[str, Any]) -> None:
    (row,) = found["rows"]
    assert row["alone"]["name"] == "b", "c has a bonus, a is worse"
    assert row["kept"] == {"personal": 2, "blend": 1, "global": 0}
    text = as_text(found)
    assert "+0.0200 (\N{MINUS SIGN}0.0100 to +0.0500)  1.080" in text
    assert "9:2" in text
    assert "1,234" in text


def test_the_ledger_tells_what_rounds_cost_and_which_share_of_centrals_gain_they_have(found: dict[str, Any]) -> None:
    """N1: federated training stands in the ledger of the ways, with its bytes and times."""
    from pocketrec.cloud.report.ledger import write_page
    from pocketrec.cloud.report.shared import shared_rows

    measures = {"recall@20": 0.5, "mrr@20": 0.27, "ndcg@20": 0.3}
    gain = {"mean": 0.02, "low": 0.01, "high": 0.03, "gained": 9, "harmed": 2}
    names = ("federated", "federated_personal", "central")
    facts = {"rounds": 8, "share": 0.4, "devices_a_round": 118.4, "bytes_up": 213_000, "bytes_down": 211_000,
             "server_seconds": 12.3, "device_ms": 11.1, "epsilon": 1.234,
             "share_of_central": {"mean": 0.93, "low": 0.5, "high": 1.4}}  # fmt: skip
    metrics = {"global": measures, **dict.fromkeys(names, measures), "federate": facts,
               "compare": {name: {"mrr@20": gain} for name in names}}  # fmt: skip
    rows = shared_rows(metrics)
    assert [row["name"] for row in rows] == list(names), "what was not judged has no row"
    assert rows[0]["bytes_up_all"] == round(8 * 0.4 * 213_000)
    assert "share" not in rows[1]
    assert "rounds" not in rows[2]
    text = as_text({**found, "shared": rows})
    line = next(line for line in text.splitlines() if line.startswith("Federated "))
    for told in ("0.2700", "9:2", "118", "12.3", "1.23", "93% (50% to 140%)"):
        assert told in line
    assert "The shared model" in write_page({**found, "shared": rows})
    assert "epsilon" not in as_text(found)
    none = shared_rows({**metrics, "federate": {"chosen": None, "share_of_central": {"mean": None}}})
    assert "rounds" not in none[0], "where the rehearsal chose none"
    as_text({**found, "shared": none})


def test_a_chart_stands_alone(found: dict[str, Any]) -> None:
    root = ElementTree.fromstring(standalone(gain_chart(found)))
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert "patch, sgd" in "".join(root.itertext())
