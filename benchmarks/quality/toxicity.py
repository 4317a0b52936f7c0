"""The toxicity safeguard: what it finds on held rows, and whom it wrongs.

Trains the classifier of ``examples/toxicity.yaml`` on public sets (Wikipedia comments, Davidson's
tweets, kind comments of GoEmotions), with a share of each source held out. Then, at the threshold
that training chose on validation rows:

- recall, precision and false alarms on the held rows, by source, with exact 95 % intervals (Clopper
  and Pearson 1934);
- false alarms on harmless sentences that differ in the word for a group of people (Dixon et al.
  2018), on held civil rows and situations of BBQ with that word swapped, and on WinoBias's
  sentences by pronoun;
- false alarms on ordinary text.

``--swaps N`` also learns from copies of the rows that name a group, each with N other words of its
kind, which is the usual cure. ``--rows FILE`` only writes the rows to learn from.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.quality import toxicity_rows as sets
from benchmarks.quality.ordinary_text import ordinary_texts
from benchmarks.quality.toxicity_rows import Row
from benchmarks.speed.harness import say
from tinyforge.evaluate.findings.intervals import share_interval

MOST = {"tweets: hate": 1_000, "tweets: offensive": 1_500, "tweets: neither": 2_000,
        "kind comments": 2_000}  # fmt: skip
HELD = 0.25
CONFIG = Path(__file__).parents[2] / "examples" / "toxicity.yaml"


def main() -> None:
    """Train, measure, and print."""
    flags = argparse.ArgumentParser(description=__doc__)
    flags.add_argument("--json", action="store_true")
    flags.add_argument("--data-folder", type=Path, default=Path("../shared/data"))
    flags.add_argument("--rows", type=Path, metavar="FILE", help="write the rows, train nothing")
    flags.add_argument("--run", type=Path, help="run folder to make, or to measure if it is there")
    flags.add_argument("--swaps", type=int, default=0, help="copies with other words for groups")
    flags.add_argument("--model", default="auto")
    flags.add_argument("--ordinary", type=int, default=300, help="texts of each ordinary set")
    flags.add_argument("--seed", type=int, default=0)
    chosen = flags.parse_args()
    rows = sets.public_rows(chosen.data_folder)
    learnt, held = sets.split(rows, most=MOST, held=HELD, seed=chosen.seed)
    if chosen.swaps:
        learnt += sets.swapped(learnt, chosen.swaps, chosen.seed)
    if chosen.rows is not None:
        sets.write(chosen.rows, learnt)
        return
    with tempfile.TemporaryDirectory() as work:
        run = chosen.run or Path(work) / "toxicity"
        if not (run / "tinyforge" / "manifest.json").is_file():
            train(run, learnt, held, chosen.model, chosen.seed, Path(work))
        result = figures(run, held, chosen)
    show(result)
    if chosen.json:
        sys.stdout.write(json.dumps(result) + "\n")


def train(
    run: Path, learnt: Sequence[Row], held: Sequence[Row], model: str, seed: int, work: Path
) -> None:
    """Train as the example's settings say; the held rows are the test rows."""
    import tinyforge

    sets.write(work / "rows.jsonl", learnt)
    sets.write(work / "held.jsonl", held)
    made = tinyforge.train(
        work / "rows.jsonl", model, output_dir=run, config=CONFIG, resume=True,
        settings={"data.test": str(work / "held.jsonl"), "train.seed": seed},
    )  # fmt: skip
    say(made.summary())


