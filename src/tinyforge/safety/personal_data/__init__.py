"""Personal data: found by rules with checksums, masked or replaced by inventions.

>>> find("Call +44 20 7946 0018 or write to ann@firm.co.uk")[1].kind
'email'
"""

from tinyforge.safety.personal_data.finding import KINDS, find
from tinyforge.safety.personal_data.masking import mask, replace_spans
from tinyforge.safety.personal_data.names import check_names_model, find_names
from tinyforge.safety.personal_data.spans import Span

__all__ = ["KINDS", "Span", "check_names_model", "find", "find_names", "mask", "replace_spans"]
