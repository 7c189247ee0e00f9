# SPDX-License-Identifier: Apache-2.0
"""Tables ``[train]`` and ``[prune]``: how the global model is trained."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Final

from pocketrec.cloud.config.checks import LATER, at_least, one_of, rate, require
from pocketrec.cloud.config.section import Section
from pocketrec.device.base.choices import Choice, Table

_HERE: Final = "pocketrec.cloud.config.training"
_TRAINING: Final = "pocketrec.cloud.training"

BATCHINGS: Final = Table(
    "train.batching",
    {
        "windows": Choice(f"{_TRAINING}.batches:by_windows", "windows of up to `model.window` events, shuffled"),
        "sessions": Choice(
            f"{_TRAINING}.sessions:by_sessions",
            "session-parallel mini-batches (GRU4Rec): `batch` sessions are read side by side, the model's state "
            "continues from step to step and starts afresh with each session",
            f"{_HERE}:SessionOptions",
        ),
    },
)
OBJECTIVES: Final = Table(
    "train.objective",
    {
        "next_item": Choice(f"{_TRAINING}.batches:next_item", "the item after each event: for causal backbones"),
        "later_item": Choice(
            f"{_TRAINING}.later:later_item",
            "one of the user's later items, each as likely: for lists of what somebody will like at any time",
        ),
        "cloze": Choice(
            f"{_TRAINING}.cloze:by_cloze",
            "masked items from both sides (BERT, GRec): for backbones that are not causal",
            f"{_HERE}:ClozeOptions",
        ),
    },
)
OPTIMIZERS: Final = Table(
    "train.optimizer",
    {
        "adagrad": Choice(f"{_TRAINING}.optimizers:ADAGRAD", "Duchi et al. 2011"),
        "rmsprop": Choice(f"{_TRAINING}.optimizers:RMSPROP", "Hinton 2012"),
        "adadelta": Choice(f"{_TRAINING}.optimizers:ADADELTA", "Zeiler 2012"),
        "adam": Choice(f"{_TRAINING}.optimizers:ADAM", "Kingma and Ba 2015"),
        "sgd": Choice(f"{_TRAINING}.optimizers:SGD", "w <- w - rate g"),
    },
)
DECAYS: Final = Table(
    "train.decay",
    {
        "none": Choice(f"{_TRAINING}.optimizers:constant", "the rate stays"),
        "linear": Choice(f"{_TRAINING}.optimizers:linear", "in a straight line to zero"),
        "cosine": Choice(f"{_TRAINING}.optimizers:cosine", "along half a cosine to zero (Loshchilov and Hutter 2017)"),
    },
)
LOSSES: Final = Table(
    "train.loss",
    {
        "full_softmax": Choice(f"{_TRAINING}.losses:FULL_SOFTMAX", "cross-entropy over the whole catalogue"),
        "sampled_softmax": Choice(
            f"{_TRAINING}.losses:SAMPLED_SOFTMAX", "cross-entropy over the target and shared sampled negatives"
        ),
        "cross_entropy": Choice(
            f"{_TRAINING}.losses:CROSS_ENTROPY", "the same with the other targets of the batch among the negatives"
        ),
        "binary": Choice(
            f"{_TRAINING}.losses:BINARY", "cross-entropy of target and sampled negatives as yes and no (NCF)"
        ),
        "bpr": Choice(f"{_TRAINING}.losses:BPR", "Rendle et al. 2009; targets of the batch and sampled negatives"),
        "top1": Choice(f"{_TRAINING}.losses:TOP1", "Hidasi et al. 2016; targets of the batch and sampled negatives"),
        "bpr_max": Choice(
            f"{_TRAINING}.losses:BPR_MAX",
            "Hidasi and Karatzoglou 2018; targets of the batch and sampled negatives",
            f"{_HERE}:BprMaxOptions",
        ),
    },
)
SAMPLERS: Final = Table(
    "train.sampler",
    {
        "log_uniform": Choice(f"{_TRAINING}.samplers:log_uniform", "Zipf's law over popularity ranks"),
        "uniform": Choice(f"{_TRAINING}.samplers:uniform", "every item alike"),
        "popularity": Choice(
            f"{_TRAINING}.samplers:popularity", "by count^alpha (GRU4Rec, word2vec)", f"{_HERE}:PopularityOptions"
        ),
        "rank": Choice(
            f"{_TRAINING}.samplers:rank",
            "by exp(-(rank + 1) / (rho N)), LambdaFM's static sampler (Yuan et al. 2016)",
            f"{_HERE}:RankOptions",
        ),
        "category_week": Choice(
            f"{_TRAINING}.own_negatives:category_week",
            "of each target's own: other items of its category that people had in the same week, none of them its "
            "user's (the thesis of mobile.de); `negatives` and `log_q` do not count",
            f"{_HERE}:CategoryWeekOptions",
        ),
    },
)
#: What `TrainConfig.similarity` may be.
SIMILARITIES: Final = ("none", "cosine", "affine")
#: Row of a masked event in training; no item has it.
MASKED: Final = -1
PRUNED: Final = ("kernel", "recurrent_kernel", "fc")


@dataclass(frozen=True)
class SessionOptions:
    """Batching ``sessions``."""

    unroll: int = 8
    """Events of each session between two updates, over which gradients flow back (1: GRU4Rec)."""

    def __post_init__(self) -> None:
        at_least(1, self, "train.sessions", "unroll")


@dataclass(frozen=True)
class ClozeOptions:
    """Objective ``cloze``: of ten places that count, eight show a mask, one an item at random and one the item itself
    (Devlin et al., NAACL 2019)."""

    mask: float = 0.3
    """Share of a window's known events whose item is to be said, in (0, 1]; at least one is."""
    mask_most: int = 30
    """Most such events of a window."""

    def __post_init__(self) -> None:
        require(0 < self.mask <= 1, "train.cloze", "mask must lie in (0, 1]")
        at_least(1, self, "train.cloze", "mask_most")


