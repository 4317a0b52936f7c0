"""Raw text from wherever it lies: one file per format, and one table from kind to reader."""

from tinyforge.corpus.reading.database_urls import without_password
from tinyforge.corpus.reading.find import find_units
from tinyforge.corpus.reading.table import read_unit
from tinyforge.corpus.reading.unit import Unit

__all__ = ["Unit", "find_units", "read_unit", "without_password"]
