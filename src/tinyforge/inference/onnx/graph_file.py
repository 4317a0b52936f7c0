"""An ONNX file looked through as plain bytes: what it takes and gives, and whether it is safe.

Numbers of fields are those of ``onnx.proto3``. Only shapes, names and places of weights are read,
so that a file of gigabytes takes no longer than a small one.
"""

from __future__ import annotations

import mmap
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod
from pathlib import Path, PurePosixPath

from tinyforge.errors import FolderError
from tinyforge.inference.onnx.protobuf import MalformedError, Message, signed

DOMAINS = frozenset({"", "ai.onnx", "com.microsoft"})
"""Whose operators ONNX Runtime has built in, and our exports use."""

REFUSED = frozenset({"EPContext", "PythonOp", "PythonOpGrad", "TritonOp", "ATen"})
"""Operators of these domains that open files or run code of their own."""

MOST_NODES = 200_000
MOST_TENSORS = 200_000
DEEPEST = 8
"""Graphs within graphs."""
LARGEST_GRAPH = 2**31 - 1
"""Bytes of a message, at most; the limit of protocol buffers."""
_MOST_DIMS = 64
_MOST_IN_A_BYTE = 4
_BITS = {
    1: 32, 2: 8, 3: 8, 4: 16, 5: 16, 6: 32, 7: 64, 9: 8, 10: 16, 11: 64, 12: 32, 13: 64, 14: 64,
    15: 128, 16: 16, 17: 8, 18: 8, 19: 8, 20: 8, 21: 4, 22: 4, 23: 4, 24: 8, 25: 2, 26: 2,
}  # fmt: skip
"""ONNX element type to its bits; 8 is a string, which has no width."""


@dataclass
class Seen:
    """What was found in a graph.

    Attributes:
        inputs, outputs: their names; weights are no inputs.
        domains: whose operators may be used: those built in, and those defined in the file.
        external: bytes of weights outside the graph's own file.
    """

    inputs: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    domains: set[str] = field(default_factory=lambda: set(DOMAINS))
    nodes: int = 0
    tensors: int = 0
    external: int = 0


def read_graph(path: Path, files: Mapping[str, int]) -> Seen:
    """Look through a graph.

    Args:
        files: the plain files of its folder, relative name to size; weights may lie in them.

    Raises:
        FolderError: it is damaged or unsafe.
    """
    if path.suffix != ".onnx":
        raise FolderError("is not an .onnx file", where=str(path))
    size = files[path.name]
    if not 0 < size <= LARGEST_GRAPH:
        raise FolderError("has a size that no graph has", where=str(path), value=f"{size:,} bytes")
    reader = _Reader(path, files)
    try:
        with (
            path.open("rb") as file,
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content,
            memoryview(content) as data,
        ):
            reader.model(Message(data, 0, len(data)))
    except MalformedError as error:
        raise FolderError(
            "is damaged: not an ONNX graph", where=str(path), value=str(error),
            fix="Copy or export the model again",
        ) from error  # fmt: skip
    return reader.seen