@dataclass(frozen=True)
class BprMaxOptions:
    """Loss ``bpr_max``."""

    penalty: float = 1.0
    """Weight of the penalty on the negatives' scores."""

    def __post_init__(self) -> None:
        at_least(0, self, "train.bpr_max", "penalty")


@dataclass(frozen=True)
class PopularityOptions:
    """Sampler ``popularity``."""

    alpha: float = 0.5
    """Power of the counts: 0 = uniform, 1 = as often as in the log."""

    def __post_init__(self) -> None:
        at_least(0, self, "train.popularity", "alpha")


@dataclass(frozen=True)
class RankOptions:
    """Sampler ``rank``."""

    rho: float = 0.1
    """Share of the catalogue that the sampler mostly draws from; smaller draws more popular items."""

    def __post_init__(self) -> None:
        require(rate(self.rho), "train.rank", "rho must be above 0 and finite")


@dataclass(frozen=True)
class CategoryWeekOptions:
    """Sampler ``category_week``, which takes the category of `data.category`, or else an item's first value of
    `items.categories`."""

    each: int = 1
    """Negatives of each target."""
    week: float = 604800.0
    """Length of a week in the unit of the log's times; dates are seconds."""

    def __post_init__(self) -> None:
        at_least(1, self, "train.category_week", "each")
        require(rate(self.week), "train.category_week", "week must be above 0 and finite")


