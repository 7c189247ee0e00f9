# SPDX-License-Identifier: Apache-2.0
"""A dilated convolution over the steps of a window: shifted rows and one matrix product, both ways.

Rows are time-major, so a shift by s steps is one by s * B rows. The kernel of a layer that does not train lies in the
file once, as the forward product wants it (transposed), and the backward product reads the same numbers.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from pocketrec.device.base.array import Array
from pocketrec.device.contract.layers import LayerSpec
from pocketrec.export.layers.layer import Call, Flop, Gradients
from pocketrec.export.layers.products import turned


class Conv:
    """``pocketrec.cloud.backbones.conv.DilatedConvolution``.

    Args:
        spec: its tensors are kernel (K C, C), rows of the earliest step first, and bias (C,); options ``kernel`` (K),
            ``dilation`` and ``causal``.
    """

    def __init__(self, spec: LayerSpec) -> None:
        self.spec = spec
        self.tensors = tuple(tensor.name for tensor in spec.tensors)
        self._kernel, self._bias = self.tensors
        taps, dilation = int(spec.options["kernel"]), int(spec.options["dilation"])
        self.causal = bool(spec.options["causal"])
        reach = (taps - 1) * dilation
        first = reach if self.causal else reach // 2
        self.back = tuple(first - tap * dilation for tap in range(taps))
        """Steps before its own of each row that it looks at; negative ones lie after it."""

    def forward(self, x: tf.Tensor, call: Call) -> tuple[tf.Tensor, Any]:
        """See `DeviceLayer.forward`."""
        batch = x.shape[0] // call.steps
        if not self.causal:
            x = x * _events(call)
        seen = self._seen(call)
        looked_at = tf.concat([_shifted(x, self.back[tap] * batch) for tap in seen], axis=1)  # (T * B, K C)
        return tf.matmul(looked_at, self._rows(call)) + call.value(self._bias), looked_at

    def backward(self, trace: Any, dy: tf.Tensor, call: Call, down: bool) -> tuple[Gradients, tf.Tensor | None]:
        """See `DeviceLayer.backward`."""
        seen, size = self._seen(call), self.spec.inputs
        kernel = tf.matmul(trace, dy, transpose_a=True)
        left_out = [seen[0] * size, (len(self.back) - 1 - seen[-1]) * size]
        if any(left_out):
            kernel = tf.pad(kernel, [left_out, [0, 0]])
        gradients = {self._kernel: kernel, self._bias: tf.reduce_sum(dy, axis=0)}
        if not down:
            return gradients, None
        back = turned(self._rows(call), call.padding, call.trains([self._kernel]))
        through = tf.split(tf.matmul(dy, back), len(seen), axis=1)  # K x (T * B, C)
        batch = dy.shape[0] // call.steps
        dx = sum(_shifted(part, -self.back[tap] * batch) for tap, part in zip(seen, through, strict=True))
        return gradients, dx if self.causal else dx * _events(call)

    def holds(self, held: bool) -> bool:
        """See `DeviceLayer.holds`: rows of padding look at others than the last event's does."""
        return False

    def untrained(self) -> dict[str, Array]:
        """See `DeviceLayer.untrained`."""
        return {}

    def flop(self, trained: frozenset[str], down: bool) -> Flop:
        """See `DeviceLayer.flop`; a window shorter than the kernel reaches does with less."""
        product = 2 * self.spec.tensors[0].size
        return Flop(product, product * ((self._kernel in trained) + down))

    def _seen(self, call: Call) -> list[int]:
        """The rows of the kernel that some step of the window has something to look at for, by number."""
        return [tap for tap, back in enumerate(self.back) if abs(back) < call.steps]

    def _rows(self, call: Call) -> tf.Tensor:
        """The kernel without the rows of what lies beyond the window."""
        seen, size = self._seen(call), self.spec.inputs
        kernel = call.value(self._kernel)
        return kernel if len(seen) == len(self.back) else kernel[seen[0] * size : (seen[-1] + 1) * size]


def _events(call: Call) -> tf.Tensor:
    """1 where there is an event, 0 in padding: float32 (T * B, 1)."""
    return call.padding * -1.0 + 1.0


def _shifted(rows: tf.Tensor, by: int) -> tf.Tensor:
    """Rows moved down by so many (up, where it is negative), with zeros where none are."""
    if not by:
        return rows
    zeros = tf.zeros([abs(by), rows.shape[1]])
    return tf.concat([zeros, rows[:-by]] if by > 0 else [rows[-by:], zeros], axis=0)
