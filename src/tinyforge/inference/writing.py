"""What writing an answer is, whatever computes the logits: where it begins, ends, and its text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinyforge.config.evaluate import GenerateSettings
from tinyforge.inference.detokenize import INCOMPLETE, AnswerText
from tinyforge.inference.json_answers import Guide, JsonGuides
from tinyforge.inference.limits import MAX_NEW_TOKENS, UNBOUNDED_LENGTH
from tinyforge.inference.sampling import Chances
from tinyforge.inference.stop_strings import StopStrings
from tinyforge.inference.token_texts import TokenTexts
from tinyforge.inference.transcript import Transcript
from tinyforge.records.encoded import IGNORED, Encoded
from tinyforge.records.predictions import TokenScore


@dataclass(frozen=True, slots=True)
class Answer:
    """What was written.

    Attributes:
        finish_reason: ``stop`` (end token, stop string, or the end of its JSON) or ``length``.
        count: tokens that it took, the end token included where the model wrote one.
        tokens: the same without the end token.
        token_scores: where they were asked for; see ``Prediction``.
        confidence: the geometric mean of the probabilities of the ``count`` tokens under the model
            itself (no temperature, top-k or top-p); None where the model's numbers are not finite.
    """

    text: str
    finish_reason: str
    count: int
    tokens: int
    token_scores: tuple[TokenScore, ...] = ()
    confidence: float | None = None


class Writing:
    """How one model and task read prompts and end answers.

    Args:
        max_positions: tokens that the model's positions reach to; None where nothing bounds them.
        ends: tokens at which answers end beside the task's own.

    Attributes:
        ends: all of them, the task's first.
    """

    def __init__(
        self, tokenizer: Any, task: Any, max_positions: int | None, ends: Iterable[Any] = ()
    ) -> None:
        self.tokenizer, self.task = tokenizer, task
        self.max_positions = max_positions
        self.decoder = task.family == "decoder"
        more = [int(i) for i in ends if i is not None]
        self.ends: tuple[int, ...] = tuple(dict.fromkeys([*task.end_ids, *more]))
        self._texts = TokenTexts(tokenizer)
        self._guides = JsonGuides(self._texts, self.ends)

    def fit(self, prompts: Sequence[Encoded], settings: GenerateSettings) -> list[Encoded]:
        """Prompts cut to what the model can read, with room left for the answer.

        A decoder's answer follows its prompt: as many positions as it may have tokens are kept
        free, half of the context at most, and the prompt's beginning goes first.
        """
        limit = self.max_positions or max(UNBOUNDED_LENGTH, self.task.max_length or 0)
        if self.decoder:
            limit -= min(self._longest(settings), limit // 2)
        cut = [self.task.cut(prompt, limit, limit) for prompt in prompts]
        return [prompt if len(prompt.input_ids) else self._start(prompt) for prompt in cut]

    def room(self, prompt: Encoded, settings: GenerateSettings) -> int:
        """Tokens that the answer to a fitted prompt may have."""
        longest = self._longest(settings)
        if self.max_positions is None:
            return longest
        taken = len(prompt.input_ids) if self.decoder else 1
        return max(1, min(longest, self.max_positions - taken))

    def text(self, prompt: Encoded, settings: GenerateSettings) -> AnswerText:
        """The text of an answer to the prompt, to be filled."""
        continues = self.task.name == "language-model"
        before = prompt.input_ids.tolist() if continues else None
        return AnswerText(self.tokenizer, before, settings.stop)

    def guide(self, settings: GenerateSettings) -> Guide | None:
        """What keeps one answer to a JSON schema; None where there is none.

        Raises:
            SettingError: the schema cannot be followed, or not with this model's tokens.
        """
        schema = settings.json_schema
        return None if schema is None else self._guides.begin(schema)

    def transcript(self, prompt: Encoded, settings: GenerateSettings) -> Transcript:
        """What takes down the answer to a fitted prompt."""
        return Transcript(
            self.ends, self.text(prompt, settings), StopStrings(self.tokenizer, settings.stop),
            self._texts, len(prompt.input_ids),
        )  # fmt: skip

    def read(
        self,
        prompt: Encoded,
        ids: Sequence[int],
        settings: GenerateSettings,
        *,
        chances: Sequence[Chances] = (),
        guide: Guide | None = None,
    ) -> Answer:
        """An answer from its tokens, without its confidence.

        Args:
            ids: new tokens; what follows an end token or a stop string does not count.
            chances: of each of them, where they are to be told.
            guide: what followed the answer, where it had to be JSON.
        """
        if not (settings.stop or chances or guide):
            end = next((at for at, token in enumerate(ids) if token in self.ends), None)
            body = ids if end is None else ids[:end]
            text = self.text(prompt, settings)
            said = text.push(body) + text.finish()
            if INCOMPLETE not in said:
                ended = end is not None
                reason = "stop" if ended else "length"
                return Answer(said, reason, len(body) + ended, len(body))
        # Token by token, as streamed: the first stop string to be complete ends the answer, and
        # bytes that are no character must not change what was said before them.
        transcript = self.transcript(prompt, settings)
        pieces = []
        for place, token in enumerate(ids):
            pieces.append(transcript.push(token, chances[place] if chances else None))
            if transcript.over:
                break
        last = transcript.finish(guide)
        told = [piece for piece in [*pieces, last] if piece is not None]
        return Answer(
            "".join(piece.text for piece in told), last.finish_reason or "", transcript.count,
            last.tokens, tuple(score for piece in told for score in piece.token_scores),
        )  # fmt: skip

    def _longest(self, settings: GenerateSettings) -> int:
        return settings.max_new_tokens or self.task.max_new_tokens or MAX_NEW_TOKENS

    def _start(self, prompt: Encoded) -> Encoded:
        """A decoder has to read something before it writes: its start token, else its end token."""
        first = self.tokenizer.bos_token_id
        ids = np.array([self.ends[0] if first is None else first], dtype=np.int32)
        return Encoded(ids, np.full(1, IGNORED, dtype=np.int32), prompt.cut_input)
