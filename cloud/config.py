"""The configuration of a run: frozen dataclasses, read from TOML, checked when made.

A configuration file has one table for each class below (``[data]``, ``[split]``, ...) and `RunConfig.seed` at the
top level. Everything that shapes the result is here and is stored, resolved, in the run directory; where and how
fast it runs (threads, processes) is in `ResourceConfig` and changes figures by rounding at most.
"""

from __future__ import annotations

import dataclasses
import datetime
import math
import tomllib
import types
import typing
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final

from pocketrec.device.errors import ConfigError

#: Names that a configuration may hold; tests compare them with the registries and tables that have what they name.
FORMATS: Final = ("auto", "csv", "tsv", "parquet", "inter", "taobao", "yoochoose", "movielens")
BACKBONES: Final = ("gru",)
CANDIDATE_METHODS: Final = ("als", "popularity")
OPTIMIZERS: Final = ("adagrad", "rmsprop", "adadelta", "adam", "sgd")
LOSSES: Final = ("full_softmax", "sampled_softmax", "cross_entropy", "bpr", "top1", "bpr_max")
PRUNED: Final = ("kernel", "recurrent_kernel", "fc")
SAMPLERS: Final = ("log_uniform", "uniform", "popularity", "rank")
WAYS: Final = ("partial", "head", "whole", "patch", "patch_parallel")
DEVICE_OPTIMIZERS: Final = ("sgd", "adagrad", "adam")
ENGINES: Final = ("local", "spark")
RUNTIMES: Final = ("auto", "ai_edge_litert", "tflite_runtime")
_SEEDS: Final = 2**31  # what every generator of random numbers takes


@dataclass(frozen=True)
class DataConfig:
    """Which interaction log is read, and how its columns are named."""

    set: str = ""
    """Name of a data set (a folder under the data root), or ``synthetic``; empty when `path` names a file."""
    path: str = ""
    """A file, also packed with gzip, bz2, xz or as a zip of one file, or a folder of Parquet files; wins over `set`."""
    format: str = "auto"
    """auto, csv, tsv, parquet, inter (RecBole), taobao, yoochoose or movielens."""
    user: str = "user"
    """Column of the user (or session) id."""
    item: str = "item"
    """Column of the item id; any column will do, such as a category."""
    timestamp: str = "timestamp"
    """Column of the time: a number (any unit, larger is later) or an ISO 8601 date, also with slashes (2020/09/13) or a
    final UTC. Empty: there is none, the rows are in the order of time."""
    time_format: str = ""
    """What times are written in, where they are something else: codes of strftime, such as ``%d/%m/%Y %H:%M``."""
    category: str = ""
    """Column of the item's category (``category`` in Taobao's file), by which items outside a small table share a row;
    empty = none. An item of several categories has the one that most of its events before the cut-off carry."""
    keep: dict[str, list[str]] = field(default_factory=dict)
    """Rows kept: column -> allowed values, such as ``behavior = ["buy"]``. Empty keeps all."""
    max_bad_share: float = 0.01
    """Share of unreadable rows above which the log is refused, in [0, 1]."""
    min_item_count: int = 1
    """Items with fewer events before the cut-off are not in the vocabulary (row 0, unknown)."""
    synthetic: dict[str, Any] = field(default_factory=dict)
    """Arguments of the synthetic generator, where `set` is ``synthetic``."""

    def __post_init__(self) -> None:
        _require(bool(self.set) != bool(self.path) or bool(self.path), "data", "name a `set` or a `path`")
        _one_of(self.format, FORMATS, "data", "format")
        _require(not self.time_format or "%" in self.time_format, "data", "time_format has codes such as %Y-%m-%d")
        _require(not self.time_format or bool(self.timestamp), "data", "time_format needs a column, `timestamp`")
        _require(0 <= self.max_bad_share <= 1, "data", "max_bad_share must lie in [0, 1]")
        _require(self.min_item_count >= 1, "data", "min_item_count must be at least 1")


