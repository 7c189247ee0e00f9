"""A personal training that was stopped for its budget: what it was about, and where it goes on.

It goes on only with the very events, recipe and start that it began with, told by a fingerprint; events that came since
are for the next training, so that a device with little time a night gets to the end. This module trains nothing.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pocketrec.device.base.array import Array
from pocketrec.device.base.fields import check_plain
from pocketrec.device.personal.guard import Compared, Judgement, Observed
from pocketrec.device.personal.personalise import Paused
from pocketrec.device.personal.training import Course


@dataclass(frozen=True)
class Pending:
    """A training that was stopped."""

    key: str
    """Fingerprint of its plan."""
    length: int
    """Events of the history that it knows."""
    through: int
    """Number of the store's last event then."""
    fresh: bool
    """Whether it had been given events."""
    paused: Paused
    """Where it stands."""

    def to_json(self) -> str:
        """All but the weights."""
        course, judgement = dataclasses.asdict(self.paused.course), self.paused.judgement
        table: dict[str, Any] = {"key": self.key, "length": self.length, "through": self.through, "fresh": self.fresh}
        told = None if judgement is None else dataclasses.asdict(judgement)
        if self.paused.compared is not None:
            table["compared"] = dataclasses.asdict(self.paused.compared)
        return json.dumps({**table, "course": course, "judgement": told})

    @classmethod
    def from_json(cls, text: str, weights: Mapping[str, Array]) -> Pending:
        """The inverse of `to_json`.

        Raises:
            ValueError, KeyError, TypeError: the text is of another form.
        """
        table = json.loads(text)
        told = table.pop("judgement")
        judgement = None
        if told is not None:
            observed = {choice: Observed(**entry) for choice, entry in told.pop("observed").items()}
            judgement = Judgement(**told, observed=observed)
        course = Course(**table.pop("course"))
        if not all(isinstance(loss, int | float) for loss in course.losses):
            raise ValueError("the losses of its training are none")
        begun = table.pop("compared", None)
        compared = None if begun is None else Compared(**begun)
        if compared is not None and not (0 < len(compared.loss) == len(compared.rr) <= 3):
            raise ValueError("the sums of its comparison are not three")
        if compared is not None and not all(isinstance(value, float) for value in compared.loss + compared.rr):
            raise ValueError("the sums of its comparison are none")
        for part in (course, judgement, compared):
            if part is not None:
                check_plain(part)
        paused = Paused(course, dict(weights), judgement, compared)
        return cls(**table, paused=paused)
