"""Answers that are JSON: at each step, the tokens with which a schema can still be met.

The work is done by llguidance (Microsoft; github.com/guidance-ai/llguidance), which follows a
schema and a tokenizer's trie of bytes together, without PyTorch. A mask leaves what the model
thinks of the tokens that are left as it is, and nothing is written for the model: each token is
its own choice among those that the schema admits.
"""

from __future__ import annotations

import json
import logging
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinyforge.errors import MissingPackageError, SettingError
from tinyforge.inference.token_texts import TokenTexts

log = logging.getLogger("tinyforge")

Floats = NDArray[np.float32]

WHERE = "generate.json_schema"
SPACE = " ?"
"""White space between two parts: a model that may write any amount of it may write nothing else,
and one line is what programs log, stream and store best. (As Outlines has it.)"""
KEPT = 16
"""Schemas that are kept ready."""
ANY_OBJECT = {"type": "object"}
DEAD_END = "NoExtension"
"""How llguidance's error begins where no token can follow."""


@dataclass(frozen=True, slots=True)
class _Vocabulary:
    """What a guide has to know of the tokens.

    Attributes:
        trie: an ``llguidance.LLTokenizer``.
        entries: how many tokens there are.
        ends: those that end an answer.
        silent: those that say nothing, such as a start token that a model's settings force.
    """

    trie: Any
    entries: int
    ends: frozenset[int]
    silent: frozenset[int]


