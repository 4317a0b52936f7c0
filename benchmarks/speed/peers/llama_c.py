"""llama.cpp's own functions, called without the layers above them: batches of many sequences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import llama_cpp
import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Token:
    """One token to read.

    Attributes:
        id: the token.
        place: how many tokens of its sequence stand before it.
        sequence: a number below ``streams``.
        wanted: whether the logits behind it are wanted.
    """

    id: int
    place: int
    sequence: int
    wanted: bool


class Llama:
    """A model and its context.

    Args:
        path: a GGUF file.
        context: tokens of all sequences together.
        streams: sequences at most.
        batch: tokens of a step at most.
    """

    def __init__(
        self, path: str, *, threads: int, context: int, streams: int = 1, batch: int = 512
    ) -> None:
        llama_cpp.llama_backend_init()
        llama_cpp.llama_log_set(_quiet, None)
        self._model = llama_cpp.llama_model_load_from_file(
            path.encode(), llama_cpp.llama_model_default_params()
        )
        if not self._model:
            raise SystemExit(f"llama.cpp cannot read {path}")
        options = llama_cpp.llama_context_default_params()
        options.n_ctx, options.n_batch, options.n_ubatch = context, batch, batch
        options.n_threads = options.n_threads_batch = threads
        options.n_seq_max = streams
        options.no_perf = True
        self._context = llama_cpp.llama_init_from_model(self._model, options)
        if not self._context:
            raise SystemExit("llama.cpp makes no context of this size")
        self._memory = llama_cpp.llama_get_memory(self._context)
        self._batch = llama_cpp.llama_batch_init(batch, 0, 1)
        self.vocabulary = llama_cpp.llama_vocab_n_tokens(
            llama_cpp.llama_model_get_vocab(self._model)
        )

    def logits(self, tokens: Sequence[Token]) -> list[NDArray[np.float32]]:
        """One step; the logits of the wanted tokens in order, valid until the next step."""
        batch = self._batch
        batch.n_tokens = len(tokens)
        for row, token in enumerate(tokens):
            batch.token[row], batch.pos[row] = token.id, token.place
            batch.n_seq_id[row], batch.seq_id[row][0] = 1, token.sequence
            batch.logits[row] = token.wanted
        if code := llama_cpp.llama_decode(self._context, batch):
            raise SystemExit(f"llama_decode ended with {code}")
        return [
            np.ctypeslib.as_array(
                llama_cpp.llama_get_logits_ith(self._context, row), (self.vocabulary,)
            )
            for row, token in enumerate(tokens)
            if token.wanted
        ]

    def likeliest(self, tokens: Sequence[Token]) -> list[int]:
        """One step; the likeliest token behind each wanted one."""
        return [int(each.argmax()) for each in self.logits(tokens)]

    def forget(self, sequence: int) -> None:
        """Free what a sequence holds."""
        llama_cpp.llama_memory_seq_rm(self._memory, sequence, -1, -1)

    def probe(self, rows: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        """Logits at every place of some rows: (rows x places, vocabulary)."""
        found = []
        for ids in rows:
            tokens = [Token(token, place, 0, True) for place, token in enumerate(ids)]
            found += [each.copy() for each in self.logits(tokens)]
            self.forget(0)
        return np.stack(found)


@llama_cpp.llama_log_callback  # type: ignore[untyped-decorator]
def _quiet(level: Any, text: Any, data: Any) -> None:
    """Nothing is logged."""
