# SPDX-License-Identifier: Apache-2.0
"""What clients send and the server averages (F4, F5), who takes part (F6), noise (F11) and bytes (F12)."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tastes import tastes_log

from pocketrec.cloud.federated.pfedrec.config import PFedRecConfig
from pocketrec.cloud.federated.pfedrec.data import split_log
from pocketrec.cloud.federated.pfedrec.rounds import begin, one_round, participants
from pocketrec.cloud.federated.pfedrec.sampling import Sampler, forbidden_items
from pocketrec.cloud.federated.pfedrec.state import State
from pocketrec.cloud.federated.pfedrec.trainings import main_trainings, sweep_trainings
from pocketrec.cloud.federated.pfedrec.upload import (
    KEYS,
    Mean,
    average,
    make_upload,
    quantise,
    restore,
    upload_bytes,
)
from pocketrec.device.base.errors import ConfigError

SPLIT, _TEST = split_log(tastes_log(users=20, items=400, events=30), 1)
SAMPLER = Sampler(SPLIT, forbidden_items(SPLIT, "strict"), 4)
CONFIG = PFedRecConfig(latent=4, batch=16, eta=4.0)


def _after(config: PFedRecConfig, rounds: int = 1) -> tuple[State, State]:
    """The states before and after the last of some rounds."""
    state = before = begin(config, SPLIT, seed=3).state
    for _ in range(rounds):
        before, state = state, one_round(config, state, SAMPLER, seed=3)
    return before, state


def _touched(state: State, client: int) -> NDArray[np.int32]:
    return np.unique(state.steps.of(client, client + 1).items)


def _uploads(before: State, after: State, **options: Any) -> list[dict[str, NDArray[Any]]]:
    return [make_upload(before.table, after.table_of(client), _touched(after, client), **options)
            for client in range(len(SPLIT))]  # fmt: skip


@pytest.mark.parametrize("upload", ["full", "touched"])
@pytest.mark.parametrize("bits", [32, 8])
def test_f4_an_upload_holds_item_rows_and_neither_weight_nor_bias(upload: str, bits: int) -> None:
    before, after = _after(CONFIG)
    for client, content in enumerate(_uploads(before, after, upload=upload, bits=bits)):
        wanted = {"rows"} | ({"items"} if upload == "touched" else set()) | ({"scales"} if bits == 8 else set())
        assert set(content) == wanted <= set(KEYS)
        count = SPLIT.items if upload == "full" else len(_touched(after, client))
        assert content["rows"].shape == (count, 4)
        secret = [*after.heads.weights[client], after.heads.bias[client]]
        sent = np.concatenate([np.ravel(values).astype(np.float64) for values in content.values()])
        assert not np.isin(secret, sent).any()


def test_f4_the_servers_table_follows_from_the_uploads_alone() -> None:
    before, after = _after(CONFIG)
    uploads = _uploads(before, after)
    assert average(before.table, uploads) == pytest.approx(after.table, abs=1e-6)


@pytest.mark.parametrize("kind", ["uniform", "size"])
@pytest.mark.parametrize("upload", ["full", "touched"])
def test_f5_the_average_is_numpys(kind: str, upload: str) -> None:
    before, after = _after(dataclasses.replace(CONFIG, average=kind, upload=upload), rounds=2)
    own = np.stack([after.table_of(client).astype(np.float64) for client in range(len(SPLIT))])
    weights = SPLIT.lengths if kind == "size" else None
    assert after.table == pytest.approx(np.average(own, axis=0, weights=weights), abs=1e-6)
    uploads = _uploads(before, after, upload=upload)
    assert after.table == pytest.approx(average(before.table, uploads, weights), abs=1e-6)


def test_f5_uniform_and_size_weighted_averages_differ() -> None:
    assert len(set(SPLIT.lengths.tolist())) > 1
    (_, uniform), (_, size) = _after(CONFIG), _after(dataclasses.replace(CONFIG, average="size"))
    assert np.abs(uniform.table - size.table).max() > 1e-3


def test_f6_clients_are_chosen_by_ratio_and_by_number() -> None:
    def counts(config: PFedRecConfig) -> set[int]:
        drawn = [participants(config, 943, np.random.default_rng(seed)) for seed in range(20)]
        assert all(len(set(part.tolist())) == len(part) and (np.diff(part) > 0).all() for part in drawn)
        return {len(part) for part in drawn}

    assert counts(PFedRecConfig()) == {943}
    assert counts(PFedRecConfig(share=0.1)) == {94}
    assert counts(PFedRecConfig(clients=17)) == {17}
    assert counts(PFedRecConfig(clients=2000)) == {943}
    assert counts(PFedRecConfig(share=0.0001)) == {1}


def test_f6_who_was_not_sampled_keeps_head_and_stale_table_or_the_first_model() -> None:
    config = dataclasses.replace(CONFIG, share=0.3)
    states = [begin(config, SPLIT, seed=3).state]
    for _ in range(3):
        states.append(one_round(config, states[-1], SAMPLER, seed=3))
    first, last = states[0], states[-1]
    never, stale = np.flatnonzero(last.latest < 0), np.flatnonzero((last.latest >= 0) & (last.latest < 2))
    assert len(never)
    assert len(stale)
    for client in never.tolist():
        assert np.array_equal(last.heads.weights[client], first.heads.weights[client])
        assert np.array_equal(last.table_of(client), first.table)
        fallback = last.table @ first.heads.weights[client] + first.heads.bias[client]
        assert last.shared(client, client + 1)[0] == pytest.approx(fallback, abs=1e-5)
    for client in stale.tolist():
        then = states[int(last.latest[client]) + 1]
        assert np.array_equal(last.table_of(client), then.table_of(client))
        assert np.array_equal(last.heads.weights[client], then.heads.weights[client])
    assert set(last.received) == set(last.latest.tolist())


@pytest.mark.parametrize("upload", ["full", "touched"])
def test_f11_noise_of_the_average_is_that_of_noisy_uploads(upload: str) -> None:
    before, after = _after(dataclasses.replace(CONFIG, upload=upload))
    quiet, scale, clients = after.table, 0.5, len(SPLIT)
    rng = np.random.default_rng(1)
    single = np.stack([
        average(before.table, _uploads(before, after, upload=upload, noise=scale, rng=rng)) - quiet for _ in range(40)
    ])  # fmt: skip
    once = np.stack([
        one_round(dataclasses.replace(CONFIG, upload=upload, noise=scale), before, SAMPLER, seed=3).table - quiet
    ])  # fmt: skip
    senders = np.zeros(SPLIT.items)
    for client in range(clients):
        senders[_touched(after, client)] += 1
    wanted = scale * np.sqrt(2 * (senders if upload == "touched" else np.full(SPLIT.items, clients))) / clients
    assert np.sqrt((single**2).mean(axis=(0, 2)))[wanted > 0] == pytest.approx(wanted[wanted > 0], rel=0.5)
    assert np.sqrt((once**2).mean()) == pytest.approx(np.sqrt((wanted**2).mean()), rel=0.15)
    assert not once[0, wanted == 0].any()


def test_f11_the_sweep_is_a_training_for_each_noise_level() -> None:
    config = PFedRecConfig(sampling=["strict", "paper"], noise_sweep=[0.1, 3.0], int8_too=True)
    assert list(main_trainings(config)) == ["strict", "paper"]
    found = sweep_trainings(config)
    assert [(sampling, one.noise, one.bits) for sampling, one in found.values()] == [
        ("strict", 0.1, 32), ("strict", 3.0, 32), ("strict", 0.0, 8)]  # fmt: skip
    with pytest.raises(ConfigError, match='noise needs average = "uniform"'):
        PFedRecConfig(noise_sweep=[0.1], average="size")


@pytest.mark.parametrize("upload", ["full", "touched"])
@pytest.mark.parametrize("bits", [32, 8])
def test_f12_bytes_are_those_of_the_payload(upload: str, bits: int) -> None:
    before, after = _after(CONFIG)
    for client, content in enumerate(_uploads(before, after, upload=upload, bits=bits)):
        rows = SPLIT.items if upload == "full" else len(_touched(after, client))
        assert upload_bytes(rows, 4, upload=upload, bits=bits) == sum(values.nbytes for values in content.values())


def test_f12_touched_rows_are_those_that_the_samples_name() -> None:
    counted = SAMPLER.touched_rows(np.random.default_rng(4))
    samples = SAMPLER.draw(np.random.default_rng(4), np.arange(len(SPLIT)))
    assert counted.tolist() == [len(set(samples.items[samples.owners == client].tolist()))
                                for client in range(len(SPLIT))]  # fmt: skip


def test_f12_int8_uploads_average_to_what_their_codes_say() -> None:
    before, after = _after(dataclasses.replace(CONFIG, bits=8, upload="touched"))
    uploads = _uploads(before, after, bits=8, upload="touched")
    assert after.table == pytest.approx(average(before.table, uploads), abs=1e-5)
    _, exact = _after(CONFIG)
    assert 0 < np.abs(after.table - exact.table).max() < np.abs(exact.table - before.table).max() / 20


def test_f12_int8_is_off_by_half_a_scale_at_most() -> None:
    rows = np.random.default_rng(1).normal(size=(50, 8)).astype(np.float32)
    rows[7] = 0
    codes, scales = quantise(rows)
    assert codes.dtype == np.int8
    assert (np.abs(restore(codes, scales) - rows) <= scales[:, None] / 2 + 1e-7).all()
    assert not restore(codes, scales)[7].any()


def test_a_mean_of_nobody_new_is_the_table() -> None:
    table = np.ones((5, 2), np.float32)
    assert np.array_equal(Mean(table, np.ones(1), upload="full", bits=32).result(), table)
