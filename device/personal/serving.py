# SPDX-License-Identifier: Apache-2.0
"""The model that answers questions while another one may be trained.

There is one interpreter as long as nobody asks during a training. Who does is answered by a second one with the weights
that were in use before, opened at that moment and closed when the training is over: a question never sees half-trained
weights, and never waits for a train step. A device that trains at night pays nothing for it. Measured on the reference
bundle (3,706 items, E = 64, H = 96), the second interpreter takes 16.7 MB (LiteRT) or 4.8 MB (tflite-runtime) and 70 or
14 ms to open; the item table is mapped once for both. The other way, to put the old weights in and out between two
steps, costs no memory and 1.4 ms, but every answer then waits for a whole step (7 to 13 ms, more on a phone), and who
asks often slows the training down.

The owner calls this under its lock. This module knows nothing about users, histories and files.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

from pocketrec.device.base.errors import ConfigError

if TYPE_CHECKING:
    from pocketrec.device.base.array import Array
    from pocketrec.device.engine.model import Model

# Interpreters that a forked child has from its parent. Their threads exist in the parent alone, so that closing one
# here would wait for ever.
_INHERITED: Final[list[Model | None]] = []


class Serving:
    """One bundle's model with the weights of one user.

    Args:
        load: opens the model file, with the global weights.
    """

    def __init__(self, load: Callable[[], Model]) -> None:
        self._load = load
        self._first: Model | None = None
        self._second: Model | None = None
        self._reference: dict[str, Array] = {}
        self._weights: Mapping[str, Array] = {}
        self._inside: list[Mapping[str, Array] | None] = [None, None]  # what the two interpreters hold
        self.training = False

    training: bool
    """Whether the first interpreter is being trained."""

    def model(self, weights: Mapping[str, Array] | None = None) -> Model:
        """A model with the weights in use, or with these instead until the next call; opened where it is not yet.

        Weights change by `import_weights` alone, and where the same object is asked for again, nothing is done.

        Raises:
            StateError: they are not those of this model.
        """
        wanted = self._weights if weights is None else weights
        if not self.training:
            return self._holding(0, self._opened(), wanted)
        if self._second is None:
            self._second, self._inside[1] = self._load(), self._weights if not self._weights else None
        return self._holding(1, self._second, wanted)

    def reference(self) -> Mapping[str, Array]:
        """The global weights and slots; the model is opened where it is not yet."""
        self._opened()
        return self._reference

    def use(self, weights: Mapping[str, Array]) -> None:
        """Take other weights into use; empty = the global ones.

        Raises:
            StateError: they are not those of this model; nothing was changed.
        """
        place, idle = (1, self._second) if self.training else (0, self._first)
        if idle is not None:
            self._holding(place, idle, weights)
        self._weights = weights

    def begin(self) -> tuple[Model, Mapping[str, Array]]:
        """The model to train, with the weights in use, and the global weights; until `end` others get another model.

        Raises:
            ConfigError: a training is at work already, so this comes from within its own progress function.
        """
        if self.training:
            raise ConfigError("personalise was called from within the progress function of personalise: call it when "
                              "the first one has ended")  # fmt: skip
        model = self.model()
        self.training = True
        self._inside[0] = None  # from now on what the training makes of it
        return model, self._reference

    def end(self, weights: Mapping[str, Array]) -> None:
        """The training is over: these weights are in use, and the second interpreter is closed."""
        self.training, self._second, self._weights = False, None, weights
        if self._first is not None:
            self._inside[0] = None
            self._holding(0, self._first, weights)

    def close(self) -> None:
        """Close the interpreters; the next call opens one again. One that is being trained is closed after `end`."""
        self._first = self._second = None

    def forked(self) -> None:
        """Begin again in a forked child, where the parent's interpreters must not be touched."""
        _INHERITED.extend((self._first, self._second))
        self._first = self._second = None
        self.training = False

    def _opened(self) -> Model:
        if self._first is None:
            model = self._load()
            self._reference = model.export_weights()
            self._first, self._inside[0] = model, self._weights if not self._weights else None
        return self._first

    def _holding(self, place: int, model: Model, weights: Mapping[str, Array]) -> Model:
        """The interpreter of that place with these weights; empty = the global ones."""
        if self._inside[place] is not weights:
            model.import_weights(weights or self._reference)
            self._inside[place] = weights
        return model
