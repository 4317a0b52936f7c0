"""A PyTorch model that answers: ours, or any Hugging Face model."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray

from tinyforge.config.evaluate import GenerateSettings
from tinyforge.errors import ModelError
from tinyforge.inference import fingerprint
from tinyforge.inference.answering import AnsweringModel
from tinyforge.inference.batching import by_length, reading_budget
from tinyforge.inference.choosing import AnswerScorer
from tinyforge.inference.generate import Writer
from tinyforge.inference.likelihood import likelihoods
from tinyforge.inference.modes import answering, on_device, plain_model
from tinyforge.models.folder import TASK_FILE, is_adapter, read_json, weight_files
from tinyforge.models.load import load_for_inference
from tinyforge.models.sizes import max_positions, parameters
from tinyforge.records.encoded import Encoded
from tinyforge.records.examples import Example
from tinyforge.records.predictions import Likelihood
from tinyforge.tasks import guess_task, task_from_state
from tinyforge.tasks.tokens import pad, pad_id

log = logging.getLogger("tinyforge")


class TorchModel(AnsweringModel):
    """A PyTorch module with its tokenizer and its task; a ``Predictor``.

    Make one with ``load`` (a folder or a hub id) or ``from_loaded`` (a model in memory).

    Attributes:
        model: the PyTorch module.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        task: Any,
        *,
        name: str,
        path: Path | None,
        settings: GenerateSettings | None = None,
    ) -> None:
        limit = max_positions(model)
        writer = None if task.name == "classify" else Writer(model, tokenizer, task, limit)
        super().__init__(
            tokenizer, task, name=name, path=path, settings=settings, max_positions=limit,
            writer=writer,
        )  # fmt: skip
        self.model = model
        self._hash = ""

    @classmethod
    def load(
        cls,
        path_or_id: str | Path,
        *,
        trust_remote_code: bool = False,
        revision: str | None = None,
        settings: GenerateSettings | None = None,
    ) -> Self:
        """A run folder, any Hugging Face folder, an adapter's folder, or a hub id.

        Where the folder has TinyForge's ``tinyforge/task.json`` it says how to answer, otherwise
        the architecture does. The model goes to the GPU where there is one.

        Raises:
            ModelError: there is no such model, or it cannot answer.
            FolderError: its saved task is damaged.
        """
        loaded = load_for_inference(
            path_or_id, trust_remote_code=trust_remote_code, revision=revision
        )
        for note in loaded.notes:
            log.info(note)
        folder = Path(loaded.path) if loaded.path else None
        config = loaded.model.config
        state_file = _task_file(folder)
        if state_file is None:
            task = guess_task(config, loaded.tokenizer)
        else:
            task = task_from_state(read_json(state_file), loaded.tokenizer, config)
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        return cls(
            loaded.model.to(device), loaded.tokenizer, task,
            name=str(path_or_id), path=folder, settings=settings,
        )  # fmt: skip

    @classmethod
    def from_loaded(
        cls,
        model: Any,
        tokenizer: Any,
        task: Any,
        *,
        name: str = "this model",
        path: str | Path | None = None,
        settings: GenerateSettings | None = None,
    ) -> Self:
        """A model in memory, for example one in training; its mode is left as it was.

        Args:
            path: the folder that these weights were saved to, if they were; the answers are then
                marked with the same hash as those of the loaded folder.
        """
        folder = None if path is None else Path(path)
        return cls(model, tokenizer, task, name=name, path=folder, settings=settings)

    @property
    def parameters(self) -> int:
        """How many numbers the model has."""
        return parameters(self.model)

    @property
    def size_bytes(self) -> int:
        """Its size in memory."""
        return sum(p.numel() * p.element_size() for p in self.model.parameters())

    @property
    def hash(self) -> str:
        """The first 12 hex digits of the SHA-256 of ``model.safetensors``.

        Sharded weights: of the files in order. Only in memory, or an adapter merged on loading:
        of the state dict. Computed on first use and kept, so that a model that is trained on
        needs a new ``TorchModel``.
        """
        if not self._hash:
            on_disk = self.path is not None and not is_adapter(self.path)
            self._hash = (
                fingerprint.of_files(weight_files(self.path))
                if self.path is not None and on_disk
                else fingerprint.of_model(self.model)
            )
        return self._hash

    @property
    def model_type(self) -> str:
        """The architecture, by Hugging Face's name."""
        return str(self.model.config.model_type)

    @property
    def device(self) -> str:
        """Where it runs: ``cpu`` or ``cuda``."""
        return str(self.model.device.type)

    @property
    def threads(self) -> int:
        """Processor cores that it uses."""
        return torch.get_num_threads()

    def log_likelihoods(
        self,
        examples: Sequence[Example],
        *,
        window: int | None = None,
        stride: int | None = None,
    ) -> list[Likelihood]:
        """How likely the model finds each example's answer; see ``likelihood.likelihoods``."""
        if self._writer is None:
            raise ModelError("a classifier cannot tell how likely a text is", value=self.name)
        return likelihoods(
            self.model, self.task, examples, self.max_positions, window=window, stride=stride
        )

    def scorer(self) -> AnswerScorer:
        """What measures answers that somebody else wrote."""
        return AnswerScorer(self.model, self.task)

    @property
    def width(self) -> int:
        """How many numbers a hidden state has."""
        config = plain_model(self.model).config.get_text_config()
        return int(getattr(config, "d_model", None) or config.hidden_size)

    @property
    def can_embed(self) -> bool:
        """Whether ``embed`` works: with every model."""
        return True

    def _means(self, rows: Sequence[NDArray[np.int32]]) -> NDArray[np.float32]:
        ids, mask = pad(rows, pad_id(self.tokenizer, plain_model(self.model).config))
        body = self._body()
        batch = {"input_ids": torch.from_numpy(ids), "attention_mask": torch.from_numpy(mask)}
        with answering(self.model):
            states = body(**on_device(batch, self.model.device)).last_hidden_state.float()
            seen = torch.from_numpy(mask).to(states.device)[:, :, None]
            found = (states * seen).sum(dim=1) / seen.sum(dim=1)
        return np.asarray(found.cpu().numpy(), dtype=np.float32)

    def _body(self) -> Any:
        """The model without its head, and without its decoder where it has an encoder."""
        plain = plain_model(self.model)
        if getattr(plain.config, "is_encoder_decoder", False):
            return plain.get_encoder()
        return plain.base_model

    def _logits(self, items: Sequence[Encoded], rows: int) -> NDArray[np.float32]:
        found = np.empty((len(items), len(self.labels)), dtype=np.float32)
        device = self.model.device
        lengths = [len(item.input_ids) for item in items]
        with answering(self.model):
            for batch in by_length(lengths, rows=rows, tokens=reading_budget(device.type)):
                tensors = on_device(self.task.collate([items[i] for i in batch]), device)
                found[batch] = self.task.logits(self.model, tensors).float().cpu().numpy()
        return found


def _task_file(folder: Path | None) -> Path | None:
    """Where the task was saved; an adapter's lies in the run folder around it."""
    if folder is None:
        return None
    places = [folder, folder.parent] if is_adapter(folder) else [folder]
    return next((p / TASK_FILE for p in places if (p / TASK_FILE).is_file()), None)