@dataclass(frozen=True)
class TrainConfig(Section):
    """Training of the global model."""

    epochs: int = 30
    """Largest number of passes over the training windows."""
    batch: int = 64
    """Windows a step; with batching sessions, the sessions that are read side by side."""
    batching: str = "windows"
    """How rows of a batch are filled."""
    objective: str = field(default="next_item", metadata=LATER)
    """What is to be said: the item after each event, or masked ones. It has to suit `model.backbone`."""
    optimizer: str = "adam"
    """Rule of an update, that of Keras's optimizer of the same name."""
    learning_rate: float = 0.004
    """Rate at the first step."""
    decay: str = "none"
    """How the rate falls over the training."""
    warmup: float = 0.0
    """Share of the training over which the rate rises from zero, in [0, 1)."""
    loss: str = "full_softmax"
    """What is minimised."""
    negatives: int = 2048
    """Shared sampled negatives a step; 0 = none, for losses over the targets of the batch."""
    sampler: str = "log_uniform"
    """What negatives are drawn from."""
    log_q: bool = True
    """Scores of the sampled softmax and of cross_entropy are corrected by the log of the negatives' expected counts."""
    recency_half_life: float = 0.0
    """Share of the log's time span in which the weight of an event as a target halves, counted back from the latest
    event (0.25: an event a quarter of the span earlier counts half); 0 = all events weigh the same."""
    balance: float = field(default=0.0, metadata=LATER)
    """Power of a user's number of events by which each of them weighs less as a target: 0 = events weigh alike, 1 =
    users do."""
    similarity: str = field(default="none", metadata=LATER)
    """What is added to a loss over negatives, of the cosine of user and item embedding: none; cosine: its distance
    (root mean square) from the cosine of the user's and the item's content; affine: its distance from yes and no."""
    similarity_weight: float = field(default=0.5, metadata=LATER)
    """Weight of `similarity`."""
    clip_norm: float = 0.0
    """Global norm to which gradients are clipped; 0 = no clipping."""
    validation: float = 0.1
    """Share of the latest events before the cut-off kept for early stopping; 0 = fixed number of epochs."""
    checkpoint_minutes: float = 10.0
    """Minutes between checkpoints within an epoch (there is one after every epoch); 0 = none."""
    patience: int = 3
    """Epochs without a better validation MRR@20 before training stops."""
    refit: bool = True
    """After early stopping, train again on all events before the cut-off for the number of epochs found."""
    warm_start: str = field(default="", metadata=LATER)
    """Run directory whose models the trainings go on from (`--warm-start`); empty = they start afresh. Of its models
    each training takes the latest that has learned from nothing later than itself. Sizes have to be equal."""
    warm_epochs: float = field(default=0.5, metadata=LATER)
    """Share of `epochs` that a training takes at most where it goes on from an earlier model, in (0, 1]."""

    SECTION: ClassVar[str] = "train"
    CHOICES: ClassVar = {
        "batching": BATCHINGS, "objective": OBJECTIVES, "optimizer": OPTIMIZERS, "decay": DECAYS, "loss": LOSSES,
        "sampler": SAMPLERS,
    }  # fmt: skip
    MOVED: ClassVar = {
        "unroll": "sessions.unroll",
        "sampler_alpha": "popularity.alpha",
        "sampler_rho": "rank.rho",
        "score_penalty": "bpr_max.penalty",
    }
    SPACE: ClassVar[dict[str, Any]] = {
        "learning_rate": {"low": 0.001, "high": 0.01, "log": True}, "batch": [16, 32, 64, 128],
        "decay": ["linear", "cosine"],
    }  # fmt: skip

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(1, self, "train", "epochs", "batch", "patience")
        at_least(int(self.loss == "sampled_softmax"), self, "train", "negatives")
        one_of(self.similarity, SIMILARITIES, "train", "similarity")
        own = self.sampler == "category_week"  # whose number of negatives is an option of its own
        require(self.similarity == "none" or self.negatives > 0 or own, "train", "similarity wants negatives")
        require(0 <= self.warmup < 1, "train", "warmup must lie in [0, 1)")
        require(0 <= self.validation < 1, "train", "validation must lie in [0, 1)")
        require(0 < self.warm_epochs <= 1, "train", "warm_epochs must lie in (0, 1]")
        require(rate(self.learning_rate), "train", "learning_rate must be above 0 and finite")
        at_least(0, self, "train", "clip_norm", "recency_half_life", "checkpoint_minutes", "balance",
                 "similarity_weight")  # fmt: skip


@dataclass(frozen=True)
class PruneConfig:
    """Automated gradual pruning of the global model (Zhu and Gupta 2017), for a smaller file."""

    enabled: bool = False
    """Prune while training; with early stopping, while training again (`refit`)."""
    initial: float = 0.05
    """Sparsity at `begin`: share of each tensor's weights that are zero."""
    final: float = 0.7
    """Sparsity from `end` on."""
    begin: float = 0.0
    """Share of the training after which pruning begins."""
    end: float = 0.7
    """Share of the training at which the final sparsity is reached; the rest recovers what was lost."""
    every: int = 20
    """Steps between two choices of the weights to prune."""
    tensors: list[str] = field(default_factory=lambda: ["kernel", "recurrent_kernel"])
    """Tensors pruned, each separately: kernel and recurrent_kernel (of every GRU layer), fc."""

    def __post_init__(self) -> None:
        require(0 <= self.initial <= self.final < 1, "prune", "initial must be at least 0, at most final, below 1")
        require(0 <= self.begin < self.end <= 1, "prune", "begin must be at least 0 and below end, and end at most 1")
        at_least(1, self, "prune", "every")
        require(bool(self.tensors), "prune", "tensors must not be empty")
        for name in self.tensors:
            one_of(name, PRUNED, "prune", "tensors")
