"""An ONNX graph that is changed: its operators in order, and its weights, read when they are used.

Weights beside the graph stay on the disk until someone asks for one, so that a large model needs
no more memory than its largest weight and what is made new.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from tinyforge.artifacts.export_folder import PLACES
from tinyforge.artifacts.files import disk_errors, sync_file, write_bytes
from tinyforge.errors import FolderError, MissingPackageError

EXTERNAL_ABOVE = 100 * 2**20
"""Bytes of weights from which they are put beside the graph, in a file of their own."""

ALIGNED = 4096
"""Weights begin at a page, so that they can be mapped into memory as they are."""

SMALL = 1024
"""Bytes of a weight that stays in the graph in any case: shapes and the like are needed there."""

CONTRIB = "com.microsoft"


def onnx_package() -> Any:
    """The package ``onnx``.

    Raises:
        MissingPackageError: it is not installed.
    """
    try:
        import onnx
    except ImportError as error:
        raise MissingPackageError("onnx", needed_for="making a model smaller", extra="onnx") from (
            error
        )
    return onnx


class Graph:
    """The graph in an ONNX file.

    Attributes:
        nodes: its operators, each after those it depends on.
        inputs, outputs: names of the tensors that go in and come out.
        path: where it was read.
    """

    def __init__(self, path: Path) -> None:
        onnx = onnx_package()
        self.path = path
        try:
            self._model = onnx.load(str(path), load_external_data=False)
        except Exception as error:  # protobuf has errors of its own
            raise FolderError("is damaged: not an ONNX graph", where=str(path)) from error
        graph = self._model.graph
        self.nodes: list[Any] = list(graph.node)
        self._weights: dict[str, Any] = {each.name: each for each in graph.initializer}
        # Old files name every weight among the inputs; places are the one that may be given.
        inputs = [
            each for each in graph.input if each.name not in self._weights or each.name == PLACES
        ]
        del graph.node[:], graph.initializer[:], graph.input[:]
        graph.input.extend(inputs)
        self.inputs = [each.name for each in inputs if each.name not in self._weights]
        self.outputs = [each.name for each in graph.output]

    def is_weight(self, name: str) -> bool:
        """Whether a tensor is a weight."""
        return name in self._weights

    def shape(self, name: str) -> tuple[int, ...]:
        """A weight's shape."""
        return tuple(self._weights[name].dims)

    def is_float(self, name: str) -> bool:
        """Whether a weight's numbers are float32."""
        return bool(self._weights[name].data_type == onnx_package().TensorProto.FLOAT)

    def array(self, name: str) -> NDArray[Any]:
        """A weight's numbers; not to be written to."""
        onnx = onnx_package()
        tensor = self._weights[name]
        place = _place(tensor, onnx)
        if place is None:
            return np.asarray(onnx.numpy_helper.to_array(tensor))
        file, offset, _ = place
        kind = onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type)
        with disk_errors(self.path.with_name(file)):
            return np.memmap(
                self.path.with_name(file),
                dtype=kind,
                mode="r",
                offset=offset,
                shape=self.shape(name),
            )

    def add(self, name: str, value: NDArray[Any]) -> str:
        """Add a weight, or replace the one of that name; returns the name."""
        onnx = onnx_package()
        tensor = onnx.TensorProto()
        tensor.name = name
        tensor.data_type = onnx.helper.np_dtype_to_tensor_dtype(value.dtype)
        tensor.dims.extend(value.shape)
        tensor.raw_data = np.ascontiguousarray(value).tobytes()
        self._weights[name] = tensor
        return name

    def remove(self, name: str) -> None:
        """Take a weight out; an operator makes the tensor of its name from now on."""
        del self._weights[name]

    def uses(self) -> Counter[str]:
        """How often each tensor is used, by operators, graphs inside them, and as an output."""
        found = Counter(name for node in self.nodes for name in _read(node))
        found.update(self.outputs)
        return found

    def producers(self) -> dict[str, Any]:
        """Tensor to the operator that makes it."""
        return {name: node for node in self.nodes for name in node.output if name}

    def readers(self) -> dict[str, list[Any]]:
        """Tensor to the operators that read it, not counting graphs inside them."""
        found: dict[str, list[Any]] = {}
        for node in self.nodes:
            for name in dict.fromkeys(node.input):
                found.setdefault(name, []).append(node)
        return found

    def replace(self, old: Sequence[Any], new: Sequence[Any]) -> None:
        """Put operators in the place of the first of some others, and take these out."""
        gone = {id(node) for node in old}
        place = next(index for index, node in enumerate(self.nodes) if id(node) in gone)
        rest = [node for node in self.nodes[place:] if id(node) not in gone]
        self.nodes[place:] = [*new, *rest]

    def insert(self, new: Sequence[Any], *, at: Any, behind: bool = False) -> None:
        """Put operators before or behind one that is there."""
        place = next(index for index, node in enumerate(self.nodes) if node is at) + behind
        self.nodes[place:place] = new

    def prune(self) -> None:
        """Take out operators and weights whose results nobody uses."""
        while True:
            used = self.uses()
            kept = [node for node in self.nodes if any(used[name] for name in node.output)]
            if len(kept) == len(self.nodes):
                break
            self.nodes = kept
        self._weights = {name: each for name, each in self._weights.items() if used[name]}

    def size_bytes(self) -> int:
        """Bytes of all weights."""
        return sum(_size(tensor) for tensor in self._weights.values())

    def names(self) -> list[str]:
        """Names of all weights, in order."""
        return list(self._weights)

    def files_beside(self) -> set[str]:
        """Names of the files beside the graph that hold weights."""
        onnx = onnx_package()
        places = (_place(tensor, onnx) for tensor in self._weights.values())
        return {place[0] for place in places if place is not None}

    def serialized(self, outputs: Sequence[str] = (), inputs: Sequence[Any] = ()) -> bytes:
        """The graph as bytes, with further tensors as outputs and inputs, for measuring.

        Weights that lie beside the graph are named, not contained.
        """
        onnx = onnx_package()
        model = self._finished()
        for name in outputs:
            if name not in self.outputs:
                model.graph.output.append(onnx.helper.make_empty_tensor_value_info(name))
        model.graph.input.extend(inputs)
        model.graph.initializer.extend(self._weights.values())
        return bytes(model.SerializeToString(deterministic=True))

    def save(self, path: Path) -> None:
        """Write the graph; weights beside it, in ``FILE.data``, where they are large.

        The same graph gives the same bytes.

        Raises:
            FolderError: the disk refuses.
        """
        model = self._finished()
        outside = self.size_bytes() > EXTERNAL_ABOVE
        if outside:
            data = path.with_name(f"{path.name}.data")
            with disk_errors(data):
                with data.open("wb") as file:
                    tensors = [self._outside(t, file, data.name) for t in self._weights.values()]
                sync_file(data)
        else:
            tensors = [self._inside(tensor) for tensor in self._weights.values()]
        model.graph.initializer.extend(tensors)
        write_bytes(path, model.SerializeToString(deterministic=True))

    def _finished(self) -> Any:
        onnx = onnx_package()
        model = onnx.ModelProto()
        model.CopyFrom(self._model)
        model.graph.node.extend(self.nodes)
        known = {name for node in self.nodes for name in node.output}
        shapes = [each for each in model.graph.value_info if each.name in known]
        del model.graph.value_info[:]
        model.graph.value_info.extend(shapes)
        if all(each.domain != CONTRIB for each in model.opset_import):
            model.opset_import.append(onnx.helper.make_opsetid(CONTRIB, 1))
        return model

    def _inside(self, tensor: Any) -> Any:
        onnx = onnx_package()
        if _place(tensor, onnx) is None:
            return tensor
        copy = onnx.TensorProto(name=tensor.name, data_type=tensor.data_type, dims=tensor.dims)
        copy.raw_data = b"".join(self._bytes(tensor))
        return copy

    def _outside(self, tensor: Any, file: BinaryIO, location: str) -> Any:
        onnx = onnx_package()
        if _size(tensor) < SMALL:
            return self._inside(tensor)
        file.write(b"\0" * (-file.tell() % ALIGNED))
        start = file.tell()
        for piece in self._bytes(tensor):
            file.write(piece)
        copy = onnx.TensorProto(name=tensor.name, data_type=tensor.data_type, dims=tensor.dims)
        copy.data_location = onnx.TensorProto.EXTERNAL
        entries = {"location": location, "offset": start, "length": file.tell() - start}
        for key, value in entries.items():
            copy.external_data.add(key=key, value=str(value))
        return copy

    def _bytes(self, tensor: Any) -> Iterator[bytes]:
        """A weight's bytes, a piece at a time."""
        onnx = onnx_package()
        place = _place(tensor, onnx)
        if place is None:
            if tensor.HasField("raw_data"):
                yield tensor.raw_data
            else:
                yield np.asarray(onnx.numpy_helper.to_array(tensor)).tobytes()
            return
        name, offset, length = place
        with self.path.with_name(name).open("rb") as file:
            file.seek(offset)
            while length > 0:
                piece = file.read(min(length, 1 << 24))
                if not piece:
                    raise FolderError(
                        "the file of weights is cut short", where=str(self.path.with_name(name))
                    )
                length -= len(piece)
                yield piece


