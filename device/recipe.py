"""recipe.json: how a device makes the model personal. The rehearsal writes it, the device follows it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pocketrec.device.errors import BundleError
from pocketrec.device.guard import GuardRecipe
from pocketrec.device.plain import check_plain
from pocketrec.device.repeats import Repeats

FORMAT = 1  # of recipe.json


@dataclass(frozen=True)
class Recipe:
    """One way to fine-tune, with its guard and what is expected of it."""

    personalise: bool = True
    """Off: the rehearsal found nothing to gain, and every device stays with the global model."""
    way: str = "partial"
    """Which tensors the model file trains: partial (last GRU + FC), head (FC), whole, patch or patch_parallel
    (adapters)."""
    optimizer: str = "adagrad"
    """Optimiser of the model file: sgd, adagrad or adam."""
    learning_rate: float = 0.02
    """Rate of every step, above 0."""
    passes: int = 10
    """Passes over the user's windows; 0 = the weights stay global, and `repeats` alone is personal."""
    proximal: float = 0.0
    """Strength of the pull to the global weights, at least 0."""
    targets: str = "later"
    """Events trained on: later (those at or after the manifest's cut-off) or all."""
    replay: float = 1.0
    """Where training goes on from personal weights: older windows replayed for each new one, at least 0."""
    minimum_events: int = 1
    """With fewer events to learn from, the global model is left alone."""
    repeats: Repeats = field(default_factory=Repeats)
    """How strongly the items of the person's own history are raised."""
    guard: GuardRecipe = field(default_factory=GuardRecipe)
    """Settings of the guard."""
    forecast: dict[str, Any] = field(default_factory=dict)
    """Gain that the rehearsal expects; for reports, the device does not read it."""

    def __post_init__(self) -> None:
        least = min(self.passes, self.proximal, self.replay, self.minimum_events)
        if not (self.learning_rate > 0 and least >= 0):
            raise ValueError("learning_rate, passes, proximal, replay or minimum_events is out of range")
        if self.targets not in ("later", "all"):
            raise ValueError(f"targets must be later or all, not {self.targets!r}")

    def first_target(self, since: int) -> int:
        """Index of the first event to train on, where `since` is that of the first event at or after the cut-off."""
        return 0 if self.targets == "all" else since

    def to_dict(self) -> dict[str, Any]:
        """The content of recipe.json."""
        return {"format": FORMAT, **dataclasses.asdict(self)}

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
            guard = GuardRecipe.from_dict(plain.pop("guard", {}))
            repeats = Repeats(**plain.pop("repeats", {}))
            recipe = cls(**plain, repeats=repeats, guard=guard)
            check_plain(recipe)
            return recipe
        except (TypeError, OverflowError, ValueError, KeyError, AttributeError) as error:
            raise BundleError(
                f"cannot follow recipe.json ({error}): use a bundle made for this version of pocketrec"
            ) from None
