"""Which column plays which part, from the columns' names and the first rows' values."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tinyforge.config.data import DataSettings
from tinyforge.data import names, references
from tinyforge.data.names import plain
from tinyforge.errors import DataError, SettingError
from tinyforge.registry import suggest


@dataclass(frozen=True)
class Columns:
    """How the columns were understood.

    Attributes:
        convention: the usual name of this layout, such as ``input/output`` or ``messages``.
        roles: part to column. Parts are input, output, labels, instruction, context, messages,
            text, chosen, rejected, group and time; reference2, reference3, ... where there are
            further right answers beside the output.
        unused: columns that play no part.
        why: one sentence for the user.
        multi_label: whether a row may carry several labels.
    """

    convention: str
    roles: Mapping[str, str]
    unused: tuple[str, ...]
    why: str
    multi_label: bool = False


@dataclass
class ColumnFacts:
    """What the values of one column look like in the first rows."""

    name: str
    filled: int = 0
    texts: int = 0
    lists: int = 0
    chats: int = 0
    objects: int = 0
    words: int = 0
    most_words: int = 0
    distinct: set[str] = field(default_factory=set)

    def add(self, value: Any) -> None:
        """Look at one more value."""
        if value is None or value == "" or value != value:
            return
        self.filled += 1
        if isinstance(value, dict):
            self.objects += 1
        elif isinstance(value, (list, tuple)):
            chat = bool(value) and isinstance(value[0], dict)
            self.chats += chat
            self.lists += not chat
        else:
            self.texts += 1
            text = str(value)
            count = len(text.split())
            self.words += count
            self.most_words = max(self.most_words, count)
            self.distinct.add(text[:200])

    @property
    def mean_words(self) -> float:
        """Words of a filled cell."""
        return self.words / max(1, self.texts)

    @property
    def is_text(self) -> bool:
        """Whether most filled cells are text or numbers."""
        return self.texts > self.filled / 2

    @property
    def like_labels(self) -> bool:
        """Whether few short values come again and again."""
        few = len(self.distinct) <= max(2, self.texts * 0.2)
        return self.is_text and few and self.mean_words <= 5 and self.most_words <= 12


def facts_of(rows: Iterable[Mapping[str, Any]]) -> dict[str, ColumnFacts]:
    """Facts of every column, in order of first appearance."""
    facts: dict[str, ColumnFacts] = {}
    for row in rows:
        for name, value in row.items():
            if name not in facts:
                facts[name] = ColumnFacts(name)
            facts[name].add(value)
    return facts


def recognise(rows: Sequence[Mapping[str, Any]], settings: DataSettings, where: str) -> Columns:
    """Understand the columns of the first rows.

    Args:
        rows: the fields of some rows.
        settings: ``input``, ``output``, ``group``, ``time`` and the label settings override.
        where: the source's name, for errors.

    Raises:
        SettingError: a column that a setting names is not there.
        DataError: several readings are possible, or none.
    """
    return _Reading(facts_of(rows), settings, where).columns()


class _Reading:
    """One look at the columns: rules in order, the first that fits wins."""

    def __init__(self, facts: dict[str, ColumnFacts], settings: DataSettings, where: str) -> None:
        self.all = facts
        self.settings = settings
        self.where = where
        self.extra: dict[str, str] = {}
        for part in ("group", "time", "input", "output", "rejected"):
            self._check(part)
        taken = set(self.extra.values()) - {settings.input, settings.output, settings.rejected}
        most = max((fact.filled for fact in facts.values()), default=0)
        self.facts = {
            name: fact
            for name, fact in facts.items()
            if name not in taken and (fact.filled >= 0.02 * most or name in self.named)
        }
        self.families = references.numbered(self.facts)
        self.more = references.listed(self.facts, settings.output)
        for name in (*itertools.chain(*self.families.values()), self.more):
            if name is not None and name not in self.named:
                del self.facts[name]
        self.by_plain = {plain(name): name for name in reversed(self.facts)}
        for name in self.families:
            self.by_plain.setdefault(plain(name).rstrip("_0123456789"), name)

    @property
    def named(self) -> tuple[str | None, ...]:
        return self.settings.input, self.settings.output, self.settings.rejected

    def _check(self, part: str) -> None:
        name = getattr(self.settings, part)
        if name is None:
            return
        if name not in self.all:
            raise SettingError(
                f"there is no column {name!r}; the columns are {', '.join(self.all)}",
                where=f"data.{part}",
                fix=suggest(name, self.all),
            )
        if part in ("group", "time"):
            self.extra[part] = name

    def columns(self) -> Columns:
        if self.settings.output is not None and self.settings.rejected is None:
            return self._mapped(self.settings.output)
        for rule in (
            self._preference, self._chat, self._instruction, self._prompt, self._question,
            self._pair, self._text_and_labels, self._plain,
        ):  # fmt: skip
            found = rule()
            if found is not None:
                return found
        listed = ", ".join(self.all) or "none"
        raise DataError(
            f"the columns cannot be understood; there are: {listed}",
            where=self.where,
            fix="Name two of them with --set data.input=NAME --set data.output=NAME",
        )

    def _build(self, convention: str, roles: dict[str, str], why: str) -> Columns:
        roles = {part: name for part, name in roles.items() if name}
        output = roles.get("output")
        lists = output is not None and self.all[output].lists > self.all[output].filled / 2
        is_label = lists and (plain(output or "") in names.LABELS or self.settings.output == output)
        multi = self.settings.multi_label
        if multi is None:
            multi = bool(output) and (is_label or self.settings.label_separator is not None)
        if output and multi:
            roles["labels"] = roles.pop("output")
            why += "; a row may carry several labels"
        elif further := references.reference_roles(output, self.families, self.more):
            roles |= further
            why += f"; also right: {', '.join(further.values())}"
        roles |= self.extra
        unused = tuple(name for name in self.all if name not in roles.values())
        if unused:
            why += f"; not used: {', '.join(unused)}"
        return Columns(convention, roles, unused, why, bool(multi))

    def _first(self, wanted: Iterable[str], *, without: Iterable[str] = ()) -> str | None:
        for name in wanted:
            column = self.by_plain.get(name)
            if column is not None and column not in without:
                return column
        return None

    def _mapped(self, output: str) -> Columns:
        given = self.settings.input
        if given is not None:
            roles = {"input": given, "output": output}
            fact = self.all[given]
            if fact.chats > fact.filled / 2:
                roles = {"messages": given, "output": output}
            why = f"you named {given!r} as input and {output!r} as output"
            return self._build(f"{given}/{output}", roles, why)
        instruction = self._first(names.INSTRUCTIONS, without=(output,))
        if instruction:
            return self._instruction_with(output)
        chat = self._chat_column()
        if chat and chat != output:
            roles = {"messages": chat, "output": output}
            return self._build("messages", roles, f"{chat!r} holds chats, {output!r} the answer")
        question = self._first(names.QUESTIONS, without=(output,))
        context = self._first(names.CONTEXTS, without=(output, question or ""))
        if question:
            return self._question_with(question, context, output)
        known = self._first((*names.PROMPTS, *names.TEXTS), without=(output,))
        others = [n for n in self._usable() if n != output]
        column = known or (others[0] if len(others) == 1 else None)
        if column is None:
            raise self._ambiguous("input", others)
        why = f"{column!r} is the input, and you named {output!r} as output"
        return self._build(f"{column}/{output}", {"input": column, "output": output}, why)

    def _preference(self) -> Columns | None:
        chosen = self.settings.output or self._first(names.CHOSEN)
        rejected = self.settings.rejected or self._first(names.REJECTED)
        if not chosen or not rejected:
            return None
        pair = {"chosen": chosen, "rejected": rejected}
        why = f"{chosen!r} is the better answer, {rejected!r} the worse one"
        return self._build("chosen/rejected", self._asked(chosen, rejected) | pair, why)

    def _asked(self, *answers: str) -> dict[str, str]:
        """What two answers answer: a chat, an instruction with what is below it, or one text."""
        given = self.settings.input
        chat = given or self._chat_column() or self._first(names.PROMPTS, without=answers) or ""
        if chat and self.all[chat].chats > self.all[chat].filled / 2:
            return {"messages": chat}
        instruction = None if given else self._first(names.INSTRUCTIONS, without=answers)
        if instruction:
            below = {plain(name): name for name in self.all}
            extra = below.get("input") or below.get("context") or ""
            return {"instruction": instruction, "input": extra}
        usual = (*names.PROMPTS, *names.QUESTIONS, "input")
        return {"input": given or self._first(usual, without=answers) or ""}

    def _chat_column(self) -> str | None:
        for name in names.CHATS:
            column = self.by_plain.get(name)
            if column and self.facts[column].chats > self.facts[column].filled / 2:
                return column
        return None

    def _chat(self) -> Columns | None:
        column = self._chat_column()
        if column is None or self.settings.input:
            return None
        convention = "conversations" if plain(column).startswith("conversation") else "messages"
        return self._build(convention, {"messages": column}, f"{column!r} holds chats turn by turn")

    def _instruction(self) -> Columns | None:
        instruction = self._first(names.INSTRUCTIONS)
        output = self._first(names.REPLIES)
        if not instruction or not output or self.settings.input:
            return None
        return self._instruction_with(output)

    def _instruction_with(self, output: str) -> Columns:
        instruction = self._first(names.INSTRUCTIONS) or ""
        below = {plain(name): name for name in self.all if name != output}
        extra = below.get("input") or below.get("context") or ""  # mostly empty is usual here
        middle = f"/{plain(extra)}" if extra else ""
        why = f"{instruction!r}" + (f" with {extra!r} below it" if extra else "")
        roles = {"instruction": instruction, "input": extra, "output": output}
        why += f" is the question, {output!r} the answer"
        return self._build(f"instruction{middle}/{plain(output)}", roles, why)

    def _prompt(self) -> Columns | None:
        prompt = self._first(names.PROMPTS)
        output = self._first(names.REPLIES)
        if not prompt or not output or self.settings.input not in (None, prompt):
            return None
        why = f"{prompt!r} is the question, {output!r} the answer"
        return self._build(f"prompt/{plain(output)}", {"input": prompt, "output": output}, why)

    def _question(self) -> Columns | None:
        question = self._first(names.QUESTIONS)
        if not question or self.settings.input not in (None, question):
            return None
        output = self._first(names.QUESTION_ANSWERS)
        if output is None:
            many = [n for n in self.facts if plain(n).startswith("answer")]
            output = many[0] if many else None
        if output is None:
            return None
        context = None if self.settings.input else self._first(names.CONTEXTS, without=(output,))
        return self._question_with(question, context, output)

    def _question_with(self, question: str, context: str | None, output: str) -> Columns:
        roles = {"input": question, "context": context or "", "output": output}
        why = f"{question!r} is the question, {output!r} the answer"
        if context:
            why += f"; the model is given 'question: … context: …' with {context!r} as context"
        return self._build("question/answer", roles, why)

    def _pair(self) -> Columns | None:
        for first, second in names.PAIRS:
            source, target = self.by_plain.get(first), self.by_plain.get(second)
            if source and target and self.settings.input in (None, source):
                why = f"{source!r} is the input, {target!r} is to be learnt"
                return self._build(f"{first}/{second}", {"input": source, "output": target}, why)
        return None

    def _text_and_labels(self) -> Columns | None:
        """A text column and one answer or label column, both known by name."""
        answers = {*names.ANSWERS, *names.LABELS}
        outputs = [n for n in self.facts if plain(n) in answers or n in self.families]
        outputs = [n for n in outputs if n != self.settings.input and self._learnable(n)]
        preferred = [n for n in outputs if plain(n) in ("label", "labels", *names.ANSWERS)]
        preferred = preferred or [n for n in outputs if n in self.families]
        source = self.settings.input or self._first(names.TEXTS, without=outputs)
        if not source or not outputs:
            return None
        if len(outputs) > 1 and len(preferred) != 1:
            raise self._ambiguous("output", outputs)
        target = preferred[0] if preferred else outputs[0]
        why = f"{source!r} is the input, {target!r} is to be learnt"
        roles = {"input": source, "output": target}
        return self._build(f"{plain(source)}/{plain(target)}", roles, why)

    def _learnable(self, name: str) -> bool:
        fact = self.facts[name]
        return fact.is_text or fact.lists > 0

    def _usable(self) -> list[str]:
        def is_side(name: str) -> bool:
            key = plain(name)
            return key in names.SIDE or key.endswith(("_id", "_idx", "_url")) or "unnamed:" in key

        return [n for n, fact in self.facts.items() if fact.is_text and not is_side(n)]

    def _plain(self) -> Columns | None:
        """Any two usable columns; one alone is raw text."""
        usable = self._usable()
        if len(usable) < 2 and self.settings.input is None:
            wider = [n for n, fact in self.facts.items() if fact.is_text]
            usable = wider if len(wider) == 2 and not usable else usable or wider[:1]
        given = self.settings.input
        text = given or self._first(("text", "content", "document"))
        if len(usable) == 1 or (given and not [n for n in usable if n != given]):
            column = given or usable[0]
            return self._build("text", {"text": column}, f"{column!r} is the only text")
        if text and text not in usable:
            usable.append(text)
        if len(usable) != 2:
            if not usable:
                return None
            raise self._ambiguous("output" if text else "input", [n for n in usable if n != text])
        first, second = usable
        swapped = self.facts[first].like_labels and not self.facts[second].like_labels
        if text == second or (swapped and text != first):
            first, second = second, first
        why = f"two columns: {first!r} is the input, {second!r} is to be learnt"
        return self._build(f"{first}/{second}", {"input": first, "output": second}, why)

    def _ambiguous(self, part: str, candidates: Sequence[str]) -> DataError:
        listed = ", ".join(self.all)
        choices = " or ".join(f"--set data.{part}={name}" for name in candidates[:6])
        return DataError(
            f"several columns could be the {part}; the columns are {listed}",
            where=self.where,
            fix=f"Choose one: {choices or f'--set data.{part}=NAME'}",
        )
