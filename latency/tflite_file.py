"""A TFLite file: tensors, operators, and their flatbuffer.

The schema's own classes come with `ai-edge-litert`, which is imported only inside functions; TensorFlow is not needed.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

VERSIONS = {"CONV_2D": 3, "DEPTHWISE_CONV_2D": 3, "ADD": 2, "DEQUANTIZE": 2, "MEAN": 2, "PAD": 2, "TRANSPOSE": 4}
IDENTIFIER, SCHEMA_VERSION = b"TFL3", 3
LAST_BYTE = 127  # of operator codes, where old readers look
Shape = tuple[int, ...]


class Grid(NamedTuple):
    """Of an int8 tensor: value = size * (stored - zero)."""

    size: float
    zero: int


class Value(NamedTuple):
    """A tensor of the graph; float32 without a grid."""

    number: int
    shape: Shape
    grid: Grid | None = None


class Options(NamedTuple):
    """Of an operator: which kind of the schema's union, and the object."""

    kind: int
    values: Any


class TfliteFile:
    """Collects what one subgraph holds, from `input` to the value that `content` is asked for."""

    def __init__(self, shape: Shape) -> None:
        from ai_edge_litert import schema_py_generated

        self.schema: Any = schema_py_generated
        self._tensors: list[Any] = []
        self._buffers: list[Any] = [self.schema.BufferT()]  # by custom the first one is empty
        self._operators: list[Any] = []
        self._codes: list[str] = []
        self.input = self._tensor("input", shape)

    def options(self, kind: str, **values: Any) -> Options:
        """`kind` of the schema with `values`, both under the schema's names."""
        made = getattr(self.schema, f"{kind}T")()
        for name, value in values.items():
            assert hasattr(made, name), f"{kind} has no {name}"
            setattr(made, name, value)
        return Options(getattr(self.schema.BuiltinOptions, kind), made)

    def add(
        self, code: str, inputs: Sequence[Value], shape: Shape, options: Options, grid: Grid | None = None, *,
        name: str = "",
    ) -> Value:  # fmt: skip
        """One operator and the value it gives."""
        out = self._tensor(name or f"{code.lower()}_{len(self._operators)}", shape, grid)
        node = self.schema.OperatorT()
        if code not in self._codes:
            self._codes.append(code)
        node.opcodeIndex = self._codes.index(code)
        node.inputs, node.outputs = [value.number for value in inputs], [out.number]
        node.builtinOptionsType, node.builtinOptions = options
        self._operators.append(node)
        return out

    def constant(self, name: str, value: np.ndarray, scale_O: np.ndarray | None = None, rows: int = 0) -> Value:
        """Stores `value` in its own type; integers with a scale for each index of the dimension `rows`."""
        buffer = self.schema.BufferT()
        buffer.data = np.frombuffer(np.ascontiguousarray(value).tobytes(), np.uint8)
        self._buffers.append(buffer)
        made = self._tensor(name, value.shape)
        tensor = self._tensors[made.number]
        tensor.buffer, tensor.type = len(self._buffers) - 1, getattr(self.schema.TensorType, value.dtype.name.upper())
        if scale_O is not None:
            tensor.quantization = self._quantization(scale_O.tolist(), [0] * len(scale_O), rows)
        return made

    def content(self, output: Value) -> bytes:
        """The file."""
        graph, model = self.schema.SubGraphT(), self.schema.ModelT()
        graph.tensors, graph.operators = self._tensors, self._operators
        graph.inputs, graph.outputs = [self.input.number], [output.number]
        model.version, model.description, model.buffers = SCHEMA_VERSION, "lutnas", self._buffers
        model.subgraphs, model.operatorCodes = [graph], [self._code(code) for code in self._codes]
        return packed(model)

    def _tensor(self, name: str, shape: Shape, grid: Grid | None = None) -> Value:
        tensor = self.schema.TensorT()
        tensor.name, tensor.shape, tensor.buffer = name, list(shape), 0
        tensor.type = self.schema.TensorType.FLOAT32 if grid is None else self.schema.TensorType.INT8
        if grid is not None:
            tensor.quantization = self._quantization([grid.size], [grid.zero])
        self._tensors.append(tensor)
        return Value(len(self._tensors) - 1, shape, grid)

    def _quantization(self, scale: list[float], zero: list[int], rows: int = 0) -> Any:
        made = self.schema.QuantizationParametersT()
        made.scale, made.zeroPoint, made.quantizedDimension = scale, zero, rows
        return made

    def _code(self, code: str) -> Any:
        made, number = self.schema.OperatorCodeT(), getattr(self.schema.BuiltinOperator, code)
        made.builtinCode, made.deprecatedBuiltinCode = number, min(number, LAST_BYTE)
        made.version = VERSIONS.get(code, 1)
        return made


def parsed(content: bytes) -> Any:
    """The objects of a file, under the schema's names: to look into, or to change and pack again."""
    from ai_edge_litert import schema_py_generated

    return schema_py_generated.ModelT.InitFromPackedBuf(content)


def packed(model: Any) -> bytes:
    """The file of such objects."""
    import flatbuffers

    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), IDENTIFIER)
    return bytes(builder.Output())
