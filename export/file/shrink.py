# SPDX-License-Identifier: Apache-2.0
"""Make a converted .tflite file small, without changing what it computes.

The converter leaves a name on every tensor, an empty buffer behind most of them, and for every signature its own copy
of the unrolled layers. Here the tensors of a signature are numbered in the order in which its operators meet them, so
that the layers which signatures have in common come out alike; then everything alike is written once. A flatbuffer
is a graph of offsets, so two tensors, two operators or two vectors that are equal may be one and the same.

Constants are left as they are, 16-byte aligned: the file is still read in place. This module knows nothing about
weights.
"""

from __future__ import annotations

import hashlib
from collections.abc import Hashable
from typing import Any

import flatbuffers
import numpy as np
from tensorflow.lite.python import schema_py_generated as schema

_IDENTIFIER = b"TFL3"
_ALIGNMENT = 16  # of a buffer's data, as the schema wants it
_SMALL = 64  # bytes; a longer constant of `_WEIGHTS` is a weight, by which operators of several signatures are known
_TRIED = 4  # earlier signatures whose order a signature is tried in, those first with which it has most in common

_FRONT = (
    schema.BuiltinOperator.CALL_ONCE,
    schema.BuiltinOperator.VAR_HANDLE,
    schema.BuiltinOperator.READ_VARIABLE,
)
_WEIGHTS = (schema.TensorType.FLOAT32, schema.TensorType.INT8)
_TIMED = (schema.BuiltinOperator.ASSIGN_VARIABLE, schema.BuiltinOperator.READ_VARIABLE)


def shrink(content: bytes) -> Any:
    """The same model, which `write` writes in fewer bytes: same signatures, operators and constants.

    Args:
        content: a .tflite file without custom operators.

    Returns:
        A model of the object API (``ModelT``). Reading and writing one in Python takes longer than converting it, so
        what changes the file passes it on as it is.
    """
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(content, 0))
    model.description = None
    model.metadata = None
    model.metadataBuffer = None
    _merge_buffers(model)
    in_time = [subgraph.operators for subgraph in model.subgraphs]
    _align(model)
    by_subgraph: dict[int, list[Any]] = {}
    for signature in model.signatureDefs or []:
        by_subgraph.setdefault(signature.subgraphIndex, []).append(signature)
    for index, subgraph in enumerate(model.subgraphs):
        _renumber(subgraph, by_subgraph.get(index, []))
        _strip(subgraph)
    for subgraph, operators in zip(model.subgraphs, in_time, strict=True):
        subgraph.operators = operators  # the converter's order: what is read earlier stays in memory for longer
    return model


def _merge_buffers(model: Any) -> None:
    """Point every tensor without data to buffer 0, and those of equal constants to one."""
    kept, places, of_old = [schema.BufferT()], {b"": 0}, {}
    for old, buffer in enumerate(model.buffers):
        data = b"" if buffer.data is None else bytes(buffer.data)
        of_old[old] = places.setdefault(data, len(kept))
        if of_old[old] == len(kept):
            kept.append(buffer)
    for subgraph in model.subgraphs:
        for tensor in subgraph.tensors:
            tensor.buffer = of_old[tensor.buffer]
    used = sorted({0} | {tensor.buffer for subgraph in model.subgraphs for tensor in subgraph.tensors})
    place_of = {old: place for place, old in enumerate(used)}
    for subgraph in model.subgraphs:
        for tensor in subgraph.tensors:
            tensor.buffer = place_of[tensor.buffer]
    model.buffers = [kept[place] for place in used]


def _align(model: Any) -> None:
    """Bring the operators that a subgraph has in common with an earlier one to its front, in the same order.

    That order numbers the tensors only; operators run in the converter's.
    """
    done: list[list[Hashable]] = []
    for subgraph in model.subgraphs:
        operators = subgraph.operators = _handles_first(model, subgraph)
        keys = _computations(model, subgraph)
        for best in sorted(done, key=lambda earlier: len(set(earlier) & set(keys)), reverse=True)[:_TRIED]:
            place = {key: index for index, key in reversed(list(enumerate(best))) if key is not None}
            order = sorted(range(len(keys)), key=lambda index: place.get(keys[index], len(best)))
            if _is_in_order(subgraph, [operators[index] for index in order]):
                subgraph.operators = [operators[index] for index in order]
                keys = [keys[index] for index in order]
                break
        done.append(keys)


