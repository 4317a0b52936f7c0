"""Which filters fit which kind of text. This table is the truth.

The published filters were made for web pages. Elsewhere some of them are wrong: the lines of a
book are broken in the middle of sentences, a manual is full of tables and brackets, a message is
short. Each recipe keeps what holds for its kind.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field

from tinyforge.config.corpus_clean import CleanSettings
from tinyforge.corpus.cleaning.filters import BY_NAME
from tinyforge.errors import SettingError
from tinyforge.records.documents import Document


@dataclass(frozen=True, slots=True)
class Recipe:
    """The filters for one kind of text.

    Attributes:
        filters: their names.
        limits: limits other than the published ones.
        entities: whether HTML entities in it are to be undone; in manuals and code they are meant.
    """

    filters: tuple[str, ...]
    limits: Mapping[str, float] = field(default_factory=dict)
    entities: bool = True


_REPEATED_GRAMS = (
    *(f"gopher.top_{n}_grams" for n in (2, 3, 4)),
    *(f"gopher.duplicate_{n}_grams" for n in (5, 6, 7, 8, 9, 10)),
)
_GOPHER_WORDS = (
    "gopher.short", "gopher.short_words", "gopher.long_words", "gopher.hash_marks",
    "gopher.ellipses", "gopher.letters", "gopher.stop_words",
)  # fmt: skip

RECIPES: dict[str, Recipe] = {
    # What FineWeb uses: C4 but for its rule on the ends of lines, all of Gopher, its own three.
    "web": Recipe(
        (
            "c4.citations", "c4.few_words", "c4.long_words", "c4.javascript", "c4.policy",
            "c4.lorem_ipsum", "c4.curly_brackets", "c4.sentences",
            *_GOPHER_WORDS, "gopher.long", "gopher.bullets", "gopher.ellipsis_lines",
            "fineweb.punctuation", "fineweb.short_lines", "fineweb.duplicate_lines",
            "gopher.duplicate_lines", "gopher.duplicate_line_characters",
            "gopher.duplicate_paragraphs", "gopher.duplicate_paragraph_characters",
            *_REPEATED_GRAMS,
        ),
    ),
    # Prose of any length whose lines may be broken anywhere.
    "books": Recipe((*_GOPHER_WORDS, *_REPEATED_GRAMS), {"gopher.short": 20}),
    # Prose between tables, lists and examples of code.
    "technical": Recipe(
        ("gopher.short", "gopher.short_words", "gopher.long_words", "gopher.letters",
         "gopher.top_2_grams", "gopher.top_3_grams", "gopher.top_4_grams",
         "gopher.duplicate_10_grams"),
        {"gopher.short": 20, "gopher.short_words": 2, "gopher.long_words": 15,
         "gopher.letters": 0.5, "gopher.duplicate_10_grams": 0.4},
        entities=False,
    ),
    # Messages, questions, rows: too short for shares to mean anything.
    "chat": Recipe(
        ("gopher.short", "gopher.top_2_grams", "gopher.top_3_grams",
         "gopher.top_4_grams"),
        {"gopher.short": 1, "gopher.top_2_grams": 0.7, "gopher.top_3_grams": 0.7,
         "gopher.top_4_grams": 0.7},
    ),
    "code": Recipe(
        ("codex.mean_line", "codex.longest_line", "codex.alphanumeric"), entities=False
    ),
    "none": Recipe((), entities=False),
}  # fmt: skip

_WEB = frozenset((".html", ".htm", ".xhtml", ".warc", ".wet"))
_TECHNICAL = frozenset(
    (".md", ".markdown", ".rst", ".tex", ".pdf", ".docx", ".adoc", ".org", ".ipynb")
)
_ROWS = frozenset(
    (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet", ".pq", ".sqlite", ".sqlite3",
     ".db", ".arrow")
)  # fmt: skip
_CODE = frozenset(
    (".py", ".pyi", ".c", ".h", ".cc", ".cpp", ".hpp", ".cs", ".java", ".kt", ".scala", ".js",
     ".jsx", ".ts", ".tsx", ".go", ".rs", ".rb", ".php", ".pl", ".pm", ".swift", ".m", ".r",
     ".jl", ".lua", ".sh", ".bash", ".zsh", ".ps1", ".sql", ".css", ".scss", ".vue", ".hs",
     ".ml", ".clj", ".ex", ".exs", ".erl", ".dart", ".f90", ".asm", ".s", ".v", ".vhd", ".toml",
     ".yaml", ".yml", ".ini", ".cfg", ".xml", ".cmake", ".mk", ".gradle", ".proto", ".cu",
     ".el", ".lisp", ".zig", ".nim", ".sol", ".tf", ".dockerfile")
)  # fmt: skip
_PACKED = (".gz", ".xz", ".zst", ".bz2")
_CODE_NAMES = frozenset(("makefile", "dockerfile", "cmakelists.txt", "jenkinsfile"))
_ADDRESS = ("url", "uri", "link", "source_url")


def recipe_of(document: Document, settings: CleanSettings) -> str:
    """The name of the recipe for a document: the one asked for, or by its format.

    Its id tells the format; rows of a table are web pages where they name an address.
    """
    if settings.recipe != "auto":
        return settings.recipe
    name, _, number = document.id.rpartition("/")[2].lower().rpartition(":")
    if not number.isdigit():
        name, number = f"{name}:{number}" if name else number, ""
    for packed in _PACKED:
        name = name.removesuffix(packed)
    stem, point, suffix = name.rpartition(".")
    suffix = point + suffix if stem else ""
    if name in _CODE_NAMES or suffix in _CODE:
        return "code"
    if suffix in _WEB or any(name in document.meta for name in _ADDRESS):
        return "web"
    if suffix in _TECHNICAL:
        return "technical"
    return "chat" if number or suffix in _ROWS else "books"


@dataclass(frozen=True, slots=True)
class Chosen:
    """A recipe with the user's changes: filters in the order of the table, and their limits."""

    lines: tuple[str, ...]
    documents: tuple[str, ...]
    limits: Mapping[str, float]
    entities: bool