def node(
    kind: str, inputs: Sequence[str], outputs: Sequence[str], name: str, **attributes: Any
) -> Any:
    """An operator; ``domain`` among the attributes names whose it is."""
    return onnx_package().helper.make_node(kind, inputs, outputs, name=name, **attributes)


def attribute(of: Any, name: str, default: Any = None) -> Any:
    """An operator's attribute."""
    helper = onnx_package().helper
    return next((helper.get_attribute_value(a) for a in of.attribute if a.name == name), default)


def _place(tensor: Any, onnx: Any) -> tuple[str, int, int] | None:
    """File, offset and length of a weight that lies beside the graph; None: it lies inside."""
    if tensor.data_location != onnx.TensorProto.EXTERNAL:
        return None
    entry = {each.key: each.value for each in tensor.external_data}
    return entry["location"], int(entry.get("offset", 0)), int(entry.get("length", _size(tensor)))


def _size(tensor: Any) -> int:
    onnx = onnx_package()
    count = int(np.prod(tensor.dims, dtype=np.int64))
    return count * int(np.dtype(onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type)).itemsize)


def _read(node: Any) -> Iterator[str]:
    """The tensors that an operator reads, those of graphs inside it too."""
    yield from (name for name in node.input if name)
    for each in node.attribute:
        graphs = [each.g] if each.HasField("g") else list(each.graphs)
        for graph in graphs:
            yield from (name for inner in graph.node for name in _read(inner))
            yield from (output.name for output in graph.output)