def _handles_first(model: Any, subgraph: Any) -> list[Any]:
    """The operators with the variables' handles, and what is read before anything is assigned, at the front."""
    ranks, assigned = [], False
    for operator in subgraph.operators or []:
        builtin = _builtin(model, operator)
        assigned |= builtin == schema.BuiltinOperator.ASSIGN_VARIABLE
        read = builtin == schema.BuiltinOperator.READ_VARIABLE and not assigned
        ranks.append(_FRONT.index(builtin) if builtin in _FRONT and (read or builtin != _FRONT[-1]) else len(_FRONT))
    return [operator for _, operator in sorted(zip(ranks, subgraph.operators or [], strict=True), key=lambda e: e[0])]


def _computations(model: Any, subgraph: Any) -> list[Hashable]:
    """For each operator a digest of what it computes, whatever the batch; None where its moment matters too.

    Sizes and small constants, which differ between a batch of one and of several, are left out: digests only say which
    operators may stand at one place, and `_is_in_order` has the last word.
    """
    ends = set(_list(subgraph.outputs))
    index = next(place for place, other in enumerate(model.subgraphs) if other is subgraph)
    own = [signature for signature in model.signatureDefs or [] if signature.subgraphIndex == index]
    names = {entry.tensorIndex: entry.name for signature in own for entry in signature.inputs or []}
    values: dict[int, Hashable] = {}
    for place, tensor in enumerate(subgraph.tensors):
        data = model.buffers[tensor.buffer].data
        weights = data is not None and len(data) > _SMALL and tensor.type in _WEIGHTS and bool(np.any(data))
        values[place] = _digest((weights and tensor.buffer, tensor.type, names.get(place)))
    keys: list[Hashable] = []
    met: dict[Hashable, int] = {}
    assigned = False
    for operator in subgraph.operators or []:
        builtin = _builtin(model, operator)
        assigned |= builtin == schema.BuiltinOperator.ASSIGN_VARIABLE
        inputs = tuple(values.get(place) for place in _list(operator.inputs))
        key = _digest((builtin, _key(operator.builtinOptions), inputs))
        for number, place in enumerate(_list(operator.outputs)):
            values[place] = _digest((key, number))
        met[key] = met.get(key, 0) + 1
        moves = not (assigned and builtin in _TIMED) and not ends & set(_list(operator.outputs))
        keys.append((key, met[key]) if moves else None)
    return keys


def _is_in_order(subgraph: Any, operators: list[Any]) -> bool:
    """Whether every operator comes after those whose results it takes."""
    made = {place for operator in operators for place in _list(operator.outputs)}
    for operator in operators:
        if made & set(_list(operator.inputs)):
            return False
        made -= set(_list(operator.outputs))
    return True


def _builtin(model: Any, operator: Any) -> int:
    code = model.operatorCodes[operator.opcodeIndex]
    return int(max(code.builtinCode, code.deprecatedBuiltinCode))


def _digest(value: Hashable) -> str:
    return hashlib.sha256(repr(value).encode()).hexdigest()


def _renumber(subgraph: Any, signatures: list[Any]) -> None:
    """Number the tensors in the order in which the operators meet them; the others come last."""
    order: dict[int, int] = {}
    for operator in subgraph.operators or []:
        for old in [*_list(operator.inputs), *_list(operator.outputs)]:
            if old >= 0:
                order.setdefault(old, len(order))
    for old in [*_list(subgraph.inputs), *_list(subgraph.outputs)]:
        order.setdefault(old, len(order))
    subgraph.tensors = [subgraph.tensors[old] for old in order]
    order[-1] = -1  # an operator's optional input that is not there
    for holder in [subgraph, *(subgraph.operators or [])]:
        holder.inputs = np.array([order[old] for old in _list(holder.inputs)], np.int32)
        holder.outputs = np.array([order[old] for old in _list(holder.outputs)], np.int32)
    for signature in signatures:
        for entry in [*(signature.inputs or []), *(signature.outputs or [])]:
            entry.tensorIndex = order[entry.tensorIndex]


