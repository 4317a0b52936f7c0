"""What a corpus holds more than once: documents, lines and passages."""

from tinyforge.corpus.duplicates.finder import DuplicateFinder, Duplicates
from tinyforge.corpus.duplicates.repeats import Repeats, count_repeats
from tinyforge.corpus.duplicates.signatures import Signatures, signatures

__all__ = [
    "DuplicateFinder",
    "Duplicates",
    "Repeats",
    "Signatures",
    "count_repeats",
    "signatures",
]
