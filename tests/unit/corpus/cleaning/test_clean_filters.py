"""The filters: each one turns away what it is for; the recipes keep what is good."""

from __future__ import annotations

import pytest

from tinyforge.config.corpus_clean import CleanSettings
from tinyforge.corpus.cleaning.cleaner import Cleaner
from tinyforge.corpus.cleaning.filters import BY_NAME, FILTERS, VALUES
from tinyforge.corpus.cleaning.recipes import RECIPES, choose_filters, recipe_of
from tinyforge.errors import SettingError
from tinyforge.records.documents import Document, Dropped

SENTENCES = [
    "The kettle began to whistle while she was still looking for a clean cup.",
    "Most of the shops in the village close at noon on Wednesday.",
    "He locked the door, put the key in his pocket and walked to the station.",
    "Water freezes at zero degrees and boils at one hundred degrees Celsius.",
    "The train to the coast leaves every hour and takes about forty minutes.",
    "My grandmother kept her letters in a wooden box under the bed.",
    "It rained all night, and in the morning the river had reached the road.",
    "A good knife needs to be sharpened more often than people think.",
]
GOOD = "\n".join(SENTENCES)


def judged(text: str, recipe: str = "web", **settings: object) -> tuple[str, str]:
    """The reason and detail of a document that is dropped; empty for one that is kept."""
    cleaner = Cleaner(CleanSettings(recipe=recipe, personal_data="keep", **settings))  # type: ignore[arg-type]
    result = cleaner.clean(Document("a.txt", text, "s")).result
    return (result.reason, result.detail) if isinstance(result, Dropped) else ("", "")


BAD = {
    "gopher.short": "Only a few words. They are good. But few.",
    "gopher.short_words": GOOD + " a b c d e f g h i j k l m n o." * 12,
    "gopher.long_words": " ".join(f"{w.rstrip('.')}isticallyness" for w in GOOD.split())
    + ". A the to.",
    "gopher.hash_marks": GOOD.replace(" t", " #t").replace(" a", " #a"),
    "gopher.ellipses": GOOD.replace(",", "...").replace(" the ", " the... "),
    "gopher.letters": GOOD + " 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 2020 3030." * 3,
    "gopher.bullets": "\n".join(f"• {line}" for line in SENTENCES),
    "gopher.ellipsis_lines": "\n".join(
        line[:-1] + " and so on and so forth it goes on…" for line in SENTENCES
    ),
    "c4.curly_brackets": GOOD + "\nfunction f() { return 1; }.",
    "c4.lorem_ipsum": GOOD + "\nLorem Ipsum dolor sit amet.",
    "c4.sentences": GOOD.replace(".", "").replace("\n", " ") + ".",
    "fineweb.punctuation": "\n".join(line.rstrip(".") for line in SENTENCES * 1) + "\nA. B. C. D",
    "fineweb.short_lines": GOOD + "\n" + "\n".join(f"See the page n{n} here." for n in range(40)),
    "fineweb.duplicate_lines": GOOD + "\n" + "\n".join(SENTENCES[:2]),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_each_web_filter_names_itself(name: str) -> None:
    reason, detail = judged(BAD[name])
    assert reason == name
    assert detail.startswith(BY_NAME[name].meaning)
    assert f"{BY_NAME[name].limit:g}" in detail
    assert judged(BAD[name], without_filters=(name,))[0] != name


@pytest.mark.parametrize("recipe", RECIPES)
def test_good_prose_passes_everywhere(recipe: str) -> None:
    assert judged(GOOD, recipe) == ("", "")


@pytest.mark.parametrize("length", [5, 6, 7, 8, 9, 10])
def test_repeated_ngrams_are_seen(length: int) -> None:
    passage = " ".join(f"unusual{n} words" for n in range(length // 2 + 1)).split()[:length]
    text = GOOD + "".join(f" Item{n} {' '.join(passage)}." for n in range(12))
    rules = tuple(f"gopher.duplicate_{n}_grams" for n in range(5, 11) if n != length)
    rules += tuple(f"gopher.top_{n}_grams" for n in (2, 3, 4))
    assert judged(text, "books", without_filters=rules)[0] == f"gopher.duplicate_{length}_grams"


@pytest.mark.parametrize("length", [2, 3, 4])
def test_frequent_ngrams_are_seen(length: int) -> None:
    text = GOOD + " " + ("extraordinary " * length + "and. ") * 60
    rules = tuple(f"gopher.top_{n}_grams" for n in (2, 3, 4) if n != length)
    assert judged(text, "books", without_filters=rules)[0] == f"gopher.top_{length}_grams"


def test_repeated_paragraphs_are_seen() -> None:
    text = "\n\n".join([GOOD, *(f"{SENTENCES[0]}\n{SENTENCES[1]}",) * 9])
    without = (
        "fineweb.duplicate_lines",
        "gopher.duplicate_lines",
        "gopher.duplicate_line_characters",
    )
    assert judged(text, without_filters=without)[0] == "gopher.duplicate_paragraphs"
    assert judged(text, without_filters=without[:1])[0] == "gopher.duplicate_lines"


def test_stop_words_are_asked_of_english_only() -> None:
    english = "Quick brown foxes jumped over lazy dogs during summer evenings beside calm rivers. "
    assert judged(english * 1 + english.title() + english.upper() + english.swapcase() * 2,
                  "books", languages=("en",), language_confidence=0.0,
                  without_filters=tuple(f"gopher.duplicate_{n}_grams" for n in range(5, 11)),
                  )[0] == "gopher.stop_words"  # fmt: skip
    german = (
        "Der Kessel begann zu pfeifen, während sie noch nach einer sauberen Tasse suchte. Die "
        "meisten Läden im Dorf schließen am Mittwoch schon um zwölf Uhr mittags. Er schloss die "
        "Tür ab, steckte den Schlüssel ein und ging zum Bahnhof hinunter, wo der Zug stand."
    )
    assert judged(german, "books") == ("", "")


def test_lines_go_by_name() -> None:
    cleaner = Cleaner(CleanSettings(recipe="web", with_filters=("c4.terminal",)))
    noise = [
        "Please enable JavaScript to read this page.",
        "This page does not work without javascript.",
        "By reading on you accept our Privacy Policy.",
        "Home",
        "A line that ends without a mark and is long enough to count",
        "A line with a word of " + "x" * 1001 + " letters in it.",
        "Cited here [12] and there [citation needed].",
    ]
    done = cleaner.clean(Document("page.html", GOOD + "\n" + "\n".join(noise), "s"))
    assert isinstance(done.result, Document)
    assert done.result.text == GOOD + "\nCited here  and there ."
    assert done.changes == {
        "lines.c4.citations": 2, "lines.c4.javascript": 2, "lines.c4.policy": 1,
        "lines.c4.few_words": 1, "lines.c4.terminal": 1, "lines.c4.long_words": 1,
    }  # fmt: skip


def test_a_page_of_noise_only_is_empty() -> None:
    assert judged("Home\nContact\nAbout us") == ("empty", "no line is left after the line filters")


def test_chinese_is_kept() -> None:
    line = "我能吞下玻璃而不伤身体，这是一个众所周知的例子，用来测试文字的显示。"
    lines = [line[n:] + line[:n] + "。" for n in range(0, 30, 3)]
    assert judged("\n".join(lines)) == ("", "")
    assert judged("\n".join(lines), "books") == ("", "")


def test_code_by_its_lines() -> None:
    assert (
        judged("x = [" + "1, " * 400 + "]\n" + "y = 1\n" * 100, "code")[0] == "codex.longest_line"
    )
    assert judged("abc " * 30 + "\n" + "abc " * 30, "code")[0] == "codex.mean_line"
    assert judged("+-*/(){}[];:" * 5, "code")[0] == "codex.alphanumeric"


def test_limits_are_free() -> None:
    few = "Only a few words. They are good. But few."
    without = ("fineweb.short_lines", "gopher.stop_words")
    assert judged(few, limits={"gopher.short": 5}, without_filters=without) == ("", "")
    assert judged(GOOD, limits={"gopher.short": 500})[1].endswith("at least 500")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"with_filters": ("gopher.shrot",)},
            "clean.with_filters: unknown filter (got 'gopher.shrot'). Did you mean 'gopher.short'",
        ),
        ({"limits": {"nothing": 1}}, "clean.limits: unknown filter"),
        ({"limits": {"c4.terminal": 1}}, "clean.limits: this filter has no limit"),
        ({"with_filters": ("c4.bad_words",)}, "the filter c4.bad_words needs a list"),
    ],
)
def test_mistakes_are_named(settings: dict[str, object], message: str) -> None:
    with pytest.raises(SettingError) as caught:
        Cleaner(CleanSettings(**settings))  # type: ignore[arg-type]
    assert message in str(caught.value)


