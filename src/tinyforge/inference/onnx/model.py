"""An exported model that answers: a folder's graphs in ONNX Runtime, without torch."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from tinyforge.artifacts import manifest
from tinyforge.artifacts.export_folder import HIDDEN, PLACES, RECORD, ROLES, ExportRecord
from tinyforge.artifacts.files import read_json, sha256
from tinyforge.config.evaluate import GenerateSettings
from tinyforge.errors import FolderError, ModelError
from tinyforge.inference.answering import AnsweringModel
from tinyforge.inference.embedding import means
from tinyforge.inference.fingerprint import DIGITS
from tinyforge.inference.onnx.classify import Classifier
from tinyforge.inference.onnx.safety import check_export
from tinyforge.inference.onnx.sessions import Session, open_session
from tinyforge.records.encoded import Encoded
from tinyforge.records.examples import Example
from tinyforge.records.predictions import Likelihood, Piece
from tinyforge.tasks import task_from_state
from tinyforge.tasks.tokens import pad
from tinyforge.text.fast_tokenizer import FastTokenizer


class OnnxModel(AnsweringModel):
    """An exported model; answers like the ``TorchModel`` it was made from. Make one with ``load``.

    It may be asked by several threads at once: what they ask is run together.

    Attributes:
        record: what the export says of itself.
        sessions: role to open graph.
    """

    def __init__(
        self,
        folder: Path,
        record: ExportRecord,
        sessions: dict[str, Session],
        *,
        name: str,
        settings: GenerateSettings | None = None,
        memory_bytes: int | None = None,
    ) -> None:
        tokenizer = FastTokenizer.load(folder, record.tokens)
        task: Any = task_from_state(record.task, tokenizer, _config(record))
        self._classifier: Classifier | None = None
        self._onnx_writer: Any = None
        if task.name == "classify":
            pad_id = int(record.config.get("pad_token_id") or 0)
            self._classifier = Classifier(sessions["model"], len(task.labels), pad_id)
        else:
            from tinyforge.inference.onnx.writer import OnnxWriter

            self._onnx_writer = OnnxWriter(
                sessions, record, tokenizer, task, memory_bytes=memory_bytes
            )
        super().__init__(
            tokenizer, task, name=name, path=folder, settings=_settings(record, settings, folder),
            max_positions=record.config.get("max_positions"), writer=self._onnx_writer,
        )  # fmt: skip
        self.record, self.sessions = record, sessions

    @classmethod
    def load(
        cls,
        folder: str | Path,
        *,
        settings: GenerateSettings | None = None,
        threads: int | None = None,
        memory_bytes: int | None = None,
    ) -> Self:
        """An exported folder, checked before anything in it is loaded.

        Args:
            settings: how it generates where a call says nothing else; what they leave unset is as
                the export says.
            threads: cores to use; default: all that this process may use.
            memory_bytes: what the keys and values of answers being written may take; default: a
                share of the machine's memory.

        Raises:
            FolderError: the folder is unsafe, damaged or not whole.
            ModelError: ONNX Runtime cannot open its graphs.
        """
        path = Path(folder)
        record = check_export(path)
        sessions = {
            role: open_session(record.graph(path, role), threads=threads)
            for role in sorted(ROLES[record.family])
        }
        return cls(
            path, record, sessions, name=str(folder), settings=settings, memory_bytes=memory_bytes
        )

    @property
    def parameters(self) -> int:
        """How many numbers the exported model had before anything was made smaller."""
        return self.record.parameters

    @property
    def size_bytes(self) -> int:
        """The size of graphs and weights, on disk and nearly so in memory."""
        return sum(path.stat().st_size for path in self._files())

    @cached_property
    def hash(self) -> str:
        """The first 12 hex digits of the SHA-256 of the SHA-256 of graphs and weights, by name.

        Those that the manifest gives are taken from there.
        """
        where = Path(self._folder, manifest.MANIFEST)
        listed = manifest.files_in(read_json(where), where) if where.is_file() else {}
        digest = hashlib.sha256()
        for path in self._files():
            entry = listed.get(path.name)
            found = sha256(path) if entry is None else entry["sha256"]
            digest.update(f"{path.name} {found}\n".encode())
        return digest.hexdigest()[:DIGITS]

    @property
    def model_type(self) -> str:
        """The architecture, by Hugging Face's name."""
        return str(self.record.config.get("model_type", ""))

    @property
    def device(self) -> str:
        """Where it runs: always ``cpu``."""
        return "cpu"

    @property
    def threads(self) -> int:
        """Processor cores that it uses."""
        return max(session.threads for session in self.sessions.values())

    def info(self) -> dict[str, Any]:
        """What this model is; plain JSON."""
        record = self.record
        return super().info() | {
            "source": record.source, "weights": record.weights, "precision": record.precision,
            "ready": record.ready,
        }  # fmt: skip

    def log_likelihoods(
        self,
        examples: Sequence[Example],
        *,
        window: int | None = None,
        stride: int | None = None,
    ) -> list[Likelihood]:
        """How likely the model finds each example's answer; see ``likelihood.likelihoods``."""
        if self._onnx_writer is None:
            raise ModelError("a classifier cannot tell how likely a text is", value=self.name)
        found: list[Likelihood] = self._onnx_writer.log_likelihoods(
            examples, window=window, stride=stride
        )
        return found

    def scorer(self) -> Any:
        """What measures answers that somebody else wrote."""
        if self._onnx_writer is None:
            raise ModelError("a classifier cannot tell how likely a text is", value=self.name)
        return self._onnx_writer.scorer()

    @property
    def begin(self) -> Callable[..., Callable[[], None]] | None:
        """``begin(one, tell=…, **options)``; None where the model is a classifier.

        It hands one input to the engine and returns at once: no thread of the caller's waits.
        ``tell`` is called in the engine's thread with each ``Piece``, the last of which has a
        ``finish_reason``, or with what went wrong. It has to return at once; what it raises ends
        the answer. What is returned ends the writing before the next token, after which ``tell``
        is not called any more, unless it is being called just then.

        Raises:
            SettingError: as ``stream``.
        """
        return None if self._onnx_writer is None else self._begin

    def _begin(
        self, given: Any, *, tell: Callable[[Piece | BaseException], None], **options: Any
    ) -> Callable[[], None]:
        prompt, settings, _ = self._one_to_write(given, options)
        cancel: Callable[[], None] = self._onnx_writer.begin(prompt, settings, tell)
        return cancel

    @property
    def width(self) -> int:
        """How many numbers a hidden state has; 0 where the graph does not give them."""
        return 0 if self._states is None else self._states.width(HIDDEN)

    @property
    def can_embed(self) -> bool:
        """Whether ``embed`` works: exports of encoders, and of encoders with a decoder, do."""
        return self._states is not None

    def _means(self, rows: Sequence[NDArray[np.int32]]) -> NDArray[np.float32]:
        if self._states is None:
            raise ModelError("the graph gives no hidden states", value=self.name)
        ids, mask = pad(rows, int(self.record.config.get("pad_token_id") or 0))
        feeds = {"input_ids": ids, "attention_mask": mask}
        if PLACES in self._states.optional:
            feeds[PLACES] = np.arange(ids.shape[1])
        found = self._states.run(feeds, (HIDDEN,))
        return means(found[HIDDEN], mask)

    @property
    def _states(self) -> Session | None:
        """The graph that gives hidden states, if there is one."""
        session = self.sessions.get("encoder") or self.sessions.get("model")
        return session if session is not None and HIDDEN in session.outputs else None

    @property
    def engine(self) -> Any:
        """What writes: an ``engine.Engine``, to ask for tokens as they come.

        Raises:
            ModelError: the model is a classifier.
        """
        if self._onnx_writer is None:
            raise ModelError("a classifier writes nothing", value=self.name)
        return self._onnx_writer.engine

    def close(self) -> None:
        """End its threads. Whoever asks it anything afterwards is refused."""
        if self._classifier is not None:
            self._classifier.close()
        if self._onnx_writer is not None:
            self._onnx_writer.close()

    @property
    def _folder(self) -> Path:
        return Path(self.path or "")

    def _files(self) -> list[Path]:
        """Graphs, and the weights beside them (``FILE.data``)."""
        return sorted(self._folder.glob("*.onnx*"))

    def _logits(self, items: Sequence[Encoded], rows: int) -> NDArray[np.float32]:
        if self._classifier is None:
            raise ModelError("only a classifier has a number for each label", value=self.name)
        most = rows if rows < len(items) else None
        return self._classifier.submit([item.input_ids for item in items], most=most).result()


def _config(record: ExportRecord) -> Any:
    """What a task reads of a Hugging Face config."""
    config = dict(record.config)
    if "own_eos_token_id" in config:
        config["eos_token_id"] = config["own_eos_token_id"]
    return SimpleNamespace(**config)


def _settings(
    record: ExportRecord, given: GenerateSettings | None, folder: Path
) -> GenerateSettings:
    """The export's settings, and the given ones over them."""
    chosen = {} if given is None else given.model_dump(exclude_unset=True)
    try:
        return GenerateSettings(**{**record.generation, **chosen})
    except (ValidationError, TypeError) as error:
        raise FolderError(
            "has settings of generating that there are not", where=str(folder / RECORD),
            value=str(error).split("\n")[0], fix="Export the model again",
        ) from error  # fmt: skip
