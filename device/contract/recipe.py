# SPDX-License-Identifier: Apache-2.0
"""recipe.json: how a device makes the model personal. The rehearsal writes it, the device follows it.

The guard's settings are part of it: `device/personal/guard.py` has the formula in which `Prior`, `Signal` and `Line`
stand.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Final, Literal, TypeAlias

from pocketrec.device.base.errors import BundleError
from pocketrec.device.base.fields import Above, AtLeast, Below, FieldError, build, check
from pocketrec.device.contract.repeats import Repeats

FORMAT: Final = 1  # of recipe.json

#: Events trained on: those at or after the manifest's cut-off, or all.
Targets: TypeAlias = Literal["later", "all"]


@dataclass(frozen=True)
class Line:
    """A value that depends on a number of events: intercept + slope * log(1 + n)."""

    intercept: float = 0.0
    """Value at n = 0."""
    slope: float = 0.0
    """Change for each e-fold of 1 + n."""

    def at(self, events: int) -> float:
        """The value at `events` >= 0."""
        return self.intercept + self.slope * math.log1p(events)


@dataclass(frozen=True)
class Signal:
    """How far one held-back measurement is believed."""

    expected: Line = Line()
    """Its mean over rehearsed users with n events."""
    weight: float = 0.0
    """Gain in reciprocal rank for each unit of the signal; 0 = not used."""
    strength: Annotated[float, Above(0)] = 10.0
    """Held-back targets at which half of the signal is believed, above 0."""


#: What the guard may choose besides the global weights, the mildest first: share of the personal weights and of the
#: bonus for repeats.
CHOICES: Final = {"quarter": 0.25, "blend": 0.5, "most": 0.75, "personal": 1.0}


@dataclass(frozen=True)
class Prior:
    """What the rehearsal knows of one choice before a user's own events are judged."""

    gain: Line = Line()
    """Mean gain in reciprocal rank on the users' real future."""
    loglik: Signal = Signal()
    """Gain in mean log-likelihood of the held-back targets, in nats."""
    rr: Signal = Signal()
    """Gain in mean reciprocal rank of the held-back targets."""
    spread: Line = Line()
    """Standard deviation of the real gain around the expected one; 0 and less: it is taken as certain."""


#: Used where no rehearsal was made: nothing is expected, and the sign of the log-likelihood decides.
NEUTRAL: Final = Prior(loglik=Signal(weight=0.1))


@dataclass(frozen=True)
class GuardRecipe:
    """Settings of the guard; the table ``guard`` of recipe.json."""

    enabled: bool = True
    """Off: the personal weights are always kept (naive fine-tuning)."""
    holdback: Annotated[float, Above(0), Below(1)] = 0.3
    """Share of the events to learn from that is held back, the latest ones, in (0, 1)."""
    minimum_heldback: Annotated[int, AtLeast(1)] = 2
    """With fewer held-back targets nothing is judged, and the prior's gain alone decides."""
    threshold: float = 0.0
    """Posterior gain in reciprocal rank, less the price of harm, above which a choice is used."""
    prior: dict[str, Prior] = field(default_factory=dict)
    """Priors of what may be chosen (`CHOICES`). Without that of ``personal`` or ``blend`` these have `NEUTRAL`; of the
    other choices only those that have a prior are weighed."""
    price: Annotated[float, AtLeast(0)] = 0.0
    """What a loss of more than .01 costs, in reciprocal rank: the chance of one times this is taken off a gain."""

    @property
    def choices(self) -> tuple[str, ...]:
        """What is weighed besides the global weights, the mildest first."""
        return tuple(choice for choice in CHOICES if choice in ("blend", "personal") or choice in self.prior)

    def prior_of(self, choice: str) -> Prior:
        """The prior of one of the `choices`."""
        return self.prior.get(choice, NEUTRAL)


@dataclass(frozen=True)
class ItemRowsRecipe:
    """How personal item rows are fitted (`pocketrec.device.personal.item_rows`); the table ``item_rows``."""

    rate: Annotated[float, AtLeast(0)] = 0.0
    """Learning rate (Adagrad); 0 = there are no rows."""
    passes: Annotated[int, AtLeast(1)] = 10
    """Steps over all targets."""
    pull: Annotated[float, AtLeast(0)] = 0.01
    """Strength of the pull to the shared rows."""
    latest: Annotated[int, AtLeast(1)] = 200
    """Latest events that are fitted to, at most."""
    holdback: Annotated[float, Above(0), Below(1)] = 0.3
    """Share of them that is held back, the latest ones; rows are kept where they make these more likely."""


@dataclass(frozen=True)
class Recipe:
    """One way to fine-tune, with its guard and what is expected of it."""

    personalise: bool = True
    """Off: the rehearsal found no training that gains enough at little harm; every device stays with the
    global model."""
    way: str = "partial"
    """Which tensors the model file trains: partial (last GRU + FC), head (FC), whole, patch or patch_parallel
    (adapters), or ranker (that of a second stage)."""
    optimizer: str = "adagrad"
    """Optimiser of the model file: sgd, adagrad or adam."""
    learning_rate: Annotated[float, Above(0)] = 0.02
    """Rate of every step, above 0."""
    passes: Annotated[int, AtLeast(0)] = 10
    """Passes over the user's windows; 0 = the weights stay global, and `repeats` alone is personal."""
    proximal: Annotated[float, AtLeast(0)] = 0.0
    """Strength of the pull to the global weights, at least 0."""
    targets: Targets = "later"
    """Events trained on: later (those at or after the manifest's cut-off) or all."""
    replay: Annotated[float, AtLeast(0)] = 1.0
    """Where training continues from personal weights: older windows replayed for each new one, at least 0."""
    minimum_events: Annotated[int, AtLeast(0)] = 1
    """With fewer events to learn from, the global model is left alone."""
    repeats: Repeats = field(default_factory=Repeats)
    """How strongly the items of the person's own history are raised."""
    item_rows: ItemRowsRecipe = field(default_factory=ItemRowsRecipe)
    """How the embeddings of these items are made personal; recipe.json has it only where there are such rows."""
    guard: GuardRecipe = field(default_factory=GuardRecipe)
    """Settings of the guard."""
    forecast: dict[str, Any] = field(default_factory=dict)
    """Gain that the rehearsal expects; for reports, the device does not read it."""

    def __post_init__(self) -> None:
        check(self)

    def first_target(self, since: int) -> int:
        """Index of the first event to train on, where `since` is that of the first event at or after the cut-off."""
        return 0 if self.targets == "all" else since

    def to_dict(self) -> dict[str, Any]:
        """The content of recipe.json."""
        table = {"format": FORMAT, **dataclasses.asdict(self)}
        if self.item_rows == ItemRowsRecipe():
            del table["item_rows"]
        return table

    @classmethod
    def from_dict(cls, table: Mapping[str, Any]) -> Recipe:
        """Read the content of recipe.json.

        Raises:
            BundleError: the format is another, a key is unknown, or a value is wrong.
        """
        try:
            plain = dict(table)
            if plain.pop("format", FORMAT) != FORMAT:
                raise ValueError(f"its format is {table['format']!r}")
            return build(cls, plain)
        except (FieldError, TypeError, ValueError) as error:  # TypeError, ValueError: it is not a table at all
            raise BundleError(
                f"cannot follow recipe.json ({error}): use a bundle made for this version of pocketrec"
            ) from None
