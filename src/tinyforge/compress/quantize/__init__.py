"""Exported models with fewer bits in each weight.

``schemes`` names what to try for a model, ``quantize`` makes it, ``compare`` holds it against what
it was made from, and ``sensitivity`` says which layers it hurts.
"""

from tinyforge.compress.quantize.compare import Compared, compare
from tinyforge.compress.quantize.measure import sensitivity
from tinyforge.compress.quantize.scheme import Scheme, Treatment, schemes
from tinyforge.compress.quantize.shrink import quantize

__all__ = [
    "Compared", "Scheme", "Treatment", "compare", "quantize", "schemes", "sensitivity",
]  # fmt: skip
