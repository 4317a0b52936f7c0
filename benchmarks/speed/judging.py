"""``tinyforge evaluate`` beside ``Trainer.predict``: MiniLM's answers to Banking77's questions.

Seconds are those of answering: on our side with reading and tokenizing the rows, which the Trainer
has behind it when its clock starts. The classifier's head is random; all must give it the same
accuracy. Ours answers in float32, as the model does when it is used.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.speed import compare, harness, judged, options, table


def main() -> None:
    """Compare."""
    chosen = options.parse(options.parser(__doc__))
    rows = 100 if chosen.quick else 8_000
    case = compare.Case(
        name="classify", variant="", title="", learning={}, peers=(),
        prepare={
            "name": "banking77", "model": "minilm", "shots": 0, "rows": rows, "held_out": 10,
        },
    )  # fmt: skip

    def saved(spec: dict[str, Any], place: Path) -> Path:
        harness.run_program("peers.classifier", spec, place / "saved", threads=chosen.threads)
        return place / "saved" / "model"

    what = judged.Judging(
        name="judging", variant="", title="Evaluating MiniLM on Banking77", rows=rows,
        prepare=case, model=saved, peer="peers.evaluating", ways=("plain", "best", "half"),
        measure="accuracy", said="accuracy", same=0.005,
    )  # fmt: skip
    compare.finish(judged.measure(what, chosen), chosen, table.judging)


if __name__ == "__main__":
    main()
