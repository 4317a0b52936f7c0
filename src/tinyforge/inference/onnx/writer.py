"""Writing answers with an exported model: what ``inference.generate.Writer`` is for PyTorch."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tinyforge.artifacts.export_folder import ExportRecord
from tinyforge.artifacts.files import read_json
from tinyforge.config.evaluate import GenerateSettings
from tinyforge.errors import ModelError
from tinyforge.inference.candidates import Candidates
from tinyforge.inference.likelihood import measured
from tinyforge.inference.onnx.beams_branches import GrowingBranches, SlotBranches
from tinyforge.inference.onnx.cache import bytes_per_token
from tinyforge.inference.onnx.choose import GrowingScorer, OnnxScorer, SlotScorer
from tinyforge.inference.onnx.decoder import LEAST, SlotDecoder
from tinyforge.inference.onnx.decoder_growing import GrowingDecoder
from tinyforge.inference.onnx.decoder_reading import SequenceReader
from tinyforge.inference.onnx.encoder_decoder import Encoder
from tinyforge.inference.onnx.engine import Engine
from tinyforge.inference.onnx.engine_growing import EncodedLanes, GrowingLanes
from tinyforge.inference.onnx.engine_rows import Lanes, Row
from tinyforge.inference.onnx.engine_slots import SlotLanes
from tinyforge.inference.onnx.engine_tickets import Ticket, Written
from tinyforge.inference.onnx.following import Follower, Tell
from tinyforge.inference.onnx.sessions import Session
from tinyforge.inference.onnx.writer_rules import Rules
from tinyforge.inference.sampling import mean_probability
from tinyforge.inference.writing import Answer, Writing
from tinyforge.records.encoded import Encoded
from tinyforge.records.examples import Example
from tinyforge.records.predictions import Likelihood, Piece
from tinyforge.tasks.tokens import pad_id

GENERATION = "generation_config.json"
LEAST_MEMORY, MOST_MEMORY = 2**28, 2**31
"""Bytes for keys and values where nobody says: a quarter of the machine's memory, within these."""