def test_the_tables_agree() -> None:
    documents = {f.name for f in FILTERS if f.scope == "document"}
    assert documents == set(VALUES) | {"c4.bad_words"}
    assert len(BY_NAME) == len(FILTERS)
    assert all(f.limit is not None for f in FILTERS if f.scope == "document")
    for recipe in RECIPES.values():
        assert {*recipe.filters, *recipe.limits} <= set(BY_NAME)
    chosen = choose_filters(CleanSettings())
    assert set(chosen) == set(RECIPES)
    assert chosen["books"].limits["gopher.short"] == 20
    assert chosen["web"].limits["gopher.short"] == 50


@pytest.mark.parametrize(
    ("name", "meta", "recipe"),
    [
        ("novels.tar.xz!/emma.txt", {}, "books"),
        ("speech", {}, "books"),
        ("site.zip!/a/index.html", {}, "web"),
        ("crawl.warc.gz:3", {}, "web"),
        ("crawl.jsonl.gz:3", {"url": "http://a.b"}, "web"),
        ("rows.jsonl:12", {}, "chat"),
        ("rows.csv.gz:12", {}, "chat"),
        ("data.parquet:0", {}, "chat"),
        ("peps.tar.xz!/peps/pep-0008.rst", {}, "technical"),
        ("manual.pdf", {}, "technical"),
        ("repo/src/main.py", {}, "code"),
        ("repo/Makefile", {}, "code"),
        ("a.TXT", {}, "books"),
    ],
)
def test_auto_goes_by_the_format(name: str, meta: dict[str, str], recipe: str) -> None:
    assert recipe_of(Document(name, "text", "s", meta=meta), CleanSettings()) == recipe
    assert recipe_of(Document(name, "text", "s", meta=meta), CleanSettings(recipe="none")) == "none"