class _Reader:
    """Walks through the messages of ONNX (onnx.proto3); numbers are those of its fields."""

    def __init__(self, path: Path, files: Mapping[str, int]) -> None:
        self._path, self._files = path, files
        self.seen = Seen()

    def model(self, model: Message) -> None:
        parts = [(number, part) for number, part in model.fields() if isinstance(part, Message)]
        if any(number == 20 for number, _ in parts):
            raise self._unsafe("holds instructions for training", None)
        functions = [part for number, part in parts if number == 25]
        self.seen.domains |= {_name(function, 10) for function in functions}
        graphs = [part for number, part in parts if number == 7]
        if len(graphs) != 1:
            raise MalformedError(f"{len(graphs)} graphs in one file")
        for function in functions:
            for number, part in function.fields():
                if isinstance(part, Message) and number == 7:
                    self._node(part, 0)
                elif isinstance(part, Message) and number == 11:
                    self._attribute(part, 0)
        weights = self._graph(graphs[0], 0)
        self.seen.inputs = [name for name in _names(graphs[0], 11) if name not in weights]
        self.seen.outputs = _names(graphs[0], 12)

    def _graph(self, graph: Message, depth: int) -> set[str]:
        """Checks everything in a graph; the names of its weights."""
        if depth > DEEPEST:
            raise self._unsafe(f"has graphs nested more than {DEEPEST} deep", None)
        weights = set()
        for number, part in graph.fields():
            if not isinstance(part, Message):
                continue
            if number == 1:
                self._node(part, depth)
            elif number == 5:
                weights.add(self._tensor(part))
            elif number == 15:  # made dense on loading, whatever that takes
                raise self._unsafe("has sparse weights, which no export has", None)
        return weights

    def _node(self, node: Message, depth: int) -> None:
        self.seen.nodes += 1
        if self.seen.nodes > MOST_NODES:
            raise self._unsafe(f"has more than {MOST_NODES:,} operators", None)
        kind = domain = ""
        for number, part in node.fields():
            if not isinstance(part, Message):
                continue
            if number == 4:
                kind = part.text()
            elif number == 7:
                domain = part.text()
            elif number == 5:
                self._attribute(part, depth)
        if domain not in self.seen.domains:
            raise self._unsafe(f"has the operator {kind} of an unknown domain", domain)
        if kind in REFUSED:
            raise self._unsafe("has an operator that runs code or opens files", kind)

    def _attribute(self, attribute: Message, depth: int) -> None:
        for number, part in attribute.fields():
            if not isinstance(part, Message):
                continue
            if number in (5, 10):
                self._tensor(part)
            elif number in (6, 11):
                self._graph(part, depth + 1)
            elif number in (22, 23):
                raise self._unsafe("has sparse weights, which no export has", None)

    def _tensor(self, tensor: Message) -> str:
        """Checks that a tensor's bytes are there and as many as its shape says; its name."""
        self.seen.tensors += 1
        if self.seen.tensors > MOST_TENSORS:
            raise self._unsafe(f"has more than {MOST_TENSORS:,} tensors", None)
        dims: list[int] = []
        name, kind, raw, outside = "", 0, None, False
        external: dict[str, str] = {}
        for number, part in tensor.fields():
            if number == 1:
                dims += [part] if isinstance(part, int) else part.numbers()
                if len(dims) > _MOST_DIMS:
                    raise MalformedError("a tensor of too many dimensions")
            elif number == 2 and isinstance(part, int):
                kind = part
            elif number == 14:
                outside = part == 1
            elif isinstance(part, Message):
                if number == 8:
                    name = part.text()
                elif number == 9:
                    raw = len(part)
                elif number == 13:
                    external[_name(part, 1)] = _name(part, 2)
        shape = [signed(dim) for dim in dims]
        if any(dim < 0 for dim in shape):
            raise self._unsafe("has a tensor with a negative size", name)
        size = -(-prod(shape) * _BITS.get(kind, 0) // 8)
        if outside or external:
            self._check_outside(name, external, size)
        elif raw is not None and kind in _BITS and raw != size:
            raise MalformedError(f"the weight {name} has {raw:,} bytes instead of {size:,}")
        elif raw is None and prod(shape) > _MOST_IN_A_BYTE * len(tensor):
            raise MalformedError(f"the weight {name} lacks most of its {prod(shape):,} numbers")
        return name

    def _check_outside(self, name: str, entry: dict[str, str], size: int) -> None:
        location = entry.get("location", "")
        plain = PurePosixPath(location)
        if len(plain.parts) != 1 or plain.name in ("", ".", "..") or set(location) & set("\\:/\0"):
            raise self._unsafe("has weights outside its folder", location)
        if location not in self._files:
            raise FolderError(
                "the file of weights is missing", where=str(self._path.with_name(location)),
                fix="Copy or export the model again",
            )  # fmt: skip
        offset, length = (_count(entry.get(key), default) for key, default in
                          (("offset", 0), ("length", size)))  # fmt: skip
        if length != size:
            raise MalformedError(f"the weight {name} has {length:,} bytes instead of {size:,}")
        if offset + length > self._files[location]:
            raise FolderError(
                "the file of weights is cut short", where=str(self._path.with_name(location)),
                value=f"{self._files[location]:,} bytes", fix="Copy or export the model again",
            )  # fmt: skip
        self.seen.external += length

    def _unsafe(self, what: str, value: str | None) -> FolderError:
        return FolderError(
            what, where=str(self._path), value=value, fix="Use only exports from people you trust"
        )


def _name(message: Message, number: int) -> str:
    """The text in the last field of that number; empty where there is none."""
    found = ""
    for each, part in message.fields():
        if each == number and isinstance(part, Message):
            found = part.text()
    return found


def _names(graph: Message, number: int) -> list[str]:
    """The names of a graph's inputs or outputs."""
    return [
        _name(part, 1)
        for each, part in graph.fields()
        if each == number and isinstance(part, Message)
    ]


def _count(text: str | None, default: int) -> int:
    if text is None:
        return default
    if not text.isascii() or not text.isdigit() or len(text) > 19:
        raise MalformedError(f"{text[:20]!r} where a number of bytes should stand")
    return int(text)
