"""Chats: the assistant's answers are learnt, what others say is read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple, Self

from tinyforge.config.settings import Settings
from tinyforge.errors import DataError
from tinyforge.records.encoded import Encoded
from tinyforge.records.examples import Example, Message
from tinyforge.tasks import tokens
from tinyforge.tasks.decoder import DecoderTask, unanswered
from tinyforge.text.templates import ensure_template, render


class Part(NamedTuple):
    """A stretch of the chat's text.

    Attributes:
        text: as the template rendered it.
        learnt: whether the assistant wrote it.
        end: whether the end token has to be appended, because the template writes none.
    """

    text: str
    learnt: bool
    end: bool = False


class Instruct(DecoderTask):
    """A chat through the model's own template, or the stated default where it has none.

    The text before an answer is what the template renders when the assistant is to speak; it is
    encoded by itself, so that the ids are the same in training and when answering. An answer ends
    with the template's own end of turn where that is one at which generation stops, else with the
    tokenizer's end token. All answers of a chat are learnt, unless the template writes earlier
    turns differently once the chat goes on (some drop its thoughts): then the last one only.

    Attributes:
        system: the system message of chats that have none; empty: none.
    """

    name = "instruct"
    FIELDS = (*DecoderTask.FIELDS, "system")

    def __init__(self, tokenizer: Any, config: Any, *, system: str = "", **shared: Any) -> None:
        super().__init__(tokenizer, config, **shared)
        ensure_template(tokenizer)
        self.system = system
        self._ends = tuple(tokenizer.convert_ids_to_tokens(list(self.end_ids)))

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
        data = settings.data
        return cls(tokenizer, config, prefix=data.prefix or "", system=data.system or "")

    def messages(self, example: Example) -> tuple[Message, ...]:
        """The chat, with system message and prefix; made of input and output if there is none."""
        chat = example.messages
        if not chat:
            chat = (Message("user", example.input),)
            if example.output is not None:
                chat += (Message("assistant", example.output),)
        if self.system and chat[0].role != "system":
            chat = (Message("system", self.system), *chat)
        if self.prefix:
            chat = tuple(
                replace(m, content=self.prefix + m.content) if m.role == "user" else m for m in chat
            )
        return chat

    def prompt(self, example: Example) -> str:
        """The chat up to where the assistant answers, as the template renders it."""
        parts = self._parts(self.messages(unanswered(example)))
        return "".join(p.text + (self._ends[0] if p.end else "") for p in parts)

    def encode(self, examples: Sequence[Example]) -> list[Encoded]:
        """The whole chat; one without an answer is its prompt.

        Raises:
            DataError: the template refuses the chat's roles or their order.
        """
        chats = []
        for example in examples:
            try:
                chats.append(self._parts(self.messages(example)))
            except DataError as error:
                raise DataError(
                    error.what, where=str(example.source), value=error.value, fix=error.fix
                ) from error
        texts = [part.text for parts in chats for part in parts]
        ids = iter(tokens.token_ids(self.tokenizer, texts, special=False))
        return [
            self._encoded([(next(ids) + [self.end_ids[0]] * p.end, p.learnt) for p in parts])
            for parts in chats
        ]

    def _parts(self, chat: tuple[Message, ...]) -> list[Part]:
        """The chat's text, in turn what is read and what is learnt.

        Training and answering take the prompt from the same place, so it has the same ids.
        """
        if chat[-1].role != "assistant":
            return self._prompt(chat)
        prompt = self._prompt(chat[:-1])
        before = render(self.tokenizer, chat[:-1], True) if prompt else ""
        found = self._turn(chat, before, before)
        return prompt + (found or [Part(chat[-1].content, learnt=True, end=True)])

    def _prompt(self, chat: tuple[Message, ...]) -> list[Part]:
        """A chat that the assistant is to go on with; its earlier answers apart if possible."""
        if not chat:
            return []
        whole = render(self.tokenizer, chat, True)
        parts: list[Part] = []
        for turn, message in enumerate(chat):
            if message.role == "assistant":
                done = "".join(part.text for part in parts)
                before = render(self.tokenizer, chat[:turn], True) if turn else ""
                found = self._turn(chat[: turn + 1], before, done)
                if found is None:
                    return [Part(whole, learnt=False)]
                parts += found
        done = "".join(part.text for part in parts)
        if not whole.startswith(done):
            return [Part(whole, learnt=False)]
        return [*parts, Part(whole[len(done) :], learnt=False)]

    def _turn(self, chat: tuple[Message, ...], before: str, done: str) -> list[Part] | None:
        """The last answer of a chat, and what is read between ``done`` and it.

        None where the template does not render a chat's beginning as the beginning of the chat,
        or writes something else than the answer.
        """
        after = render(self.tokenizer, chat, False)
        if not (before.startswith(done) and after.startswith(before)):
            return None
        content = chat[-1].content.strip()
        start = after.find(content, len(before))
        if start < 0:
            return None
        first = len(before) if before else start  # a header that no prompt ends with is read
        stop = start + len(content)
        read = [Part(after[len(done) : first], learnt=False)] if first > len(done) else []
        rest = after[stop:]
        for end in self._ends:
            if rest.lstrip().startswith(end):
                stop += rest.index(end) + len(end)
                return [*read, Part(after[first:stop], learnt=True)]
        return [*read, Part(after[first:stop], learnt=True, end=True)]