class Guide:
    """Follows one answer.

    Args:
        matcher: an ``llguidance.LLMatcher`` of its own.

    Attributes:
        over: nothing can follow: the JSON is closed, or the answer has ended otherwise.
        taken: tokens that it was told of until then, an end token included.
    """

    def __init__(self, matcher: Any, vocabulary: _Vocabulary) -> None:
        self._matcher, self._vocabulary = matcher, vocabulary
        self._mask = np.zeros((1, -(-vocabulary.entries // 32)), dtype=np.int32)
        self._whole = False
        self.over = False
        self.taken = 0

    @property
    def reason(self) -> str:
        """Why the answer ended: ``stop`` where its JSON is whole, else ``length``."""
        return "stop" if self._whole else "length"

    def admitted(self, logits: Floats) -> Floats:
        """The logits with what the schema does not admit next at minus infinity.

        Where nothing is left, since the model's own settings force a token, they are as they were.

        Args:
            logits: shape (vocabulary,); left as they are.

        Raises:
            SettingError: no token of the model can go on, or the schema is too much to follow.
        """
        if self.over:
            return logits
        found = np.where(self._allowed(len(logits)), logits, np.float32(-np.inf))
        return found if found.max() > -np.inf else logits

    def push(self, token: int) -> None:
        """The token was written."""
        if self.over:
            return
        self.taken += 1
        matcher = self._matcher
        if token in self._vocabulary.ends:
            self.over, self._whole = True, bool(matcher.is_accepting())
        elif token not in self._vocabulary.silent:
            taken = matcher.consume_token(token)  # not one that was forced on the model
            self.over = not taken or bool(matcher.is_stopped())
            self._whole = taken and self.over and bool(matcher.is_accepting())

    def check(self) -> None:
        """Raise SettingError where no token of the model can go on."""
        self._allowed(self._vocabulary.entries)

    def _allowed(self, count: int) -> NDArray[np.bool_]:
        from llguidance.numpy import fill_next_token_bitmask

        matcher = self._matcher
        fill_next_token_bitmask(matcher, self._mask)
        error = str(matcher.get_error())
        if error.startswith(DEAD_END):
            raise SettingError(
                "no token of this model can go on with the JSON that the schema asks for",
                where=WHERE,
                fix="Use a model whose tokenizer knows every character, as byte-level BPE does",
            )
        if error:
            raise SettingError(
                "this schema is too much to follow", where=WHERE, value=_plain(error),
                fix="Give a simpler one",
            )  # fmt: skip
        bits = np.unpackbits(self._mask.view(np.uint8)[0], bitorder="little")
        allowed = np.zeros(count, dtype=np.bool_)
        known = min(count, self._vocabulary.entries)
        allowed[:known] = bits[:known]
        return allowed


class JsonGuides:
    """Makes guides for one tokenizer; for many threads.

    Args:
        ends: the tokens that end an answer.
    """

    def __init__(self, texts: TokenTexts, ends: Sequence[int]) -> None:
        self._texts, self._ends = texts, frozenset(ends)
        self._lock = threading.Lock()
        self._vocabulary: _Vocabulary | None = None
        self._ready: OrderedDict[str, Any] = OrderedDict()

    def begin(self, schema: Mapping[str, Any]) -> Guide:
        """A guide for an answer; ``{}`` stands for any object.

        Raises:
            SettingError: the schema cannot be followed, or not with this model's tokens.
            MissingPackageError: llguidance is not installed.
        """
        text = _json(schema or ANY_OBJECT)
        with self._lock:
            if self._vocabulary is None:
                self._vocabulary = self._read_tokens()
            matcher = self._ready.pop(text, None)
            if matcher is None:
                matcher = _compiled(text, self._vocabulary)
            self._ready[text] = matcher
            if len(self._ready) > KEPT:
                self._ready.popitem(last=False)
            return Guide(matcher.deep_copy(), self._vocabulary)

    def _read_tokens(self) -> _Vocabulary:
        llguidance = _package()
        tokens = self._texts.vocabulary()
        tokens += [b""] * (max(self._ends) + 1 - len(tokens))
        silent = frozenset(token for token, content in enumerate(tokens) if not content)
        special = [token for token in sorted(silent) if self._texts.name_of(token)]
        for token in special:
            tokens[token] = self._texts.name_of(token).encode("utf-8", "replace")
        words = llguidance.TokenizerWrapper(_Words(tokens, special, min(self._ends)))
        trie = llguidance.LLTokenizer(words, eos_token=sorted(self._ends))
        return _Vocabulary(trie, len(tokens), self._ends, silent)


class _Words:
    """A vocabulary as llguidance takes it. It never asks for the tokens of a text, since no text
    is forced on the model."""

    def __init__(self, tokens: list[bytes], special: list[int], end: int) -> None:
        self.tokens, self.special_token_ids = tokens, special
        self.eos_token_id, self.bos_token_id = end, None

    def __call__(self, text: bytes) -> list[int]:
        return []


def _compiled(schema: str, vocabulary: _Vocabulary) -> Any:
    """A matcher that stands before an answer's first token."""
    llguidance = _package()
    # A space may come first: many models begin their answers with one, and it is not shown.
    grammar = '%llguidance {"no_forcing": true}\nstart: " "? json\njson: %json ' + schema
    matcher = llguidance.LLMatcher(
        vocabulary.trie, grammar, log_level=0,
        limits=llguidance.LLParserLimits(verbose_errors=False),
    )  # fmt: skip
    if matcher.is_error():
        raise SettingError(
            "this schema cannot be followed", where=WHERE, value=_plain(matcher.get_error()),
            fix="Leave out what llguidance does not know, or give a simpler one",
        )  # fmt: skip
    for warning in matcher.get_grammar_warnings():
        log.info("%s: %s", WHERE, _plain(warning))
    Guide(matcher.deep_copy(), vocabulary).check()
    return matcher


def _package() -> Any:
    try:
        import llguidance
    except ImportError as error:
        raise MissingPackageError(
            "llguidance", needed_for="An answer in JSON", extra="serve"
        ) from error
    return llguidance


def _json(schema: Mapping[str, Any]) -> str:
    """The schema as text on one line, with the white space that an answer may have."""
    try:
        return json.dumps({**schema, "x-guidance": {"whitespace_pattern": SPACE}})
    except (TypeError, ValueError, RecursionError) as error:
        raise SettingError(
            "the schema is not JSON", where=WHERE, value=str(error),
            fix='Write for example {"type": "object"}',
        ) from error  # fmt: skip


def _plain(message: str) -> str:
    """What llguidance says, without where in the grammar around the schema."""
    said = message.partition("\n   1 |")[0].rpartition("JSON schema:")[2]
    return " ".join(said.replace("<non-verbose/>", "").split())[:200]
