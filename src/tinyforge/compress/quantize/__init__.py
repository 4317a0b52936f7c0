"""Exported models with fewer bits in each weight.

``schemes`` names what to try for a model, ``quantize`` makes it, and ``sensitivity`` says which
layers it hurts.
"""

from tinyforge.compress.quantize.measure import sensitivity
from tinyforge.compress.quantize.scheme import Scheme, Treatment, schemes
from tinyforge.compress.quantize.shrink import quantize

__all__ = ["Scheme", "Treatment", "quantize", "schemes", "sensitivity"]
