"""What an exported model is asked: rows without their answers, and made-up texts beside them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tinyforge.records.examples import Example
from tinyforge.records.rows import Source
from tinyforge.tasks.decoder import unanswered

BEGINNING = 200
"""Characters of a raw text that a model goes on from."""

MADE_UP = (
    "Hello, world!",
    "a",
    "What happens next? I have been waiting for three days, and nobody has answered me.",
    "  two  spaces,\n\na blank line\tand a tab ",
    "na\u00efve caf\u00e9, \u03a9, \u6f22\u5b57 and \U0001f642",
    "1,234.50 % of <s>this</s> [SEP] </s> <|endoftext|> is $9.99 (or so); isn't it?",
    "it goes on and on " * 30,
)
"""Texts that show what rows may happen not to: spaces, other alphabets, special tokens spelt out,
more than a short model reads."""


def spread_out(examples: Sequence[Example], most: int) -> list[Example]:
    """At most so many of the rows, from all over them, in order."""
    places = np.linspace(0, len(examples) - 1, min(len(examples), most)).astype(int)
    return [examples[int(place)] for place in dict.fromkeys(places.tolist())]


def asked(examples: Sequence[Example], task: str) -> list[Example]:
    """Rows as they are put to a model; of a raw text its beginning, which it goes on from."""
    if task != "language-model":
        return [unanswered(example) for example in examples]
    return [
        Example(input=(example.output or "")[:BEGINNING], source=example.source)
        for example in examples
    ]


def made_up() -> list[Example]:
    """``MADE_UP`` as rows."""
    return [Example(input=text, source=Source("made up", n)) for n, text in enumerate(MADE_UP, 1)]
