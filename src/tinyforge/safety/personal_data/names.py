"""People's names by Presidio (Microsoft), where it and a spaCy model are installed."""

from __future__ import annotations

import importlib.util
from functools import cache
from typing import Any

from tinyforge.errors import SettingError
from tinyforge.safety.personal_data.spans import Span

_LONGEST = 100_000  # characters that go through the model at once; spaCy's own limit is a million


def check_names_model(model: str) -> None:
    """See that names can be found at all.

    Raises:
        SettingError: Presidio or the model is not installed; nothing is ever downloaded.
    """
    for package in ("presidio_analyzer", "spacy", model):
        if importlib.util.find_spec(package) is None:
            name = package if package == model else package.replace("_", "-")
            more = f"; python -m spacy download {model}" if package == model else ""
            raise SettingError(
                f"finding names needs the package {name!r}, which is not installed",
                where="clean.find_names",
                fix=f"Run: pip install presidio-analyzer{more}. Or set clean.find_names=false",
            )


def find_names(text: str, model: str) -> list[Span]:
    """Names of people in an English text; long texts are cut between lines for the model."""
    analyzer = _analyzer(model)
    found = []
    start = 0
    while start < len(text):
        end = len(text)
        if end - start > _LONGEST:
            cut = text.rfind("\n", start + 1, start + _LONGEST)
            end = cut if cut > 0 else start + _LONGEST
        for hit in analyzer.analyze(text=text[start:end], entities=["PERSON"], language="en"):
            first, last = start + hit.start, start + hit.end
            found.append(Span(first, last, "name", text[first:last]))
        start = end
    return found


@cache
def _analyzer(model: str) -> Any:
    check_names_model(model)
    from presidio_analyzer import AnalyzerEngine
    from presidio_analyzer.nlp_engine import NlpEngineProvider

    engine = NlpEngineProvider(
        nlp_configuration={
            "nlp_engine_name": "spacy",
            "models": [{"lang_code": "en", "model_name": model}],
        }
    ).create_engine()
    return AnalyzerEngine(nlp_engine=engine, supported_languages=["en"])
