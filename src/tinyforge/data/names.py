"""Names of columns, as they are met in published data sets. All are in the form of ``plain``."""

from __future__ import annotations

TEXTS = (
    "input", "inputs", "text", "sentence", "sentences", "document", "article", "dialogue",
    "dialog", "source", "src", "comment", "comment_text", "review", "review_text", "tweet",
    "utterance", "query", "question", "content", "passage", "body", "message", "sms", "post",
    "description", "full_text", "headline", "title",
)  # fmt: skip
"""What a model is given, the likeliest name first."""

ANSWERS = (
    "output", "outputs", "target", "targets", "tgt", "response", "completion", "answer",
    "summary", "highlights", "translation", "ref", "reference", "refs", "references", "reply",
    "paraphrase",
)  # fmt: skip
"""Free text to learn."""

LABELS = (
    "label", "labels", "category", "categories", "intent", "class", "class_label", "sentiment",
    "emotion", "emotions", "topic", "toxic", "toxicity", "polarity", "stance", "coarse", "fine",
    "coarse_label", "fine_label", "label_coarse", "label_fine", "genre", "tag", "tags", "spam",
)  # fmt: skip
"""Labels to learn; two of them in one file are ambiguous unless one is called label(s)."""

INSTRUCTIONS = ("instruction", "instructions")
PROMPTS = ("prompt",)
QUESTIONS = ("question", "query")
CONTEXTS = ("context", "content", "passage", "paragraph")
CHATS = ("messages", "conversations", "conversation", "chat", "turns")
CHOSEN, REJECTED = ("chosen",), ("rejected",)
REPLIES = ("output", "response", "completion", "answer", "target", "reply")
QUESTION_ANSWERS = ("answer", "answers", "response", "output", "target")

PAIRS = (
    ("input", "output"), ("text", "label"), ("text", "labels"), ("sentence", "label"),
    ("source", "target"), ("src", "tgt"), ("input", "target"), ("inputs", "targets"),
    ("document", "summary"), ("article", "summary"), ("article", "highlights"),
    ("dialogue", "summary"), ("dialog", "summary"), ("text", "summary"), ("mr", "ref"),
    ("text", "target"), ("text", "output"), ("word", "phonemes"),
)  # fmt: skip
"""Names that belong together, whatever other columns there are."""

SIDE = frozenset((
    "id", "idx", "index", "uid", "uuid", "guid", "key", "hash", "row", "row_id", "rev_id", "url",
    "uri", "link", "source", "src", "timestamp", "time", "date", "datetime", "created", "added",
    "updated", "version", "metadata", "meta", "lang", "language", "author", "user", "fname",
    "filename", "file", "path", "split", "fold", "subset", "score", "weight", "length",
    "difficulty",
))  # fmt: skip
"""Facts about a row that are seldom learnt."""

KNOWN = frozenset((
    *TEXTS, *ANSWERS, *LABELS, *INSTRUCTIONS, *PROMPTS, *QUESTIONS, *CONTEXTS, *CHOSEN, *REJECTED,
    *(name for pair in PAIRS for name in pair), "id", "idx", "index", "url", "en", "de", "fr",
    "es", "it", "english", "german", "french", "spanish", "sentence1", "sentence2",
))  # fmt: skip
"""Words that show a line to be a header."""


def plain(name: str) -> str:
    """A column's name without case, spaces and hyphens."""
    return "_".join(name.strip().casefold().replace("-", " ").split())
