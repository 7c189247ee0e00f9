# SPDX-License-Identifier: Apache-2.0
"""Table ``[federate]``: devices improve the shared model together, and no event leaves one (`pocketrec federate`)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from pocketrec.cloud.config.checks import LATER, at_least, one_of, rate, require
from pocketrec.cloud.config.model import ModelConfig

ENGINES: Final = ("processes", "flower", "serve")
OPTIMIZERS: Final = ("adam", "momentum", "avg")
DECAYS: Final = ("constant", "linear")


@dataclass(frozen=True)
class FederateConfig:
    """Federated training of the shared model (`pocketrec federate`). Shapes no run."""

    engine: str = "processes"
    """How devices are reached: processes = the devices' own code, on this machine; flower = the same through a
    SuperLink and SuperNodes of Flower on this machine, with TLS and node keys (needs the extra `federated`); serve =
    devices that come by themselves with `pocketrec join`, for the rounds on the cut-off's model."""
    nodes: int = 2
    """SuperNodes of the engine flower; the devices are dealt out to them."""
    flower: str = ""
    """Python of the environment that has Flower and PocketRec; "" = the one that runs."""
    tensors: str = "all"
    """What devices improve: all (layers and item table) or net (layers alone)."""
    table_limit: int = 20_000
    """Largest catalogue whose item table devices improve; above, tensors must be net."""
    rounds: list[int] = field(default_factory=lambda: [4, 8])
    """Numbers of rounds that the rehearsal tries; with a constant rate each is read off one training of the largest."""
    learning_rates: list[float] = field(default_factory=lambda: [0.001, 0.002])
    """Rates of the server that the rehearsal tries."""
    decay: str = field(default="constant", metadata=LATER)
    """How a rate goes over the rounds: constant; linear = it falls evenly, and would be 0 after the last one (each
    number of rounds is rehearsed by a training of its own). Hundreds of rounds want linear (docs/federated.md)."""
    confidence: float = 0.9
    """Chance that the rehearsed users gain, by bootstrap, below which nothing is federated."""
    optimizer: str = "adam"
    """What the server does with the mean update: adam (beta .9 and .99), momentum (.9) or avg (rate x mean)."""
    share: float = 0.4
    """Probability with which a device takes part in a round."""
    devices: int = 0
    """Devices of a round, instead of a share; 0 = by share."""
    minimum_events: int = 5
    """Later events that a device must have, to take part."""
    visits: int = 0
    """Rounds that one device is asked to take part in at most; 0 = no limit."""
    local_steps: int = 0
    """0: a device sends its gradient at the round's weights. Above: it trains so many passes, and sends minus the
    change (FedAvg)."""
    local_rate: float = 0.01
    """Learning rate of local training (Adagrad)."""
    dropout: bool = field(default=False, metadata=LATER)
    """Whether devices drop out input embeddings as the cloud's training does (`model.dropout`). Hundreds of rounds want
    it, eight do not (docs/federated.md)."""
    weight: str = "uniform"
    """What an update counts: uniform = one, size = as many as it has targets, up to `cap`."""
    cap: int = 0
    """Most that an update may count; 0 = no limit."""
    clip: float = 0.5
    """Largest norm of an update: devices scale theirs down to it, the server refuses what is far above; 0 = none."""
    bits: int = 8
    """Bits of a value that a device sends: 32, 8 or 4."""
    down_bits: int = 8
    """Bits of a value that a device fetches: 2 to 8, or 32."""
    listen: str = "127.0.0.1:8471"
    """HOST:PORT where the engine serve listens."""
    certificate: str = ""
    """PEM file of the certificate of the engine serve; "" = no TLS, on the loopback alone."""
    key: str = ""
    """PEM file of its private key."""
    node_keys: str = ""
    """File of public Ed25519 keys, 64 hexadecimal digits a line: the nodes that the engine serve answers; "" = all."""
    joining: int = 20
    """Devices that the engine serve waits for before the first round."""
    joining_hours: float = 24.0
    """Hours that it waits for them."""
    secure: bool = False
    """Masks: the server sees sums of updates only (needs the extra `secure`; not for the engine serve yet)."""
    noise: float = 0.0
    """Noise multiplier: deviation of the Gaussian noise on the sum of updates, over `clip`; 0 = none."""
    epsilon: float = 0.0
    """Rounds end before they would bring epsilon above this; 0 = no limit. Needs noise."""
    delta: float = 0.0
    """Delta of that epsilon; 0 = 1 / devices^1.1."""
    quorum: float = 0.5
    """Share of the chosen devices that must answer; with fewer the round is void, and begun again with others."""
    timeout: float = 600.0
    """Seconds that a round waits for its devices."""

    def dropout_of(self, model: ModelConfig) -> float:
        """What devices drop out of the input embeddings of such a model."""
        return model.dropout if self.dropout else 0.0

    def __post_init__(self) -> None:
        one_of(self.engine, ENGINES, "federate", "engine")
        one_of(self.tensors, ("all", "net"), "federate", "tensors")
        one_of(self.optimizer, OPTIMIZERS, "federate", "optimizer")
        one_of(self.decay, DECAYS, "federate", "decay")
        one_of(self.weight, ("uniform", "size"), "federate", "weight")
        require(bool(self.rounds) and all(number >= 1 for number in self.rounds), "federate",
                "rounds must name numbers of at least 1")  # fmt: skip
        require(bool(self.learning_rates) and all(map(rate, self.learning_rates)), "federate",
                "learning_rates must be above 0 and finite")  # fmt: skip
        require(rate(self.local_rate), "federate", "local_rate must be above 0 and finite")
        require(0 < self.share <= 1, "federate", "share must lie in (0, 1]")
        require(0.5 <= self.confidence < 1, "federate", "confidence must lie in [.5, 1)")
        require(0 < self.quorum <= 1, "federate", "quorum must lie in (0, 1]")
        require(self.bits in (32, 8, 4), "federate", f"bits must be 32, 8 or 4, and is {self.bits}")
        require(2 <= self.down_bits <= 8 or self.down_bits == 32, "federate",
                "down_bits must lie between 2 and 8, or be 32")  # fmt: skip
        at_least(1, self, "federate", "minimum_events", "timeout", "table_limit", "nodes", "joining")
        at_least(0, self, "federate", "devices", "visits", "local_steps", "cap", "clip", "noise", "epsilon", "delta")
        require(not self.secure or (self.clip > 0 and self.bits < 32 and self.weight == "uniform"), "federate",
                "secure needs clip, 8 or 4 bits, and weight = uniform")  # fmt: skip
        require(not self.secure or self.engine != "serve", "federate",
                "secure is not there for the engine serve: use processes or flower")  # fmt: skip
        require(not self.secure or not self.noise, "federate",
                "noise needs each update's norm checked, which masks hide: choose one of the two")  # fmt: skip
        require(self.joining_hours > 0, "federate", "joining_hours must be above 0")
        require(bool(self.certificate) == bool(self.key), "federate", "certificate and key go together")
        require(self.delta < 1, "federate", "delta must lie in [0, 1)")
        require(bool(self.noise) or not self.epsilon, "federate", "epsilon needs noise: set noise too")
        require(not self.noise or bool(self.clip and not self.devices and self.weight == "uniform"), "federate",
                "noise needs clip, share in place of devices, and weight = uniform")  # fmt: skip
