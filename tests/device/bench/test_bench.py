# SPDX-License-Identifier: Apache-2.0
"""`pocketrec bench`: the form of its result, the arithmetic that it is compared with, what it says of the machine."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pocketrec.cli import main
from pocketrec.device.base.files import sha256_file
from pocketrec.device.base.machine import emulated
from pocketrec.device.bench import limit
from pocketrec.device.bench.limit import flop, sgemm_gflops
from pocketrec.device.bench.schema import FIELDS, KIND_FIELDS, KINDS, problem
from pocketrec.device.bench.schema import main as check

pytestmark = pytest.mark.runtime

R = {"backbone": "gru", "batch": 16, "window": 20, "embedding": 64, "hidden": 96, "layers": 2, "candidates": 100,
     "items": 3706, "negatives": 0}  # fmt: skip
PARTIAL = ["gru_2_kernel", "gru_2_recurrent_kernel", "gru_2_bias", "fc_kernel", "fc_bias"]


@pytest.fixture(scope="module", autouse=True)
def few_products() -> Iterator[None]:
    """How fast the processor is, which takes seconds to measure well, is nothing that a test says."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(limit, "_REPEATS", 2)
        yield


@pytest.fixture(scope="module")
def result(made: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    import contextlib
    import io

    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        assert main(["bench", str(made), "--calls", "10"]) == 0
    last: dict[str, Any] = json.loads(output.getvalue().splitlines()[-1])
    return last


def test_the_result_has_the_form(result: dict[str, Any], made: Path) -> None:
    assert problem(result) == ""
    assert result["model_sha256"] == result["model_id"] == sha256_file(made / "model.tflite")
    assert result["energy"] == "not measured"
    assert result["peak_rss_mb"] >= result["rss_before_mb"] > 0
    assert result["rss_delta_mb"] == pytest.approx(result["rss_mb"] - result["rss_before_mb"], abs=0.11)
    assert result["warm_up_calls"] == 1
    assert result["start_ms"] > 0


def test_ratios_are_medians_over_limits(result: dict[str, Any]) -> None:
    for kind in KINDS:
        limit = result[f"{kind}_mflop"] / result["sgemm_gflops"]
        assert result[f"{kind}_limit_ms"] == pytest.approx(limit, rel=0.02, abs=6e-6)  # of five decimals
        assert result[f"{kind}_ratio"] == pytest.approx(result[f"{kind}_ms_p50"] / limit, rel=0.05)


@pytest.mark.parametrize("name", [*FIELDS, *(f"embed_{name}" for name in KIND_FIELDS)])
def test_every_field_is_missed(result: dict[str, Any], name: str) -> None:
    assert problem({key: value for key, value in result.items() if key != name}) != ""
    assert problem({**result, name: [1]}) != ""


def test_what_does_not_fit_together_is_found(result: dict[str, Any], tmp_path: Path) -> None:
    short = copy.deepcopy(result)
    short["raw_ms"]["embed"].pop()
    assert "10 times" in problem(short)
    assert "percentiles" in problem({**result, "train_ms_p50": result["train_ms_p99"] * 2})
    assert "energy" in problem({**result, "energy": "little"})
    assert "format" in problem({**result, "format": 1})
    assert "machine.governor" in problem({**result, "machine": {**result["machine"], "governor": None}})
    file = tmp_path / "result.json"
    file.write_text("a table\n" + json.dumps(result), encoding="utf-8")
    assert check([str(file)]) == 0
    file.write_text("{}", encoding="utf-8")
    assert check([str(file)]) == check([str(tmp_path / "none")]) == check([]) == 2


def test_flop_of_the_reference_configuration() -> None:
    """By hand, layer by layer: 320 steps of two GRU layers (64 and 96 inputs, 96 units), FC to 64, the softmax."""
    steps = 320
    forward = 2 * steps * (3 * 96 * (64 + 96) + 3 * 96 * (96 + 96) + 96 * 64)
    softmax = 2 * (2 * steps * 64 * 3706)
    fc = 2 * (2 * steps * 96 * 64)
    last = 2 * steps * (3 * 96 * (96 + 96) + 96 * 3 * 96)
    assert flop(R, PARTIAL) == {
        "train": forward + softmax + fc + last,
        "embed": forward // 16,
        "infer": forward // 16 + 2 * 100 * 64,
    }
    sampled = {**R, "negatives": 100}
    assert (flop(sampled, PARTIAL) or {})["train"] / 1e6 == pytest.approx(138, abs=0.5)
    head = (flop(sampled, PARTIAL[-2:]) or {})["train"]
    lower = ["gru_1_kernel", "gru_1_recurrent_kernel", "gru_1_bias"]
    whole = (flop(sampled, lower + PARTIAL) or {})["train"]
    assert head < (flop(sampled, PARTIAL) or {})["train"] < whole
    assert whole - (flop(sampled, PARTIAL) or {})["train"] == 2 * steps * 3 * 96 * (64 + 96 + 96 + 96)
    assert flop(R, ["adapter_1_up", *PARTIAL]) is None
    assert flop({**R, "backbone": "nextitnet"}, PARTIAL) is None


def test_the_matrix_product_has_a_rate() -> None:
    assert (sgemm_gflops() or 0) > 0.01


@pytest.mark.parametrize(("architecture", "processor", "expected"), [
    ("aarch64", "vendor_id\t: AuthenticAMD\nmodel name\t: AMD EPYC\n", True),
    ("aarch64", "CPU implementer\t: 0x41\nModel\t\t: Raspberry Pi 4\n", False),
    ("x86_64", "vendor_id\t: AuthenticAMD\n", False),
    ("aarch64", None, False),
])  # fmt: skip
def test_emulation_is_marked(
    architecture: str, processor: str | None, expected: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("POCKETREC_EMULATED", raising=False)
    file = tmp_path / "cpuinfo"
    if processor is not None:
        file.write_text(processor, encoding="utf-8")
    assert emulated(architecture, file) is expected
    monkeypatch.setenv("POCKETREC_EMULATED", "1")
    assert emulated(architecture, file)


def test_a_file_that_searches_and_ranks_is_timed_at_that_too(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", str(made.with_name(made.name + ".ranked")), "--calls", "3"]) == 0
    lines = capsys.readouterr().out.splitlines()
    found = json.loads(lines[-1])
    assert problem(found) == ""
    for kind in ("retrieve", "rank"):
        assert len(found["raw_ms"][kind]) == 3
        assert found[f"{kind}_ms_p50"] > 0
        assert any(line.split()[0] == kind for line in lines[:-1] if line.strip())
