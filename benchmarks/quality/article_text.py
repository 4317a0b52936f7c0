"""How well the text of an article is taken out of a web page, and broken text is mended.

Article text: the words that ``tinyforge prepare`` reads from each page of the public article
extraction set, against the words of its true article: precision, recall and F1 of the words as a
bag (each occurrence counts), averaged over the pages, before and after cleaning. Mended text: how
many of ftfy's own cases come out as their authors want.
"""

from __future__ import annotations

import argparse
import gzip
import json
import re
import statistics
import sys
import tarfile
import tempfile
from collections import Counter
from pathlib import Path, PurePosixPath
from typing import Any

from benchmarks.speed.harness import say
from tinyforge.config.corpus_clean import CleanSettings
from tinyforge.config.corpus_read import ReadSettings
from tinyforge.corpus.cleaning import Cleaner
from tinyforge.corpus.cleaning.mend import mend
from tinyforge.corpus.reading import find_units, read_unit
from tinyforge.records.documents import Document

_WORD = re.compile(r"\w+")


def main() -> None:
    """Measure and print."""
    flags = argparse.ArgumentParser(description=__doc__)
    flags.add_argument("--json", action="store_true")
    flags.add_argument("--data-folder", type=Path, default=Path("../shared/data"))
    chosen = flags.parse_args()
    dirty = chosen.data_folder / "dirty"
    read, right = articles(dirty / "article_html"), mended(dirty)
    if chosen.json:
        sys.stdout.write(json.dumps({"articles": read, "mended": right}) + "\n")
        return
    for stage, shares in read.items():
        say(f"{stage}: " + ", ".join(f"{name} {value:.3f}" for name, value in shares.items()))
    for name, (good, cases) in right.items():
        say(f"{name}: {good} of {cases} cases mended as wanted")


def articles(folder: Path) -> dict[str, dict[str, float]]:
    """Mean precision, recall and F1 over the pages, as read and as cleaned."""
    gold = json.loads(gzip.decompress((folder / "ground-truth.json.gz").read_bytes()))
    scores: dict[str, list[tuple[float, float, float]]] = {"as read": [], "as cleaned": []}
    cleaner = Cleaner(CleanSettings(recipe="none", personal_data="keep"))
    with tempfile.TemporaryDirectory() as work:
        _unpack(folder / "html.tar.xz", Path(work))
        texts: dict[str, list[str]] = {name: [] for name in gold}
        for unit in find_units([work], ReadSettings()):
            for document in read_unit(unit, ReadSettings()):
                if isinstance(document, Document):
                    texts[PurePosixPath(document.id).stem].append(document.text)
    for name, page in gold.items():
        read = "\n".join(texts[name])
        clean = cleaner.clean(Document(name, read, "pages")).result
        scores["as read"].append(word_scores(read, page["articleBody"]))
        cleaned = clean.text if isinstance(clean, Document) else ""
        scores["as cleaned"].append(word_scores(cleaned, page["articleBody"]))
    means = {}
    for stage, each in scores.items():
        columns = dict(zip(("precision", "recall", "f1"), zip(*each, strict=True), strict=True))
        means[stage] = {key: statistics.fmean(column) for key, column in columns.items()}
        means[stage]["pages"] = len(each)
    return means


def word_scores(text: str, gold: str) -> tuple[float, float, float]:
    """Precision, recall and F1 of a text's words, each occurrence counted."""
    ours, theirs = (Counter(_WORD.findall(side.lower())) for side in (text, gold))
    common = (ours & theirs).total()
    if not common:
        return 0.0, 0.0, 0.0
    precision, recall = common / ours.total(), common / theirs.total()
    return precision, recall, 2 * precision * recall / (precision + recall)


def mended(dirty: Path) -> dict[str, tuple[int, int]]:
    """By file: how many cases come out right, and how many there are.

    A case may want curly quotation marks straight (``fixed``) or left alone (``fixed-encoding``);
    ours are left alone unless ``clean.straight_quotes`` is set, so the second counts where given.
    """
    found: dict[str, tuple[int, int]] = {}
    for name in ("ftfy_synthetic.json", "ftfy_language-names.json"):
        cases: list[dict[str, Any]] = json.loads((dirty / name).read_text(encoding="utf-8"))
        right = [mend(c["original"]) == c.get("fixed-encoding", c["fixed"]) for c in cases]
        found[name] = (sum(right), len(cases))
    return found


def _unpack(archive: Path, folder: Path) -> None:
    with tarfile.open(archive) as packed:
        for member in packed:
            name = PurePosixPath(member.name).name
            content = packed.extractfile(member)
            if name.endswith(".html.gz") and content is not None:
                (folder / name.removesuffix(".gz")).write_bytes(gzip.decompress(content.read()))


if __name__ == "__main__":
    main()