def _strip(subgraph: Any) -> None:
    """Drop the names of inner tensors, and tables that say nothing."""
    ends = {*_list(subgraph.inputs), *_list(subgraph.outputs)}
    for place, tensor in enumerate(subgraph.tensors):
        if place not in ends:
            tensor.name = None
        quantization = tensor.quantization
        if quantization is not None and all(not _list(values) for values in vars(quantization).values()
                                            if isinstance(values, list | np.ndarray) or values is None):  # fmt: skip
            tensor.quantization = None
        if _list(tensor.shapeSignature) == _list(tensor.shape):
            tensor.shapeSignature = None
    for operator in subgraph.operators or []:
        operator.intermediates = operator.intermediates if _list(operator.intermediates) else None
        if not any(_list(operator.mutatingVariableInputs)):
            operator.mutatingVariableInputs = None


def write(model: Any) -> bytes:
    """The bytes of a model of the object API (`ModelT`), which is used up by it: what is equal is written once."""
    builder = _Builder(1 << 20)
    for subgraph in model.subgraphs:
        subgraph.tensors = [_Once(tensor) for tensor in subgraph.tensors]
        for operator in subgraph.operators or []:
            if operator.builtinOptions is not None:
                operator.builtinOptions = _Once(operator.builtinOptions)
        subgraph.operators = [_Once(operator) for operator in subgraph.operators or []]
    model.buffers = [_Data(buffer) for buffer in model.buffers]
    builder.Finish(model.Pack(builder), _IDENTIFIER)
    return bytes(builder.Output())


class _Builder(flatbuffers.Builder):
    """A builder that writes equal vectors of numbers, and equal tables, once."""

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self.written: dict[Hashable, int] = {}

    def CreateNumpyVector(self, values: np.ndarray[Any, Any]) -> int:  # noqa: N802
        """Offset of the vector."""
        key = _key(values)
        if key not in self.written:
            self.written[key] = super().CreateNumpyVector(values)
        return self.written[key]


class _Once:
    """A table of the object API that is written once for all that are equal to it."""

    def __init__(self, table: Any) -> None:
        self.table = table

    def Pack(self, builder: _Builder) -> int:  # noqa: N802
        """Offset of the table."""
        key = _key(self.table)
        if key not in builder.written:
            builder.written[key] = self.table.Pack(builder)
        return builder.written[key]


class _Data:
    """A buffer whose data is aligned as the schema says; the object API in Python forgets it."""

    def __init__(self, buffer: Any) -> None:
        self.data = b"" if buffer.data is None else bytes(buffer.data)

    def Pack(self, builder: _Builder) -> int:  # noqa: N802
        """Offset of the table."""
        if not self.data:
            schema.BufferStart(builder)
            return int(schema.BufferEnd(builder))
        builder.StartVector(1, len(self.data), _ALIGNMENT)
        builder.head -= len(self.data)
        builder.Bytes[builder.head : builder.head + len(self.data)] = self.data
        place = builder.EndVector()
        schema.BufferStart(builder)
        schema.BufferAddData(builder, place)
        return int(schema.BufferEnd(builder))


def _key(value: Any) -> Hashable:
    if isinstance(value, _Once):
        return _key(value.table)
    if isinstance(value, np.ndarray):
        return (str(value.dtype), value.tobytes())
    if isinstance(value, list | tuple):
        return tuple(_key(entry) for entry in value)
    if hasattr(value, "__dict__"):
        return (type(value).__name__, *((name, _key(entry)) for name, entry in sorted(vars(value).items())))
    plain: Hashable = value
    return plain


def _list(values: Any) -> list[Any]:
    return [] if values is None else list(values)
