"""Tables ``[train]`` and ``[prune]``: how the global model is trained."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from pocketrec.cloud.config.checks import at_least, one_of, rate, require

#: Names that a configuration may hold; a test compares them with what is there.
OPTIMIZERS: Final = ("adagrad", "rmsprop", "adadelta", "adam", "sgd")
LOSSES: Final = ("full_softmax", "sampled_softmax", "cross_entropy", "bpr", "top1", "bpr_max")
PRUNED: Final = ("kernel", "recurrent_kernel", "fc")
SAMPLERS: Final = ("log_uniform", "uniform", "popularity", "rank")


@dataclass(frozen=True)
class TrainConfig:
    """Training of the global model."""

    epochs: int = 30
    """Largest number of passes over the training windows."""
    batch: int = 64
    """Windows a step; with batching sessions, the sessions that are read side by side."""
    batching: str = "windows"
    """windows (of up to ``model.window`` events, shuffled) or sessions (session-parallel mini-batches: `batch` sessions
    are read side by side, the model's state goes on from step to step and starts afresh with each session)."""
    unroll: int = 8
    """Batching sessions: events of each session between two updates, over which gradients flow back (1: GRU4Rec)."""
    optimizer: str = "adam"
    """adagrad, rmsprop, adadelta, adam or sgd."""
    learning_rate: float = 0.004
    """Rate at the first step."""
    decay: str = "none"
    """Learning-rate schedule: none, linear (to zero) or cosine (to zero)."""
    warmup: float = 0.0
    """Share of the training over which the rate rises from zero, in [0, 1)."""
    loss: str = "full_softmax"
    """full_softmax (cross-entropy over the whole catalogue), sampled_softmax (over shared sampled negatives), or one
    over the other targets of the batch and the sampled negatives: cross_entropy, bpr, top1 or bpr_max."""
    negatives: int = 2048
    """Shared sampled negatives a step; 0 = none, for losses over the targets of the batch."""
    sampler: str = "log_uniform"
    """What negatives are drawn from: log_uniform (over popularity ranks), uniform, popularity (count^sampler_alpha) or
    rank (LambdaFM's static sampler, exp(-(rank + 1) / (sampler_rho N)))."""
    sampler_alpha: float = 0.5
    """Power of the counts, for sampler popularity: 0 = uniform, 1 = as often as in the log."""
    sampler_rho: float = 0.1
    """Share of the catalogue that the rank sampler dwells on; smaller draws more popular items."""
    log_q: bool = True
    """Scores of the sampled softmax and of cross_entropy are corrected by the log of the negatives' expected counts."""
    score_penalty: float = 1.0
    """Weight of bpr_max's penalty on the negatives' scores."""
    recency_half_life: float = 0.0
    """Share of the log's time span in which the weight of an event as a target halves, counted back from the latest
    event (0.25: an event a quarter of the span earlier counts half); 0 = all events weigh the same."""
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

    def __post_init__(self) -> None:
        at_least(1, self, "train", "epochs", "batch", "unroll", "patience")
        one_of(self.batching, ("windows", "sessions"), "train", "batching")
        at_least(int(self.loss == "sampled_softmax"), self, "train", "negatives")
        one_of(self.optimizer, OPTIMIZERS, "train", "optimizer")
        one_of(self.loss, LOSSES, "train", "loss")
        one_of(self.sampler, SAMPLERS, "train", "sampler")
        require(rate(self.sampler_rho), "train", "sampler_rho must be above 0 and finite")
        require(0 <= self.warmup < 1, "train", "warmup must lie in [0, 1)")
        one_of(self.decay, ("none", "linear", "cosine"), "train", "decay")
        require(0 <= self.validation < 1, "train", "validation must lie in [0, 1)")
        require(rate(self.learning_rate), "train", "learning_rate must be above 0 and finite")
        at_least(0, self, "train", "clip_norm", "sampler_alpha", "score_penalty", "recency_half_life",
                  "checkpoint_minutes")


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
    """Share of the training at which the final sparsity is reached; the rest mends what was lost."""
    every: int = 20
    """Steps between two choices of the weights to prune."""
    tensors: list[str] = field(default_factory=lambda: ["kernel", "recurrent_kernel"])
    """Tensors pruned, each by itself: kernel and recurrent_kernel (of every GRU layer), fc."""

    def __post_init__(self) -> None:
        require(0 <= self.initial <= self.final < 1, "prune", "initial must be at least 0, at most final, below 1")
        require(0 <= self.begin < self.end <= 1, "prune", "begin must be at least 0 and below end, and end at most 1")
        at_least(1, self, "prune", "every")
        require(bool(self.tensors), "prune", "tensors must not be empty")
        for name in self.tensors:
            one_of(name, PRUNED, "prune", "tensors")
