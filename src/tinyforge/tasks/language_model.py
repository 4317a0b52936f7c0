"""Raw text: every token is learnt from those before it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

from tinyforge.config.settings import Settings
from tinyforge.records.encoded import IGNORED, Encoded
from tinyforge.records.examples import Example
from tinyforge.tasks import tokens
from tinyforge.tasks.decoder import DecoderTask


class LanguageModel(DecoderTask):
    """A document, then the end token; all of it is learnt but the very first token.

    The tokenizer's start token stands before it where the tokenizer has that habit. A text in
    ``example.input`` is given and not learnt: the model continues it exactly as it stands.
    """

    name = "language-model"

    @classmethod
    def build(
        cls,
        *,
        tokenizer: Any,
        config: Any,
        labels: Sequence[str],
        multi_label: bool,
        settings: Settings,
    ) -> Self:
        """The task of a new run."""
        return cls(tokenizer, config, prefix=settings.data.prefix or "")

    def prompt(self, example: Example) -> str:
        """The text to continue."""
        return self.prefix + example.input

    def encode(self, examples: Sequence[Example]) -> list[Encoded]:
        """The whole document; see ``pieces`` for what is longer than the model reads."""
        given = tokens.token_ids(self.tokenizer, [self.prompt(e) for e in examples], special=False)
        texts = tokens.token_ids(
            self.tokenizer, [e.output for e in examples if e.output is not None], special=False
        )
        documents = iter(texts)
        encoded = []
        for prompt, example in zip(given, examples, strict=True):
            parts = [(self._start + prompt, False)]
            if example.output is not None:
                parts.append(([*next(documents), self.end_ids[0]], True))
            encoded.append(self._encoded(parts))
        return encoded

    def pieces(self, encoded: Encoded, max_length: int) -> list[Encoded]:
        """A document in pieces of at most ``max_length`` tokens that lose nothing.

        Each piece begins with the last token of the one before, as context without loss, so that
        every token but the document's first is learnt exactly once.
        """
        ids, labels = encoded.input_ids, encoded.labels
        if len(ids) <= max_length:
            return [encoded]
        found = []
        for start in range(0, len(ids) - 1, max_length - 1):
            piece = labels[start : start + max_length].copy()
            piece[0] = IGNORED
            found.append(Encoded(ids[start : start + max_length], piece))
        return found

    def cut(self, encoded: Encoded, max_length: int, max_output_length: int) -> Encoded:
        """The first piece of a document; a prompt is cut from its left, as in the other tasks.

        The end token is not moved up to where a document is cut: the text goes on there. Training
        uses ``pieces`` and loses nothing.
        """
        if len(encoded.input_ids) <= max_length:
            return encoded
        labels = encoded.labels
        if (labels[len(self._start) + 1 : len(self._start) + 2] == IGNORED).any():
            return super().cut(encoded, max_length, max_output_length)
        gone = len(labels) - max_length
        return Encoded(
            encoded.input_ids[:max_length],
            labels[:max_length],
            encoded.cut_input,
            encoded.cut_output + gone,
        )
