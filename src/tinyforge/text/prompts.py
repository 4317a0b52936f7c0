"""Prompts: how a model that was never trained for a job is asked to do it.

A prompt is plain data. It says how an input is put, whether the answer is written or chosen among
labels, and which solved examples are shown before. ``inference.prompted`` asks a model with it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, ValidationError, field_validator, model_validator

from tinyforge.artifacts.files import read_json, write_json
from tinyforge.config.base import Stage
from tinyforge.errors import FolderError, SettingError
from tinyforge.registry import suggest

PROMPT_FILE = Path("tinyforge") / "prompt.json"
"""Where a model folder keeps the prompt that it is used with."""

_SLOT = re.compile(r"\{(input|output|labels|options)\}")


class Shot(Stage):
    """A solved example: an input and its right answer (for a choice, the label)."""

    input: str
    output: str


class Prompt(Stage):
    """How a model is asked.

    In all texts ``{labels}`` stands for the labels in words ("positive, negative") and
    ``{options}`` for the same as a list, one "- positive" a line. Other braces are left alone.

    The text is the prefix, then each example with the separator after it, then the template. What
    the answer prefix ends with in spaces is given to the answer rather than to the text, because
    most tokenizers put a space and the word after it into one token.
    """

    name: str = Field("", description="What people call it.")
    prefix: str = Field("", description="Describes the task, once, before everything else.")
    template: str = Field("{input}", description="How an input is put; holds {input}.")
    answer_prefix: str = Field("", description="Stands between the template and the answer.")
    answer: Literal["generate", "choose"] = Field(
        "generate", description="Write the answer, or choose the likeliest label."
    )
    labels: dict[str, str] = Field({}, description="Label to the words that stand for it.")
    likelihood: Literal["sum", "per byte"] = Field(
        "sum", description="Compare labels by log-likelihood, or by that divided by their bytes."
    )
    calibrate: bool = Field(
        False,
        description="Divide each label's probability by the one it has where the input says "
        "nothing (contextual calibration, Zhao et al. 2021, arXiv:2102.09690). With "
        "examples chosen by similarity it also takes out what they tell.",
    )
    content_free: tuple[str, ...] = Field(
        ("N/A", "[MASK]", ""), min_length=1, description="Inputs that say nothing."
    )
    examples: tuple[Shot, ...] = Field((), description="Solved examples.")
    shots: int | None = Field(
        None,
        ge=0,
        description="Show this many of the examples, the most similar to the input; default: all.",
    )
    example_template: str | None = Field(
        None,
        description="How an example is put; holds {input} and {output}. Default: template, answer "
        "prefix and answer.",
    )
    separator: str = Field("\n\n", description="Stands after each example.")
    stop: tuple[str, ...] = Field((), description="Strings that end a written answer.")
    max_new_tokens: int | None = Field(None, ge=1, description="Tokens written, at most.")

    @model_validator(mode="before")
    @classmethod
    def _labels_mean_a_choice(cls, given: Any) -> Any:
        if not isinstance(given, Mapping):
            return given
        plain = dict(given)
        if isinstance(plain.get("labels"), list | tuple):
            plain["labels"] = {str(label): str(label) for label in plain["labels"]}
        if plain.get("labels") and "answer" not in plain:
            plain["answer"] = "choose"
        return plain

    @field_validator("template")
    @classmethod
    def _holds_input(cls, text: str) -> str:
        if "{input}" not in text:
            raise ValueError("holds no {input}, where the input would stand")
        return text

    @field_validator("example_template")
    @classmethod
    def _holds_both(cls, text: str | None) -> str | None:
        if text is not None and not ("{input}" in text and "{output}" in text):
            raise ValueError("must hold {input} and {output}")
        return text

    @field_validator("stop")
    @classmethod
    def _stops_somewhere(cls, stops: tuple[str, ...]) -> tuple[str, ...]:
        if "" in stops:
            raise ValueError("holds an empty string, which would end every answer at once")
        return stops

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        words = [word.strip() for word in self.labels.values()]
        if len(set(words)) < len(words) or "" in words:
            raise ValueError("labels: the words of each label must be different, and not empty")
        if self.answer == "generate":
            useless = [name for name in ("labels", "calibrate") if getattr(self, name)]
        else:
            useless = [name for name in ("stop", "max_new_tokens") if getattr(self, name)]
        if useless:
            why = "writes an answer" if self.answer == "generate" else "chooses a label"
            raise ValueError(f"{useless[0]} has no effect: the prompt {why}")
        return self

    @property
    def chooses(self) -> bool:
        """Whether it chooses a label rather than writes."""
        return self.answer == "choose"

    def with_labels(self, labels: Sequence[str]) -> Prompt:
        """The same prompt, choosing among these labels unless it has its own."""
        if self.labels or not self.chooses:
            return self
        return parse_prompt({**self.model_dump(), "labels": list(labels)}, where=self.name)

    def words(self, label: str) -> str:
        """The words that stand for a label."""
        return self.labels.get(label, label)

    def context(self, text: str, shots: Sequence[Shot] = ()) -> str:
        """All that a model reads before it answers, without spaces at its end."""
        parts = [self._fill(self.prefix)]
        for shot in shots:
            form = self.example_template or f"{self.template}{self.answer_prefix}{{output}}"
            parts.append(self._fill(form, shot.input, self.words(shot.output)) + self.separator)
        parts.append(self._fill(self.template + self.answer_prefix, text))
        return "".join(parts).rstrip(" ")

    @property
    def lead(self) -> str:
        """The spaces that stand before the answer where it continues the text."""
        ending = self.template + self.answer_prefix
        return ending[len(ending.rstrip(" ")) :]

    def _fill(self, form: str, given: str = "", output: str = "") -> str:
        words = list(self.labels.values())
        slots = {
            "input": given,
            "output": output,
            "labels": ", ".join(words),
            "options": "\n".join(f"- {word}" for word in words),
        }
        return _SLOT.sub(lambda match: slots[match[1]], form)

    def save(self, path: Path) -> None:
        """Write every field as JSON, durable and all at once.

        Raises:
            FolderError: the file cannot be written.
        """
        write_json(path, self.model_dump(mode="json"))

    @classmethod
    def load(cls, path: Path) -> Prompt:
        """Read a JSON or YAML file.

        Raises:
            FolderError: it cannot be read, or is no JSON or YAML.
            SettingError: a field is unknown, or has a wrong value.
        """
        return parse_prompt(_read(path), where=str(path))


def parse_prompt(plain: Any, *, where: str = "prompt") -> Prompt:
    """A prompt from plain data.

    Args:
        plain: field to value; ``labels`` may also be a list of labels that are their own words.
        where: for errors.

    Raises:
        SettingError: a field is unknown (with the nearest name), or has a wrong value.
    """
    if not isinstance(plain, Mapping):
        raise SettingError(
            "a prompt is names and values", where=where, value=plain,
            fix='Write for example: {"template": "Question: {input}\\nAnswer:"}',
        )  # fmt: skip
    for name in plain:
        if name not in Prompt.model_fields:
            raise SettingError(
                "unknown field of a prompt", where=where, value=name,
                fix=suggest(str(name), Prompt.model_fields),
            )  # fmt: skip
    try:
        return Prompt.model_validate(plain)
    except ValidationError as problem:
        first = problem.errors(include_url=False)[0]
        path = ".".join(str(part) for part in first["loc"])
        what = first["msg"].removeprefix("Value error, ")
        raise SettingError(f"{path}: {what}" if path else what, where=where) from None


def usual_prompt(task: str, family: str, *, chat: bool = False, before: str = "") -> Prompt:
    """The plain prompt for a job that nobody has written a prompt for.

    Args:
        task: ``classify``, which chooses a label, or one that writes.
        family: of the model that is asked: ``decoder`` or ``encoder-decoder``.
        chat: whether the model was trained to follow instructions in a chat.
        before: what stands before every input.
    """
    if task == "classify":
        prompt = PROMPTS["options" if chat or family == "encoder-decoder" else "classify"]
    else:
        prompt = PROMPTS["pairs"]
    template = prompt.template.replace("{input}", f"{before}{{input}}")
    return prompt.model_copy(update={"template": template})


def read_prompt(given: Any) -> Prompt:
    """The prompt that a user means.

    Args:
        given: a prompt, its fields as a mapping, the name of a ready-made one, a YAML or JSON
            file, or a template that holds ``{input}``.

    Raises:
        SettingError: it is none of these, or has a mistake.
        FolderError: the file cannot be read.
    """
    if isinstance(given, Prompt):
        return given
    if isinstance(given, Mapping):
        return parse_prompt(given)
    text = str(given)
    if isinstance(given, str):
        if text in PROMPTS:
            return PROMPTS[text]
        if "{input}" in text:
            return parse_prompt({"template": text})
    path = Path(text).expanduser()
    if "\n" not in text and path.suffix.lower() in (".json", ".yaml", ".yml"):
        return Prompt.load(path)
    raise SettingError(
        "this is neither a ready-made prompt, nor a .yaml or .json file, nor a template with "
        "{input} in it", where="prompt", value=text, fix=suggest(text, PROMPTS),
    )  # fmt: skip


def _read(path: Path) -> Any:
    if path.suffix.lower() == ".json":
        return read_json(path)
    import yaml

    try:
        return yaml.safe_load(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise FolderError("cannot be read", where=str(path), value=error.strerror) from error
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise FolderError("is no YAML", where=str(path), value=str(error)) from error


PROMPTS: dict[str, Prompt] = {
    prompt.name: prompt
    for prompt in (
        Prompt(
            name="classify",
            prefix="Choose the label that fits the text: {labels}.\n\n",
            template="Text: {input}\nLabel:",
            answer_prefix=" ",
            answer="choose",
        ),
        # The form of FLAN (Wei et al. 2022, arXiv:2109.01652): the choices as a list of options.
        Prompt(
            name="options",
            template="{input}\n\nWhich of these describes it?\nOPTIONS:\n{options}\nANSWER:",
            answer_prefix=" ",
            answer="choose",
        ),
        Prompt(
            name="question",
            template="Question: {input}\nAnswer:",
            answer_prefix=" ",
            stop=("\n",),
        ),
        Prompt(
            name="pairs",
            template="Input: {input}\nOutput:",
            answer_prefix=" ",
            stop=("\n\n", "\nInput:"),
        ),
        Prompt(name="summarize", template="{input}\n\nSummary:", answer_prefix=" ", stop=("\n\n",)),
        # The prefixes that T5 was trained with (Raffel et al. 2020, arXiv:1910.10683, appendix D).
        Prompt(name="t5-summarize", template="summarize: {input}"),
        Prompt(name="t5-english-german", template="translate English to German: {input}"),
        Prompt(name="t5-english-french", template="translate English to French: {input}"),
        Prompt(
            name="t5-sentiment",
            template="sst2 sentence: {input}",
            labels={"negative": "negative", "positive": "positive"},
            answer="choose",
        ),
    )
}
"""Ready-made prompts by name. Those that choose take their labels from the data."""
