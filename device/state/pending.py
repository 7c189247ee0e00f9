# SPDX-License-Identifier: Apache-2.0
"""A personal training that was stopped for its budget: what it was about, and where it continues.

It continues only with the very events, recipe and start that it began with, known by a fingerprint; events that came
since are for the next training, so that a device with little time a night gets to the end. This module trains nothing.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pocketrec.device.base import documents
from pocketrec.device.base.array import Array
from pocketrec.device.base.fields import build
from pocketrec.device.contract.recipe import CHOICES
from pocketrec.device.personal.judgement import Compared, Judgement
from pocketrec.device.personal.options import Course, Paused


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
        return documents.line({**table, "course": course, "judgement": told})

    @classmethod
    def from_json(cls, text: str, weights: Mapping[str, Array]) -> Pending:
        """The inverse of `to_json`.

        Raises:
            ValueError, KeyError, TypeError: the text is of another form.
        """
        table = documents.parse_table(text)
        told, begun = table.pop("judgement"), table.pop("compared", None)
        judgement = None if told is None else build(Judgement, told, "judgement")
        course = build(Course, table.pop("course"), "course")
        compared = None if begun is None else build(Compared, begun, "compared")
        if compared is not None and not 0 < len(compared.loss) == len(compared.rr) <= 1 + len(CHOICES):
            raise ValueError("the sums of its comparison are not those of the choices")
        return build(cls, {**table, "paused": Paused(course, dict(weights), judgement, compared)})
