"""Pages from templates: one file each, every value escaped, no script, no network."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from typing import Any

from tinyforge.artifacts.words import p_text, value_text

EXCERPT = 400
"""Characters of a text that a cell shows, at most; ``report.json`` holds more."""

CHART = "svg"
"""Variables whose name ends so are markup: plots escape their own texts."""


def fill(template: str, page: Mapping[str, Any]) -> str:
    """A template of this package with its variables.

    Every text is escaped; a content security policy in the page forbids scripts on top of it.
    """
    from jinja2 import ChainableUndefined, Environment, FunctionLoader
    from markupsafe import Markup

    environment = Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=ChainableUndefined,
        loader=FunctionLoader(_source),
    )  # fmt: skip
    environment.filters |= {
        "thousands": lambda value: _number("{:,}", value),
        "three": lambda value: _number("{:.3f}", value),
        "share": lambda value: _number("{:.1%}", value).replace("%", " %"),
        "excerpt": _excerpt,
        "place": lambda where: str(where).replace("\\", "/").rpartition("/")[2],
        "p": lambda value: p_text(value if isinstance(value, int | float) else None),
        "value": lambda value: value_text(value) if isinstance(value, int | float) else "–",
    }

    def marked(values: Mapping[str, Any]) -> dict[str, Any]:
        return {name: Markup(v) if name.endswith(CHART) else v for name, v in values.items()}

    variables = marked(page) | {"metric_charts": list(map(marked, page.get("metric_charts", ())))}
    return environment.get_template(template).render(variables)


def _source(name: str) -> str:
    return resources.files("tinyforge.artifacts").joinpath(name).read_text("utf-8")


def _excerpt(text: str) -> str:
    return text if len(text) <= EXCERPT else text[: EXCERPT - 1] + "…"


def _number(pattern: str, value: Any) -> str:
    """A dash where there is no number: a page is worth more than one of its cells."""
    return pattern.format(value) if isinstance(value, int | float) else "–"