@dataclass(frozen=True)
class SplitConfig:
    """Where the past ends: what the cloud may see, what the device learns from, what is tested."""

    kind: str = "quantile"
    """quantile (one time for all, at a quantile of the events), time (a given time), column (the log's own split),
    or per_user (the last share of each user's events; for logs that have only an order)."""
    quantile: float = 0.8
    """Share of the events before the cut-off, for kinds quantile and per_user; in (0, 1)."""
    time: str = ""
    """Cut-off for kind time: a number in the log's unit or an ISO 8601 date, quoted or not."""
    column: str = "split"
    """Column of the log's own split, for kind column."""
    test_values: list[str] = field(default_factory=lambda: ["test"])
    """Values of `column` that mark the test part; every other row is training."""
    learn_share: float = 0.5
    """Share of each user's later events that the device learns from; the rest is the test. Ignored for kind column."""

    def __post_init__(self) -> None:
        _one_of(self.kind, ("quantile", "time", "column", "per_user"), "split", "kind")
        _require(0 < self.quantile < 1, "split", "quantile must lie in (0, 1)")
        _require(0 < self.learn_share < 1, "split", "learn_share must lie in (0, 1)")
        _require(self.kind != "time" or bool(self.time), "split", "kind time needs `time`")


@dataclass(frozen=True)
class ModelConfig:
    """Shape of the next-item model; stored with the model."""

    backbone: str = "gru"
    """Name in the backbone registry (`pocketrec.cloud.models`)."""
    embedding: int = 64
    """Size E of item and user embeddings."""
    hidden: int = 96
    """Units H of each GRU layer."""
    layers: int = 2
    """Number of GRU layers, at least 1."""
    window: int = 20
    """Number T of events that the model looks back on."""
    dropout: float = 0.25
    """Dropout of the item embeddings that enter the first GRU, in training only."""
    hidden_dropout: float = 0.0
    """Dropout of each GRU layer's output, in training only."""
    embedding_std: float = 0.0
    """Standard deviation of the item embeddings at the start; 0 = 1 / sqrt(embedding). Larger ones suit logs on which
    people repeat themselves: an item's score for itself grows with its square."""
    similarity: float = 0.0
    """Weight of the factors of the items' similarities in the start of the item embeddings; 0 = none
    (`pocketrec.cloud.item_start`). For catalogues of up to some hundred thousand items."""
    tied: bool = True
    """One item table for inputs and scores; false: scores have a table of their own, ``output_embedding``, and there is
    no export."""
    implementation: str = "auto"
    """How a GRU runs in training: unrolled (hand-written, over packed rows: for processors), keras (`keras.layers.GRU`
    over one window a row, which cuDNN runs on a GPU) or auto (keras where there is a GPU)."""
    start: str = "random"
    """Weights of the GRU at the start: random, or copy: the untrained model scores items by how lately the user had
    them (`pocketrec.cloud.models.gru_start`), for logs on which people repeat themselves."""

    def __post_init__(self) -> None:
        _one_of(self.backbone, BACKBONES, "model", "backbone")
        _one_of(self.implementation, ("auto", "unrolled", "keras"), "model", "implementation")
        _at_least(1, self, "model", "embedding", "hidden", "layers", "window")
        for name in ("dropout", "hidden_dropout"):
            _require(0 <= getattr(self, name) < 1, "model", f"{name} must lie in [0, 1)")
        _at_least(0, self, "model", "embedding_std", "similarity")
        _one_of(self.start, ("random", "copy"), "model", "start")


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
        _at_least(1, self, "train", "epochs", "batch", "unroll", "patience")
        _one_of(self.batching, ("windows", "sessions"), "train", "batching")
        _at_least(int(self.loss == "sampled_softmax"), self, "train", "negatives")
        _one_of(self.optimizer, OPTIMIZERS, "train", "optimizer")
        _one_of(self.loss, LOSSES, "train", "loss")
        _one_of(self.sampler, SAMPLERS, "train", "sampler")
        _require(_rate(self.sampler_rho), "train", "sampler_rho must be above 0 and finite")
        _require(0 <= self.warmup < 1, "train", "warmup must lie in [0, 1)")
        _one_of(self.decay, ("none", "linear", "cosine"), "train", "decay")
        _require(0 <= self.validation < 1, "train", "validation must lie in [0, 1)")
        _require(_rate(self.learning_rate), "train", "learning_rate must be above 0 and finite")
        _at_least(0, self, "train", "clip_norm", "sampler_alpha", "score_penalty", "recency_half_life",
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
        _require(0 <= self.initial <= self.final < 1, "prune", "initial must be at least 0, at most final, below 1")
        _require(0 <= self.begin < self.end <= 1, "prune", "begin must be at least 0 and below end, and end at most 1")
        _at_least(1, self, "prune", "every")
        _require(bool(self.tensors), "prune", "tensors must not be empty")
        for name in self.tensors:
            _one_of(name, PRUNED, "prune", "tensors")


@dataclass(frozen=True)
class CandidatesConfig:
    """Candidate sets, one of K items for each user."""

    method: str = "als"
    """Name in the candidates registry (`pocketrec.cloud.candidates`): als or popularity."""
    k: int = 100
    """Items in a set."""
    factors: int = 64
    """ALS: size of the factors."""
    regularization: float = 0.05
    """ALS: weight of the L2 penalty."""
    alpha: float = 2.0
    """ALS: weight of an observed count (Hu, Koren, Volinsky 2008, c = 1 + alpha r)."""
    iterations: int = 15
    """ALS: number of alternations."""
    head: int = 100_000
    """ALS: sets are taken from so many of the most popular items, for of an item of few events ALS knows little and
    ranking costs users x items; 0 = from all."""

    def __post_init__(self) -> None:
        _one_of(self.method, CANDIDATE_METHODS, "candidates", "method")
        _at_least(1, self, "candidates", "k", "factors", "iterations")
        _at_least(0, self, "candidates", "regularization", "alpha", "head")


@dataclass(frozen=True)
class KnnConfig:
    """The baseline item-kNN of every evaluation (`pocketrec.cloud.neighbours`)."""

    neighbours: int = 100
    """Most similar items kept for each item, itself included; 0 = no such baseline."""
    shrink: float = 10.0
    """Term added under the cosine, which damps similarities that rest on few users."""
    decay: float = 0.9
    """Weight of an event of the history relative to the next one; 1 = all alike."""

    def __post_init__(self) -> None:
        _at_least(0, self, "knn", "neighbours", "shrink")
        _require(0 < self.decay <= 1, "knn", "decay must lie in (0, 1]")


@dataclass(frozen=True)
class ExportConfig:
    """The TensorFlow Lite file."""

    item_table: str = "int8"
    """int8 (rows with one scale each) or float32."""
    item_bits: int = 8
    """Bits of an entry of an int8 item table, 2 to 8: fewer take less to send, and no less memory."""
    weight_bits: int = 8
    """Bits of an entry of the GRU and FC kernels, 2 to 8 (one scale for each output), or 32 = float32. The device
    computes in float32 with what they stand for; fewer take less to send."""
    keep_pruned: bool = True
    """Weights that pruning made zero stay zero in the devices' training; off: training fills them again."""
    adapter: int = 16
    """Width of the adapters' bottleneck, for the ways patch and patch_parallel."""
    batch: int = 8
    """Windows B of a device train step (static shape)."""
    full_softmax_limit: int = 20_000
    """Largest catalogue for which the device trains with the full softmax; above, the corrected sampled softmax."""
    negatives: int = 1024
    """Shared negatives of a device train step, for the sampled softmax."""

    def __post_init__(self) -> None:
        _one_of(self.item_table, ("int8", "float32"), "export", "item_table")
        _require(2 <= self.item_bits <= 8, "export", "item_bits must lie between 2 and 8")
        _require(2 <= self.weight_bits <= 8 or self.weight_bits == 32, "export",
                 "weight_bits must lie between 2 and 8, or be 32")
        _at_least(1, self, "export", "adapter", "batch", "negatives")
        _at_least(0, self, "export", "full_softmax_limit")


@dataclass(frozen=True)
class LeanConfig:
    """A second bundle for catalogues too large for a phone (`pocketrec.device.lean`)."""

    enabled: bool = False
    """Also write ``RUN/lean``: rows of the popular head, a row for each category of the other items (`data.category`),
    and in each candidate shard the rows of its users' candidates and latest items."""
    head: int = 50_000
    """Popular items with rows of their own on every device."""
    shard_items: int = 40_000
    """Most further items that a candidate shard brings; of more, the most popular."""

    def __post_init__(self) -> None:
        _at_least(1, self, "lean", "head", "shard_items")


@dataclass(frozen=True)
class PersonaliseConfig:
    """The recipe followed where rehearsal is off, and by the column ``naive`` of every evaluation."""

    way: str = "partial"
    """Which tensors the device trains: partial (last GRU + FC), head (FC), whole (all but the item table), patch or
    patch_parallel (adapters after, or beside, every frozen layer)."""
    optimizer: str = "adagrad"
    """sgd, adagrad or adam."""
    learning_rate: float = 0.02
    """Rate of every step."""
    passes: int = 10
    """Passes over the user's windows."""
    proximal: float = 0.0
    """Strength of the pull to the global weights."""
    minimum_events: int = 1
    """With fewer events to learn from, the global model is left alone."""

    def __post_init__(self) -> None:
        _one_of(self.way, WAYS, "personalise", "way")
        _one_of(self.optimizer, DEVICE_OPTIMIZERS, "personalise", "optimizer")
        _require(_rate(self.learning_rate), "personalise", "learning_rate must be above 0 and finite")
        _at_least(1, self, "personalise", "passes")
        _at_least(0, self, "personalise", "proximal", "minimum_events")


@dataclass(frozen=True)
class RehearseConfig:
    """The grid of recipes tried before the cut-off, on a second, earlier cut."""

    enabled: bool = True
    """Off: the bundle ships `PersonaliseConfig` as its recipe."""
    quantile: float = 0.8
    """Share of the events before the cut-off that lie before the earlier cut."""
    users: int = 200
    """Users in the sample (all, where there are fewer)."""
    ways: list[str] = field(default_factory=lambda: ["partial", "head"])
    """Ways to personalise."""
    optimizers: list[str] = field(default_factory=lambda: ["adagrad"])
    """Device optimisers."""
    learning_rates: list[float] = field(default_factory=lambda: [0.005, 0.02])
    """Rates."""
    passes: list[int] = field(default_factory=lambda: [3, 10])
    """Numbers of passes; each is read off one run of the largest."""
    proximals: list[float] = field(default_factory=lambda: [0.05])
    """Strengths of the pull to the global weights."""
    targets: list[str] = field(default_factory=lambda: ["later", "all"])
    """Events that the device trains on: later (those after the cut-off) or all (its own earlier ones too)."""
    repeats: list[float] = field(default_factory=lambda: [0.0, 2.0, 4.0])
    """Strengths of the bonus for items of the person's own history (`pocketrec.device.repeats`), with every training
    of the grid and, above 0, without any; only 0 counts where seen items are masked."""
    powers: list[float] = field(default_factory=lambda: [1.0, 1.5])
    """Exponents with which the weight of an event in that bonus falls with the number of events since."""
    follows: list[float] = field(default_factory=lambda: [0.5])
    """With each of these: strengths of the bonus for what followed the latest item before, relative to the other."""
    time_powers: list[float] = field(default_factory=lambda: [0.5])
    """And, with (1 + events since)^-1/2, exponents with which it falls with the seconds since; tried only where the
    log's times are Unix seconds. Empty: times are not looked at."""
    decays: list[float] = field(default_factory=list)
    """Or weights of an event relative to the next one, each in (0, 1): better on no log so far."""

    def __post_init__(self) -> None:
        _require(0 < self.quantile < 1, "rehearse", "quantile must lie in (0, 1)")
        _require(not self.enabled or all((self.ways, self.optimizers, self.learning_rates, self.passes,
                                          self.proximals, self.targets, self.repeats)), "rehearse",
                 "no list of the grid may be empty")
        _at_least(1, self, "rehearse", "users")
        for name, known in (("ways", WAYS), ("optimizers", DEVICE_OPTIMIZERS), ("targets", ("later", "all"))):
            for value in getattr(self, name):
                _one_of(value, known, "rehearse", name)
        _require(all(map(_rate, self.learning_rates)), "rehearse", "learning_rates must be above 0 and finite")
        _require(all(count >= 1 for count in self.passes), "rehearse", "passes must be at least 1")
        for name in ("proximals", "repeats", "powers", "follows", "time_powers"):
            strengths = getattr(self, name)
            _require(all(0 <= value < math.inf for value in strengths), "rehearse", f"{name} must not be negative")
        _require(all(0 < decay < 1 for decay in self.decays), "rehearse", "decays must lie in (0, 1)")
        _require(bool(self.decays or (self.powers and self.follows)), "rehearse",
                 "powers and follows, or decays, must not be empty")


@dataclass(frozen=True)
class CompareConfig:
    """Ways to personalise side by side (`pocketrec compare`), each with the recipe of a rehearsal of its own. Its grid
    is that of [rehearse] but for ways, optimisers and rates. Shapes no run."""

    ways: list[str] = field(default_factory=lambda: list(WAYS))
    """Ways to personalise."""
    optimizers: list[str] = field(default_factory=lambda: list(DEVICE_OPTIMIZERS))
    """Device optimisers, each with every way."""
    learning_rates: dict[str, list[float]] = field(
        default_factory=lambda: {"sgd": [0.2, 1.0], "adagrad": [0.005, 0.02], "adam": [0.001, 0.005]}
    )
    """Rates by optimiser: what is much for one is nothing for another."""

    def __post_init__(self) -> None:
        _require(bool(self.ways and self.optimizers), "compare", "ways and optimizers must not be empty")
        for way in self.ways:
            _one_of(way, WAYS, "compare", "ways")
        for optimizer in self.optimizers:
            _one_of(optimizer, DEVICE_OPTIMIZERS, "compare", "optimizers")
            rates = self.learning_rates.get(optimizer, [])
            _require(bool(rates) and all(map(_rate, rates)), "compare",
                     f"learning_rates.{optimizer} must be a list of rates above 0")


@dataclass(frozen=True)
class EvaluateConfig:
    """How quality is measured."""

    mask_seen: bool = False
    """Items that the user has had are taken out of the ranking (for logs that never repeat)."""
    ties: str = "worst"
    """Rank of a target that shares its score with others: worst, best or average of the tied places."""
    users: int = 0
    """Users evaluated through the device code; 0 = all that have events to learn from and to test."""
    naive: bool = True
    """Also evaluate naive fine-tuning: `PersonaliseConfig` without rehearsal, pull or guard."""
    central: bool = False
    """Also judge a model trained in the cloud on the events that devices learn from, with the same bonus for repeats:
    what privacy costs, if anything. It is for comparison only, and takes another training."""
    bootstrap: int = 2000
    """Resamples of users for the 95 % intervals."""

    def __post_init__(self) -> None:
        _one_of(self.ties, ("worst", "best", "average"), "evaluate", "ties")
        _at_least(0, self, "evaluate", "users")
        _at_least(1, self, "evaluate", "bootstrap")


@dataclass(frozen=True)
class SearchConfig:
    """Random search (`pocketrec search`), judged before the cut-off; shapes no run."""

    quantile: float = 0.9
    """Share of the events before the cut-off that trials learn from; the rest judges them."""
    users: int = 1000
    """Users that judge (all, where there are fewer); 0 = all."""
    space: dict[str, Any] = field(default_factory=dict)
    """What is tried: key -> list of choices, or a range such as ``{low = 0.1, high = 0.7}``, with ``log = true`` for
    one that is uniform in the logarithm. Keys of model and train are for the global model, of candidates for ALS, of
    knn for item-kNN; a system without any has a space that comes with it (`pocketrec.cloud.search_space`)."""

    def __post_init__(self) -> None:
        _require(0 < self.quantile < 1, "search", "quantile must lie in (0, 1)")
        _at_least(0, self, "search", "users")


@dataclass(frozen=True)
class ResourceConfig:
    """Where and how fast the run takes place. Another number of threads or another runtime sums in another order, so
    weights and figures may differ by rounding; nothing else changes, except that each engine has its own ALS."""

    threads: int = 0
    """Threads of TensorFlow and ALS; 0 = one for each core."""
    processes: int = 0
    """Device processes of rehearsal and evaluation; 0 = one for each core."""
    engine: str = "local"
    """What runs prepare and candidates: local (this machine) or spark. prepare gives the same bytes on both; ALS is
    Spark's own there."""
    master: str = ""
    """For engine spark: ``local[2]``, ``spark://host:port``, ``yarn`` or ``k8s://...``; empty = that of
    spark-submit, or this machine."""
    runtime: str = "auto"
    """Device runtime of rehearsal and evaluation: auto, ai_edge_litert or tflite_runtime."""

    def __post_init__(self) -> None:
        _at_least(0, self, "resources", "threads", "processes")
        _one_of(self.runtime, RUNTIMES, "resources", "runtime")
        _one_of(self.engine, ENGINES, "resources", "engine")


@dataclass(frozen=True)
class RunConfig:
    """A whole run."""

    seed: int = 1
    """Seed of everything random."""
    data: DataConfig = field(default_factory=lambda: DataConfig(set="synthetic"))
    split: SplitConfig = field(default_factory=SplitConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    prune: PruneConfig = field(default_factory=PruneConfig)
    candidates: CandidatesConfig = field(default_factory=CandidatesConfig)
    knn: KnnConfig = field(default_factory=KnnConfig)
    export: ExportConfig = field(default_factory=ExportConfig)
    lean: LeanConfig = field(default_factory=LeanConfig)
    personalise: PersonaliseConfig = field(default_factory=PersonaliseConfig)
    rehearse: RehearseConfig = field(default_factory=RehearseConfig)
    compare: CompareConfig = field(default_factory=CompareConfig)
    evaluate: EvaluateConfig = field(default_factory=EvaluateConfig)
    search: SearchConfig = field(default_factory=SearchConfig)
    resources: ResourceConfig = field(default_factory=ResourceConfig)

    def __post_init__(self) -> None:
        if not 0 <= self.seed < _SEEDS:
            raise ConfigError(f"seed must lie between 0 and {_SEEDS - 1}, and is {self.seed}")

    def to_dict(self) -> dict[str, Any]:
        """The configuration as plain tables, ready for JSON or TOML."""
        return dataclasses.asdict(self)


def load_config(path: str | Path, overrides: typing.Sequence[str] = ()) -> RunConfig:
    """Read a TOML file and apply ``key=value`` overrides such as ``train.epochs=3``.

    Args:
        path: the file.
        overrides: ``table.key=value`` (or ``seed=value``); the value is TOML, bare words are taken as strings.

    Raises:
        ConfigError: the file is missing or not TOML, a key is unknown, or a value has the wrong type or range.
    """
    try:
        tables = tomllib.loads(Path(path).read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise ConfigError(f"no configuration file {path}: name one of configs/*.toml or write your own") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"cannot read {path}: {error}: mend the TOML and try again") from None
    for override in overrides:
        _apply(tables, override)
    return config_from_dict(tables)


def config_from_dict(tables: dict[str, Any]) -> RunConfig:
    """Make a checked `RunConfig` from plain tables (the inverse of `RunConfig.to_dict`).

    Raises:
        ConfigError: a key is unknown, or a value has the wrong type or range.
    """
    return typing.cast(RunConfig, _build(RunConfig, tables, ""))


def _apply(tables: dict[str, Any], override: str) -> None:
    key, separator, text = override.partition("=")
    if not separator:
        raise ConfigError(f"--set {override}: write it as table.key=value, such as train.epochs=3")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text
    *parents, name = key.strip().split(".")
    for parent in parents:
        tables = tables.setdefault(parent, {})
        if not isinstance(tables, dict):
            raise ConfigError(f"--set {override}: {parent} is not a table; see docs/configuration.md for the keys")
    tables[name] = value


def _build(cls: type, tables: dict[str, Any], prefix: str) -> Any:
    types_of = typing.get_type_hints(cls)
    known = {f.name for f in fields(cls)}
    for key in tables:
        if key not in known:
            raise ConfigError(f"unknown key {prefix}{key}: the keys here are {', '.join(sorted(known))}")
    return cls(**{key: _convert(types_of[key], value, prefix + key) for key, value in tables.items()})


def _convert(expected: Any, value: Any, name: str) -> Any:
    if dataclasses.is_dataclass(expected):
        if not isinstance(value, dict):
            raise ConfigError(f"{name} must be a table, [{name}]")
        return _build(typing.cast(type, expected), value, name + ".")
    origin = typing.get_origin(expected)
    if origin is list:
        (inner,) = typing.get_args(expected)
        if not isinstance(value, list):
            raise ConfigError(f"{name} must be a list, not {value!r}")
        return [_convert(inner, entry, name) for entry in value]
    if origin is dict:
        inner = typing.get_args(expected)[1]
        if not isinstance(value, dict):
            raise ConfigError(f"{name} must be a table, not {value!r}")
        return {key: entry if inner is Any else _convert(inner, entry, f"{name}.{key}") for key, entry in value.items()}
    if expected is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if expected is str and isinstance(value, int | float) and not isinstance(value, bool):
        return repr(value)
    if expected is str and isinstance(value, datetime.date | datetime.time):  # a date that TOML has without quotes
        return value.isoformat()
    if not isinstance(value, expected if not isinstance(expected, types.UnionType) else object) or (
        expected is not bool and isinstance(value, bool)
    ):
        raise ConfigError(f"{name} must be of type {expected.__name__}, not {value!r}")
    return value


def _require(holds: bool, table: str, message: str) -> None:
    if not holds:
        raise ConfigError(f"[{table}] {message}")


def _one_of(value: str, known: typing.Sequence[str], table: str, name: str) -> None:
    _require(value in known, table, f"{name} {value!r} is not one of {', '.join(known)}")


def _at_least(least: int, config: object, table: str, *names: str) -> None:
    for name in names:
        value = getattr(config, name)
        _require(least <= value < math.inf, table, f"{name} must be at least {least}, and is {value}")


def _rate(value: float) -> bool:
    return 0 < value < math.inf
