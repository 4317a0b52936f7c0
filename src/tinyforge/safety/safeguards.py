"""What stands between a served model and the world: rules before it and behind it.

A rule that fails refuses, since nobody knows what it would have found; the log tells which failed
and where, and nothing of the text.
"""

from __future__ import annotations

import logging
import threading
import traceback
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from tinyforge.config.safeguards import SafeguardSettings
from tinyforge.errors import SettingError
from tinyforge.safety.abstaining import least_confidence
from tinyforge.safety.block_list import BlockList
from tinyforge.safety.jailbreaks import Jailbreaks
from tinyforge.safety.masks import PersonalData
from tinyforge.safety.rulings import Finding, Rule, Ruling, Stopped
from tinyforge.safety.streaming import Gate, MaskGate, SentenceGate, WordGate
from tinyforge.safety.toxicity import Toxicity

__all__ = ["Ruling", "Safeguards", "Stopped", "StreamGuard"]

log = logging.getLogger("tinyforge")


class Safeguards:
    """Rules for what is asked and for what is answered.

    Args:
        asked: rules that look at inputs, in order; the first that refuses decides.
        answered: rules that look at outputs.
        below: confidence under which an answer is withheld; None: every answer is given.
    """

    def __init__(
        self,
        settings: SafeguardSettings,
        asked: Sequence[Rule],
        answered: Sequence[Rule],
        below: float | None = None,
    ) -> None:
        self._settings = settings
        self._asked, self._answered, self._below = tuple(asked), tuple(answered), below
        self._counts: Counter[tuple[str, str]] = Counter()
        self._lock = threading.Lock()

    @classmethod
    def from_settings(
        cls,
        settings: SafeguardSettings,
        *,
        load: Callable[[str], Any],
        place: str | Path | None = None,
    ) -> Self:
        """The rules that the settings ask for.

        Args:
            load: opens the toxicity classifier.
            place: the served model's folder, where the confidence below which it should not answer
                may have been chosen.

        Raises:
            SettingError: a setting is wrong, or lacks what it needs.
            TinyForgeError: the toxicity classifier cannot be opened.
        """
        rules: list[tuple[Rule, str]] = []
        if settings.block_list is not None:
            rules.append((BlockList(settings.block_list), settings.block_list_on))
        if settings.jailbreak:
            rules.append((Jailbreaks(settings.jailbreak_allowed), "input"))
        if settings.toxicity_model is not None:
            found = Toxicity.open(
                settings.toxicity_model, load, labels=settings.toxicity_labels,
                threshold=settings.toxicity_threshold,
            )  # fmt: skip
            rules.append((found, settings.toxicity_on))
        if settings.personal_data != "off":
            rules.append((_masks(settings), settings.personal_data))
        return cls(
            settings,
            [rule for rule, side in rules if side in ("input", "both")],
            [rule for rule, side in rules if side in ("output", "both")],
            least_confidence(settings.abstain_below, place) if settings.abstain else None,
        )

    @property
    def active(self) -> bool:
        """Whether there is any rule."""
        return bool(self._asked or self._answered) or self._below is not None

    def check_input(self, texts: Sequence[str]) -> list[Ruling]:
        """What becomes of each text that a client asks; looked at together."""
        return self._through(self._asked, list(texts))

    def check_output(
        self, outputs: Sequence[str], confidences: Sequence[float | None], *, labels: bool
    ) -> list[Ruling]:
        """What becomes of each answer.

        Args:
            confidences: of the answers; one that is not known is too low.
            labels: whether they are a classifier's labels, which only abstaining acts on.
        """
        rulings = [self._sure_enough(*each) for each in zip(outputs, confidences, strict=True)]
        if labels:
            return rulings
        kept = [place for place, ruling in enumerate(rulings) if ruling.action == "pass"]
        looked_at = self._through(self._answered, [outputs[place] for place in kept])
        for place, ruling in zip(kept, looked_at, strict=True):
            rulings[place] = ruling
        return rulings

    def stream(self) -> StreamGuard:
        """Watches one answer that is written piece by piece.

        Confidence is known only at an answer's end, so that a stream is never withheld by it.
        """
        return StreamGuard(self._answered, self._settings.hold_back, self._ruling, self._count)

    def counts(self) -> Mapping[tuple[str, str], int]:
        """How often each rule did what: (rule, ``pass``, ``changed``, ``refused`` or ``failed``).

        A rule that failed also refused, and is counted as failed only.
        """
        with self._lock:
            return dict(self._counts)

    def _through(self, rules: Sequence[Rule], texts: list[str]) -> list[Ruling]:
        rulings = [Ruling("pass", text) for text in texts]
        for rule in rules:
            places = [i for i, ruling in enumerate(rulings) if ruling.action != "refused"]
            if not places:
                break
            for place, finding in zip(places, self._look(rule, rulings, places), strict=True):
                ruling = self._ruling(rule, finding)
                if ruling is not None:
                    rulings[place] = ruling
                self._count(rule.name, "failed" if finding is None else _action(ruling))
        return rulings

    def _look(
        self, rule: Rule, rulings: Sequence[Ruling], places: Sequence[int]
    ) -> Sequence[Finding | None]:
        """What a rule finds; None for each text where it fails."""
        try:
            found = rule.look([rulings[place].text for place in places])
        except Exception as error:  # whatever it is, the texts were not judged
            log_failure(rule.name, error)
            return [None] * len(places)
        return found if len(found) == len(places) else [None] * len(places)

    def _ruling(self, rule: Rule, finding: Finding | None) -> Ruling | None:
        """What follows from a finding; None where nothing was found."""
        if finding is None:
            return Ruling("refused", self._settings.refusal, rule.name, 0)
        if not finding.count:
            return None
        if finding.text is None:
            return Ruling("refused", self._settings.refusal, rule.name, finding.count)
        return Ruling("changed", finding.text, rule.name, finding.count)

    def _sure_enough(self, output: str, confidence: float | None) -> Ruling:
        if self._below is None:
            return Ruling("pass", output)
        sure = (confidence or 0.0) >= self._below
        self._count("abstain", "pass" if sure else "changed")
        if sure:
            return Ruling("pass", output)
        return Ruling("changed", self._settings.abstain_text, "abstain", 1)

    def _count(self, rule: str, action: str) -> None:
        with self._lock:
            self._counts[rule, action] += 1