class OnnxWriter(Writing):
    """Writes with one exported decoder, or encoder and decoder.

    Args:
        sessions: role to open graph.
        memory_bytes: what the keys and values of all answers being written may take; default: see
            ``LEAST_MEMORY``.

    Attributes:
        engine: writes; what ``answers`` and ``stream`` ask of it, anyone may ask of it beside them.
    """

    def __init__(
        self,
        sessions: Mapping[str, Session],
        record: ExportRecord,
        tokenizer: Any,
        task: Any,
        *,
        memory_bytes: int | None,
    ) -> None:
        layout = record.cache
        if layout is None:
            raise ModelError("the export has no cache, so it cannot write", value=record.source)
        ends = record.config.get("eos_token_id")
        limit = record.config.get("max_positions")
        super().__init__(
            tokenizer, task, limit, ends if isinstance(ends, list | tuple) else [ends]
        )  # fmt: skip
        self._record, self._layout = record, layout
        self._decoder_session = sessions["decoder"]
        self._encoder_session = sessions.get("encoder")
        self._pad = pad_id(tokenizer, _Config(record.config))
        self._per_token = bytes_per_token(layout)
        settings = _generation(self._decoder_session.path.parent)
        start = settings.get("decoder_start_token_id")
        start = record.config.get("decoder_start_token_id") if start is None else start
        self._start_token = int(start or 0)
        self._reader = SequenceReader(
            self._decoder_session, self._encoder_session, record, layout,
            padding=self._pad, start=self._start_token,
        )  # fmt: skip
        rules = Rules.read(settings, self.ends, encoder=self._encoder_session is not None)
        budget = memory_bytes or _share_of_memory()
        self.engine = Engine(
            self._lanes(budget), self._branches(), self._beam_bytes, self, rules,
            memory_bytes=budget,
        )  # fmt: skip

    def answers(self, prompts: Sequence[Encoded], settings: GenerateSettings) -> list[Answer]:
        """One answer for each fitted prompt, in order."""
        # The longest first, so that memory that does not suffice is noticed at once.
        order = sorted(range(len(prompts)), key=lambda i: (-len(prompts[i].input_ids), i))
        tickets = self.engine.submit_all([prompts[place] for place in order], settings)
        try:
            found = {
                place: self._answer(prompts[place], ticket, settings)
                for place, ticket in zip(order, tickets, strict=True)
            }
        finally:
            for ticket in tickets:
                ticket.cancel()
        return [found[place] for place in range(len(prompts))]

    def stream(self, prompt: Encoded, settings: GenerateSettings) -> Generator[Piece, None, None]:
        """Pieces of one answer while it is written.

        Closing the iterator ends the writing before the next token.
        """
        transcript = self.transcript(prompt, settings)
        ticket = self.engine.submit(prompt, settings)
        told = settings.logprobs is not None
        try:
            for place, token in enumerate(ticket):
                piece = transcript.push(token, ticket.chances[place] if told else None)
                if piece is not None:
                    yield piece
            written = ticket.result()
            _check_closed(written)
            yield transcript.finish(ticket.guide, written.logs)
        finally:
            ticket.cancel()

    def begin(self, prompt: Encoded, settings: GenerateSettings, tell: Tell) -> Callable[[], None]:
        """Have an answer to a fitted prompt written, and be told of it in the engine's thread.

        Args:
            tell: see ``Follower``; it has to return at once.

        Returns:
            what ends the writing before the next token; ``tell`` is not called any more, unless it
            is being called just now.

        Raises:
            SettingError: the answer does not fit into the memory that may be used, or its JSON
                schema cannot be followed.
            ModelError: the model is closed.
        """
        follower = Follower(self.transcript(prompt, settings), tell)
        ticket = self.engine.submit(prompt, settings, watch=follower)

        def cancel() -> None:
            follower.muted = True
            ticket.cancel()

        return cancel

    def log_likelihoods(
        self,
        examples: Sequence[Example],
        *,
        window: int | None = None,
        stride: int | None = None,
    ) -> list[Likelihood]:
        """How likely the model finds each example's answer; see ``likelihood.measured``.

        Raises:
            DataError: an example has no answer.
        """
        return measured(
            self._reader.losses,
            self.task,
            examples,
            self.max_positions,
            window=window,
            stride=stride,
        )

    def scorer(self) -> OnnxScorer:
        """What measures several answers to each of many texts; for one thread."""
        limit = self.max_positions
        if self._layout.kind == "in-place":
            return OnnxScorer(SlotScorer(self._slot_decoder(), limit))
        start = None if self._encoder_session is None else self._start_token
        return OnnxScorer(
            GrowingScorer(self._decoder_session, self._layout, self._reader.encoded, start)
        )

    def choose(self, rows: Sequence[Candidates]) -> list[int]:
        """For each text, which of its answers is the likeliest; of equal ones the first."""
        return [int(scores.argmax()) for scores in self.scorer().log_likelihoods(rows)]

    def close(self) -> None:
        """End what is being written; nothing more is taken in."""
        self.engine.close()

    def _answer(self, prompt: Encoded, ticket: Ticket, settings: GenerateSettings) -> Answer:
        written = ticket.result()
        _check_closed(written)
        answer = self.read(
            prompt, written.ids, settings, chances=ticket.chances, guide=ticket.guide
        )
        total = sum(written.logs[: answer.count])
        return replace(answer, confidence=mean_probability(total, answer.count))

    def _lanes(self, budget: int) -> Lanes:
        per_token = self._per_token
        if self._layout.kind == "in-place":
            return SlotLanes(
                self._slot_decoder(), per_token=per_token, limit=self.max_positions, budget=budget
            )
        decoder = self._growing_decoder()
        if self._encoder_session is None:
            return GrowingLanes(decoder, per_token=per_token, budget=budget)
        return EncodedLanes(
            self._encoder(decoder), decoder, start=self._start_token, per_token=per_token,
            budget=budget,
        )  # fmt: skip

    def _branches(self) -> SlotBranches | GrowingBranches:
        if self._layout.kind == "in-place":
            return SlotBranches(self._slot_decoder(), self.max_positions)
        decoder = self._growing_decoder()
        encoder = None if self._encoder_session is None else self._encoder(decoder)
        return GrowingBranches(decoder, encoder, self._start_token)

    def _beam_bytes(self, row: Row, width: int) -> int:
        """What an answer with so many beams takes."""
        if self._layout.kind == "in-place":
            return width * max(LEAST, row.need) * self._per_token
        if self._encoder_session is None:
            return 2 * width * row.need * self._per_token
        return width * (len(row.ids) + 2 * (row.room + 1)) * self._per_token

    def _slot_decoder(self) -> SlotDecoder:
        return SlotDecoder(self._decoder_session, self._record, self._layout)

    def _growing_decoder(self) -> GrowingDecoder:
        return GrowingDecoder(self._decoder_session, self._record, self._layout)

    def _encoder(self, decoder: GrowingDecoder) -> Encoder:
        if self._encoder_session is None:
            raise ModelError("the export has no encoder", value=self._record.source)
        return Encoder(self._encoder_session, decoder.cross_names, self._pad)


def _check_closed(written: Written) -> None:
    if written.finish_reason == "cancelled":
        raise ModelError("this model was closed", fix="Load it again")


class _Config:
    """The record's config, as far as padding is concerned."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        self.pad_token_id = config.get("pad_token_id")


def _generation(folder: Path) -> Mapping[str, Any]:
    """The model's own generation settings, none where the folder has no such file."""
    path = folder / GENERATION
    found = read_json(path) if path.is_file() else {}
    return found if isinstance(found, dict) else {}


def _share_of_memory() -> int:
    """A quarter of the machine's memory, within bounds."""
    try:
        whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # not on every system
        return LEAST_MEMORY
    return min(MOST_MEMORY, max(LEAST_MEMORY, whole // 4))