def figures(run: Path, held: Sequence[Row], chosen: argparse.Namespace) -> dict[str, Any]:
    """All figures of a trained classifier, as plain data."""
    import tinyforge
    from tinyforge.artifacts.thresholds import ALARM
    from tinyforge.safety.toxicity import Toxicity

    rule = Toxicity.open(str(run), tinyforge.load)
    alarm = json.loads((run / ALARM).read_text("utf-8"))
    shares = rule.shares([row.text for row in held])
    raised = [share > rule.threshold for share in shares]
    civil = [row.text for row in held if row.label == sets.CIVIL]
    data = chosen.data_folder
    return {
        "alarm": alarm,
        "swaps": chosen.swaps,
        "held": by_source(held, raised),
        "auroc": auroc(shares, [row.label == sets.TOXIC for row in held]),
        "bias": {
            "sentences": by_word(rule, sets.frames()),
            "held civil rows, swapped": by_word(rule, sets.variants(civil)),
            "BBQ religion, swapped": by_word(rule, sets.variants(sets.bbq_religion(data))),
            "WinoBias, by pronoun": by_word(rule, sets.winobias(data)),
        },
        "ordinary": {
            name: share_of(rule.look(texts))
            for name, texts in ordinary_texts(data, chosen.ordinary).items()
        },
    }


def by_source(held: Sequence[Row], raised: Sequence[bool]) -> dict[str, dict[str, Any]]:
    """Recall, precision and false alarms of each source, and of all."""
    groups: dict[str, list[tuple[bool, bool]]] = defaultdict(list)
    for row, alarm in zip(held, raised, strict=True):
        for name in {"all", row.source, row.source.partition(":")[0]}:
            groups[name].append((row.label == sets.TOXIC, alarm))
    found = {}
    for name, pairs in groups.items():
        toxic = [alarm for truth, alarm in pairs if truth]
        civil = [alarm for truth, alarm in pairs if not truth]
        alarmed = [truth for truth, alarm in pairs if alarm]
        found[name] = {
            "recall": share(toxic), "precision": share(alarmed), "false_alarms": share(civil),
        }  # fmt: skip
    return found


def by_word(rule: Any, cases: Iterable[tuple[str, str, str]]) -> dict[str, dict[str, Any]]:
    """For each word for a group: how many of its texts raise an alarm, and the mean probability."""
    texts: dict[tuple[str, str], list[str]] = defaultdict(list)
    for group, word, text in cases:
        texts[group, word].append(text)
    found: dict[str, dict[str, Any]] = {}
    for (group, word), mine in texts.items():
        shares = rule.shares(mine)
        row = share([value > rule.threshold for value in shares])
        found[f"{group}: {word}"] = {**row, "mean": sum(shares) / len(shares)}
    return found


def share_of(findings: Sequence[Any]) -> dict[str, Any]:
    """The share of texts in which something was found."""
    return share([finding.count > 0 for finding in findings])


def share(hits: Sequence[bool]) -> dict[str, Any]:
    """A share with its exact interval."""
    low, high = share_interval(sum(hits), len(hits))
    value = sum(hits) / len(hits) if hits else None
    return {"value": value, "low": low, "high": high, "rows": len(hits)}


def auroc(scores: Sequence[float], truth: Sequence[bool]) -> float:
    """How often a toxic row has the higher probability of two (Mann and Whitney 1947)."""
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(truth, scores))


def show(result: dict[str, Any]) -> None:
    """The tables, for a person."""
    say(result["alarm"]["sentence"])
    say(f"area under the curve on the held rows: {result['auroc']:.3f}")
    say("\nheld rows           recall                 precision              false alarms")
    for name, row in sorted(result["held"].items()):
        cells = [text(row[kind]) for kind in ("recall", "precision", "false_alarms")]
        say(f"{name:18}  {cells[0]:21}  {cells[1]:21}  {cells[2]}")
    for title, table in result["bias"].items():
        say(f"\n{title}: false alarms, mean probability, texts")
        for word, row in table.items():
            say(f"  {word:26} {text(row):22} {row['mean']:.3f} {row['rows']:6,}")
    say("\nordinary text: refused")
    for name, row in result["ordinary"].items():
        say(f"  {name:26} {text(row):22} {row['rows']:6,}")


def text(row: dict[str, Any]) -> str:
    """A share in words."""
    if not row["rows"]:
        return "–"
    return f"{100 * row['value']:.1f} % ({100 * row['low']:.1f} to {100 * row['high']:.1f})"


if __name__ == "__main__":
    main()
