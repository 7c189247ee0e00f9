# SPDX-License-Identifier: Apache-2.0
"""Leave constants of zeros out of a .tflite file: the operator FILL makes them where the model runs.

The slots of an optimiser start from zeros, and so do an adapter's `up_kernel` and the state of a recurrent layer; the
converter writes them out value by value. Every value and every other operator stays as it is. A constant that an
operator may want to know before it runs (kernels, biases, axes) stays in the file. This module knows nothing about
weights.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from tensorflow.lite.python import schema_py_generated as schema

#: Bytes from which a constant of zeros is left out. The operator and its tensors take about 100.
LEAST = 1024

_ANY_VALUE = (
    schema.BuiltinOperator.ASSIGN_VARIABLE,
    schema.BuiltinOperator.ADD,
    schema.BuiltinOperator.SUB,
    schema.BuiltinOperator.MUL,
    schema.BuiltinOperator.CONCATENATION,
)  # operators that compute alike, and as fast, whether an operand is a constant or not


def fill_zeros(model: Any) -> None:
    """Put an operator FILL in the place of each float32 constant of zeros of `LEAST` bytes or more.

    Args:
        model: of the object API (``ModelT``), from `pocketrec.export.file.shrink.shrink`; changed in place.
    """
    zeros = {
        index
        for index, buffer in enumerate(model.buffers)
        if buffer.data is not None and len(buffer.data) >= LEAST and not np.any(buffer.data)
    }
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.FILL
    code.version = 1
    found = [(subgraph, place) for subgraph in model.subgraphs for place in _places(model, subgraph, zeros)]
    if not found:
        return
    model.operatorCodes.append(code)
    for subgraph, place in found:
        _fill(model, subgraph, place)
    for index in zeros - {tensor.buffer for subgraph in model.subgraphs for tensor in subgraph.tensors}:
        model.buffers[index].data = None


def _places(model: Any, subgraph: Any, zeros: set[int]) -> list[int]:
    """The constants of zeros that are read, by no operator which may want to know them before it runs."""
    read: set[int] = set()
    kept = set(subgraph.outputs if subgraph.outputs is not None else [])
    for operator in subgraph.operators or []:
        code = model.operatorCodes[operator.opcodeIndex]
        any_value = max(code.builtinCode, code.deprecatedBuiltinCode) in _ANY_VALUE
        (read if any_value else kept).update(operator.inputs)
    return [
        place
        for place in sorted(read - kept)
        if subgraph.tensors[place].buffer in zeros and subgraph.tensors[place].type == schema.TensorType.FLOAT32
    ]


def _fill(model: Any, subgraph: Any, place: int) -> None:
    """Make a constant the output of a FILL, the last of the operator codes, just before the first that reads it."""
    tensor = subgraph.tensors[place]
    tensor.buffer = 0
    sizes = _constant(model, subgraph, np.array(tensor.shape, np.int32))
    zero = _constant(model, subgraph, np.zeros([], np.float32))
    fill = schema.OperatorT()
    fill.opcodeIndex = len(model.operatorCodes) - 1
    fill.inputs, fill.outputs = np.array([sizes, zero], np.int32), np.array([place], np.int32)
    fill.builtinOptionsType, fill.builtinOptions = schema.BuiltinOptions.FillOptions, schema.FillOptionsT()
    readers = (index for index, operator in enumerate(subgraph.operators) if place in set(operator.inputs))
    subgraph.operators.insert(next(readers), fill)


def _constant(model: Any, subgraph: Any, values: np.ndarray[Any, Any]) -> int:
    """The place of a new constant, whose bytes may be those of another."""
    data, tensor = values.tobytes(), schema.TensorT()
    held = ((index, buffer.data) for index, buffer in enumerate(model.buffers) if buffer.data is not None)
    alike = (index for index, other in held if len(other) == len(data) and bytes(other) == data)
    tensor.buffer = next(alike, len(model.buffers))
    if tensor.buffer == len(model.buffers):
        buffer = schema.BufferT()
        buffer.data = np.frombuffer(data, np.uint8)
        model.buffers.append(buffer)
    tensor.shape = np.array(values.shape, np.int32)
    tensor.type = schema.TensorType.INT32 if values.dtype == np.int32 else schema.TensorType.FLOAT32
    subgraph.tensors.append(tensor)
    return len(subgraph.tensors) - 1