def choose_filters(settings: CleanSettings) -> dict[str, Chosen]:
    """Every recipe with the settings' changes.

    Raises:
        SettingError: an unknown filter, or a limit for one that has none.
    """
    for where in ("with_filters", "without_filters", "limits"):
        for name in getattr(settings, where):
            if name not in BY_NAME:
                raise SettingError(
                    "unknown filter", where=f"clean.{where}", value=name, fix=_nearest(name)
                )
    for name in settings.limits:
        if BY_NAME[name].limit is None:
            raise SettingError(
                "this filter has no limit", where="clean.limits", value=name,
                fix="Name it in clean.with_filters or clean.without_filters",
            )  # fmt: skip
    if "c4.bad_words" in settings.with_filters and settings.bad_words is None:
        raise SettingError(
            "the filter c4.bad_words needs a list of words", where="clean.bad_words",
            fix="Name a file with one word a line",
        )  # fmt: skip
    return {name: _chosen(recipe, settings) for name, recipe in RECIPES.items()}


def _chosen(recipe: Recipe, settings: CleanSettings) -> Chosen:
    wanted = {*recipe.filters, *settings.with_filters}
    if settings.bad_words is not None:
        wanted.add("c4.bad_words")
    wanted -= set(settings.without_filters)
    used = [filter_ for name, filter_ in BY_NAME.items() if name in wanted]
    published = {f.name: f.limit for f in used if f.limit is not None}
    return Chosen(
        tuple(f.name for f in used if f.scope == "line"),
        tuple(f.name for f in used if f.scope == "document"),
        {**published, **recipe.limits, **settings.limits},
        recipe.entities,
    )


def _nearest(name: str) -> str:
    near = difflib.get_close_matches(name, BY_NAME, n=1, cutoff=0.5)
    return f"Did you mean {near[0]!r}?" if near else f"Filters are {', '.join(BY_NAME)}"