class StreamGuard:
    """Safeguards on one answer that comes in pieces. Not for several threads at once."""

    def __init__(
        self,
        rules: Sequence[Rule],
        hold_back: int,
        ruling: Callable[[Rule, Finding | None], Ruling | None],
        count: Callable[[str, str], None],
    ) -> None:
        self._ruling, self._count = ruling, count
        self._gates: list[tuple[Rule, Gate]] = [
            (rule, _gate(rule, hold_back, self._refusal)) for rule in rules
        ]
        self._stopped: Stopped | None = None

    def push(self, piece: str) -> str:
        """Take a piece of the answer; what may go out now, maybe nothing.

        Raises:
            Stopped: a rule refuses what would come next.
        """
        return self._through(piece, last=False)

    def end(self) -> str:
        """The rest, once the answer has ended.

        Raises:
            Stopped: a rule refuses it.
        """
        rest = self._through("", last=True)
        for rule, gate in self._gates:
            self._count(rule.name, "changed" if gate.found else "pass")
        return rest

    def _through(self, piece: str, *, last: bool) -> str:
        if self._stopped is not None:
            raise self._stopped
        for rule, gate in self._gates:
            try:
                piece = gate.push(piece) + (gate.end() if last else "")
            except Stopped as stopped:
                self._stopped = stopped
                raise
            except Exception as error:  # whatever it is, the piece was not judged
                log_failure(rule.name, error)
                self._count(rule.name, "failed")
                self._stopped = self._stop(rule, None)
                raise self._stopped from None
        return piece

    def _refusal(self, rule: Rule, count: int) -> Stopped:
        self._count(rule.name, "refused")
        return self._stop(rule, Finding(count))

    def _stop(self, rule: Rule, finding: Finding | None) -> Stopped:
        ruling = self._ruling(rule, finding)
        if ruling is None:
            raise ValueError("nothing was found that could be refused")
        return Stopped(ruling)


def log_failure(rule: str, error: Exception) -> None:
    """Say which safeguard failed and where; an error's own words may hold the client's text."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "unknown place"
    log.error("the safeguard %s failed (%s at %s), so the text is refused",
              rule, type(error).__name__, place)  # fmt: skip


def _action(ruling: Ruling | None) -> str:
    return "pass" if ruling is None else ruling.action


def _gate(rule: Rule, hold_back: int, refuse: Callable[[Rule, int], Exception]) -> Gate:
    if isinstance(rule, PersonalData):
        return MaskGate(rule)
    if isinstance(rule, BlockList):
        return WordGate(rule, hold_back, refuse)
    return SentenceGate(rule, hold_back, refuse)


def _masks(settings: SafeguardSettings) -> PersonalData:
    if not settings.personal_data_kinds:
        raise SettingError(
            "no kind of personal data is named", where="safeguards.personal_data_kinds",
            fix="Name some, or set safeguards.personal_data=off",
        )  # fmt: skip
    return PersonalData(settings.personal_data_kinds, settings.personal_data_label)
