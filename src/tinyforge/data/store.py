"""Examples on disk, so that memory does not grow with their number."""

from __future__ import annotations

import io
import threading
import weakref
from array import array
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np
import orjson
from numpy.typing import NDArray

from tinyforge.records.examples import Example, Message
from tinyforge.records.rows import Source

_BLOCK = 1 << 20


class FlatFile:
    """Byte strings one behind the other in a file, read one at a time by position.

    It is read with plain reads and not mapped, so that the pages of a large file never count as
    the program's memory.

    Args:
        path: the file.
        offsets: int64, shape (n + 1,): where each string starts, and the end.
    """

    def __init__(self, path: Path, offsets: NDArray[np.int64]) -> None:
        self.path = path
        self.offsets = offsets
        self._file: BinaryIO = path.open("rb", buffering=0)
        self._lock = threading.Lock()
        weakref.finalize(self, self._file.close)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, index: int) -> bytes:
        start, end = int(self.offsets[index]), int(self.offsets[index + 1])
        with self._lock:
            self._file.seek(start)
            data = self._file.read(end - start)
            while data is not None and len(data) < end - start:
                more = self._file.read(end - start - len(data))
                if not more:
                    raise OSError(f"{self.path} is shorter than it was written")
                data += more
        return data

    def __iter__(self) -> Iterator[bytes]:
        with self.path.open("rb", buffering=_BLOCK) as file:
            for size in np.diff(self.offsets):
                yield file.read(int(size))


class FlatWriter:
    """Writes a ``FlatFile``. Holds 8 bytes a string in memory."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._file = io.BufferedWriter(io.FileIO(path, "w"), _BLOCK)
        self._offsets = array("q", [0])
        weakref.finalize(self, self._file.close)

    def append(self, data: bytes) -> None:
        """Write one more string."""
        self._file.write(data)
        self._offsets.append(self._offsets[-1] + len(data))

    def extend(self, data: bytes) -> None:
        """Write more of the last string."""
        self._file.write(data)
        self._offsets[-1] += len(data)

    def close(self) -> NDArray[np.int64]:
        """Finish the file; the offsets."""
        self._file.close()
        return np.frombuffer(self._offsets, dtype=np.int64)


class ExampleStore(Sequence[Example]):
    """Examples by number. Build it with ``StoreWriter`` or ``ExampleStore.of``."""

    def __init__(self, data: FlatFile, files: Sequence[str]) -> None:
        self.data = data
        self.files = tuple(files)

    @classmethod
    def of(cls, examples: Iterable[Example], path: Path) -> ExampleStore:
        """A store of these examples in the file ``path``."""
        writer = StoreWriter(path)
        for example in examples:
            writer.append(example)
        return writer.close()

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> Example:  # type: ignore[override]
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        return self._decode(self.data[index % len(self)])

    def __iter__(self) -> Iterator[Example]:
        return (self._decode(data) for data in self.data)

    def select(self, indices: Iterable[int]) -> list[Example]:
        """The examples with these numbers, in this order."""
        return [self[int(index)] for index in indices]

    def _decode(self, data: bytes) -> Example:
        given, output, labels, messages, group, time, file, line, *more = orjson.loads(data)
        return Example(
            input=given,
            output=output,
            labels=None if labels is None else tuple(labels),
            messages=tuple(Message(role, content) for role, content in messages),
            group=group,
            time=time,
            source=Source(self.files[file], line),
            references=tuple(more[0]) if more else (),
            rejected=more[1] if len(more) > 1 else None,
        )


class StoreWriter:
    """Writes an ``ExampleStore`` example by example."""

    def __init__(self, path: Path) -> None:
        self._writer = FlatWriter(path)
        self._files: dict[str, int] = {}

    def append(self, example: Example) -> bytes:
        """Write one more example; the bytes that stand for it."""
        source = example.source
        file = self._files.setdefault(source.file, len(self._files))
        messages = [(m.role, m.content) for m in example.messages]
        parts = [
            example.input, example.output, example.labels, messages,
            example.group, example.time, file, source.line,
        ]  # fmt: skip
        if example.references or example.rejected is not None:
            parts.append(example.references)
        if example.rejected is not None:
            parts.append(example.rejected)
        data = orjson.dumps(parts)
        self._writer.append(data)
        return data

    def close(self) -> ExampleStore:
        """Finish the file and open it for reading."""
        offsets = self._writer.close()
        return ExampleStore(FlatFile(self._writer.path, offsets), list(self._files))
