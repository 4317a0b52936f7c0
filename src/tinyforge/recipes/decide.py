"""Which task the data and the model call for, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tinyforge.errors import DataError

if TYPE_CHECKING:
    from tinyforge.data.survey import Survey

CHAT_CONVENTIONS = ("messages", "conversations", "instruction", "prompt")


def choose_task(survey: Survey, family: str | None, asked: str) -> tuple[str, str]:
    """The task's name and one sentence that says why.

    Args:
        survey: what the first rows look like.
        family: ``encoder``, ``encoder-decoder`` or ``decoder``; None where the model is ``auto``.
        asked: the user's ``task`` setting; anything but ``auto`` wins.

    Raises:
        DataError: the rows are for a task that does not exist here.
    """
    columns = survey.columns
    if asked != "auto":
        return asked, f"task {asked}: you asked for it"
    if "chosen" in columns.roles:
        return "preference", "task preference: each row holds a better and a worse answer"
    if survey.marked is not None:
        raise DataError(
            f"the column {survey.marked!r} marks these chats as good or bad, and bad ones would be "
            "learnt like good ones",
            fix="Keep the good ones and say --task instruct, or make pairs of a chosen and a "
            "rejected answer",
        )
    seen = f"columns {columns.convention}"
    if survey.raw_text:
        return "language-model", f"task language-model: {seen}, so there is only text to continue"
    if family == "encoder":
        return "classify", f"task classify: {seen}, and the model is an encoder"
    if family == "encoder-decoder":
        return "text2text", f"task text2text: {seen}, and the model is an encoder-decoder"
    chat = columns.convention.startswith(CHAT_CONVENTIONS)
    if not chat and (columns.multi_label or survey.labels_like):
        found = f"{survey.distinct_outputs} different outputs in {survey.rows} rows"
        return "classify", f"task classify: {seen}, {found}, so the outputs are labels"
    if chat or family == "decoder":
        why = "these are prompts with answers" if chat else "the model is a decoder"
        return "instruct", f"task instruct: {seen}, and {why}"
    return "text2text", f"task text2text: {seen}, and the outputs are free text"
