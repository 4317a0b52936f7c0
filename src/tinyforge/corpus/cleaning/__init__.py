"""Cleaning of documents: mending, language, filters, contamination, personal data."""

from tinyforge.corpus.cleaning.cleaner import Cleaned, Cleaner
from tinyforge.corpus.cleaning.contamination import build_contamination_index
from tinyforge.corpus.cleaning.filters import FILTERS, Filter
from tinyforge.corpus.cleaning.recipes import RECIPES

__all__ = ["FILTERS", "RECIPES", "Cleaned", "Cleaner", "Filter", "build_contamination_index"]
