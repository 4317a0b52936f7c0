"""The model that tells languages: py3langid (naive Bayes over bytes, Lui and Baldwin 2012)."""

from __future__ import annotations

from functools import cache
from typing import Any


@cache
def language_model() -> Any:
    """The model, opened once; ``rank(text)`` gives (ISO 639-1 code, probability), the best first.

    Raises:
        ImportError: the package is not installed.
    """
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    model = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    # Languages without a two-letter code are few in any corpus, and short texts in other
    # languages are often mistaken for them. "zxx" stands for what is no language.
    model.set_languages([code for code in model.labels if len(code) == 2 or code == "zxx"])
    return model
