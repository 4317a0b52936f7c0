"""Sides take turns, whoever is missing is named, and ratios count only for the same answers."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import pytest
from benchmarks.speed import answer_rows, answer_t5, answers, decode, harness, streams
from benchmarks.speed.answers import Rounds, Side

OURS = Side("ours int4", "program", {"precision": "int4"}, bits="int4")
PEER = Side("peer int4", "peers.program", bits="int4")
OTHER = Side("peer bf16", "peers.program")


def flags(repeat: int = 3) -> argparse.Namespace:
    return argparse.Namespace(repeat=repeat, threads=1, quick=False)


def turns(sides: list[Side], repeat: int = 3, seconds: float = 60.0) -> list[Any]:
    """What was measured after each round, as counts by side."""
    deadline = time.monotonic() + seconds
    found = answers.take_turns(
        sides, {"a": 1}, flags(repeat), Path("unused"), deadline=deadline, told=str, extra="machine"
    )
    return [
        ({name: len(runs) for name, runs in r.runs.items()}, dict(r.left_out), len(r.extras))
        for r in found
    ]


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, Any]]]:
    """The programs that would have been run; one called ``broken`` fails the second time."""
    seen: list[tuple[str, dict[str, Any]]] = []

    def run(name: str, spec: dict[str, Any], folder: Path) -> dict[str, Any]:
        seen.append((name, spec))
        if name == "broken" and sum(before == "broken" for before, _ in seen) == 2:
            raise harness.ChildError("it ended with 1:\nTraceback\nOSError: no such thing")
        return {"seconds": 1.0}

    monkeypatch.setattr(answers, "_run", run)
    return seen


def test_sides_take_turns_and_every_round_is_a_result(called: list[Any]) -> None:
    assert turns([OURS, PEER], repeat=2) == [
        ({"ours int4": 1, "peer int4": 1}, {}, 1),
        ({"ours int4": 2, "peer int4": 2}, {}, 2),
    ]
    order = ["machine", "program", "peers.program"]
    assert [name for name, _ in called] == order * 2
    assert called[1][1] == {"a": 1, "precision": "int4", "threads": 1, "round": 0}


def test_a_peer_that_is_not_installed_is_named(called: list[Any]) -> None:
    absent = Side("absent", "peers.absent", needs="no_such_package_anywhere")
    ((counts, left_out, _),) = turns([OURS, absent], repeat=1)
    assert counts == {"ours int4": 1}
    assert "no_such_package_anywhere is not installed" in left_out["absent"]
    assert "peers.absent" not in [name for name, _ in called]


def test_a_peer_that_fails_is_left_out_whole_and_ours_may_not_fail(called: list[Any]) -> None:
    found = turns([OURS, Side("peer", "broken")])
    assert [counts for counts, _, _ in found] == [
        {"ours int4": 1, "peer": 1}, {"ours int4": 2}, {"ours int4": 3},
    ]  # fmt: skip
    assert found[-1][1] == {"peer": "OSError: no such thing"}
    called.clear()
    with pytest.raises(harness.ChildError):
        turns([Side("ours", "broken")])


def test_no_round_is_begun_that_would_end_too_late(called: list[Any]) -> None:
    assert len(turns([OURS], repeat=5, seconds=-1.0)) == 1


def rounds(**errors: float) -> Rounds:
    return Rounds(
        {name.replace("_", " "): [{"fidelity": {"error": e}}] for name, e in errors.items()}, {}
    )


def test_of_the_same_bits_ours_must_err_no_more() -> None:
    assert not answers.same_model(OURS, PEER, rounds(ours_int4=0.12, peer_int4=0.1), "int4")
    why = answers.same_model(OURS, PEER, rounds(ours_int4=0.14, peer_int4=0.1), "int4")
    assert why == ["ours errs by 14.00%, the peer by 10.00%"]
    assert not answers.same_model(OURS, OTHER, rounds(ours_int4=0.14, peer_bf16=0.01), "int4")


def test_logits_of_another_model_do_not_count() -> None:
    why = answers.same_model(OURS, OTHER, rounds(ours_int4=1.2, peer_bf16=0.01), "int4")
    assert why == ["ours int4: its logits are 120.0% from the model's"]


def decode_run(tokens: int = 3, error: float = 0.1, **more: Any) -> dict[str, Any]:
    stamps = [0.5 + 0.1 * place for place in range(tokens)]
    return {
        "answers": [stamps],
        "fidelity": {"error": error, "same_top": 0.9},
        "peak_bytes": 1,
        **more,
    }


def test_tokens_a_second_are_those_after_the_first() -> None:
    assert decode.rate(decode_run(tokens=5)) == pytest.approx(10.0)
    assert decode.first(decode_run()) == 0.5


def test_a_short_answer_or_another_token_in_float32_does_not_count() -> None:
    found = Rounds(
        {"ours int4": [decode_run(3, unlike=["prompt 0: x"])], "peer int4": [decode_run(2)]}, {}
    )
    assert decode.why_not(OURS, PEER, found, 3) == [
        "peer int4 wrote [2] tokens instead of 3", "float32 export, prompt 0: x",
    ]  # fmt: skip


def test_the_share_of_the_read_rate() -> None:
    found = Rounds({"ours int4": [decode_run(5, bytes_per_token=30)]}, {}, extras=[{"read": 600.0}])
    assert decode.bandwidth(found, "ours int4")["read_share"]["median"] == pytest.approx(0.5)


def test_streams_must_be_whole_and_the_same_alone() -> None:
    whole = {"arrives": 0.0, "first": 1.0, "end": 2.0, "tokens": 4, "wanted": 4}
    fidelity = {"error": 0.1}
    alone = [{"request": 0, "token": 3, "gap": 0.05}, {"request": 1, "token": 2, "gap": 0.2}]
    ours = {"bursts": [[whole]], "fidelity": fidelity, "alone": alone}
    peer = {"bursts": [[{**whole, "tokens": 3}]]}
    found = Rounds({"ours int4": [ours], "peer int4": [peer]}, {})
    assert streams.why_not(OURS, PEER, found, "int4") == [
        "peer int4: 1 answers have another length than asked for",
        "ours: answers [1] differ when nothing runs beside them",
    ]


def test_rows_are_compared_with_the_reference() -> None:
    runs = {
        "ours int8": [{"answers": ["a b c", "d e"], "seconds": [1.0]}],
        "theirs int8": [{"answers": ["a b c", "d f g"], "seconds": [1.0]}],
        "fp32": [{"answers": ["a b c", "d f"], "seconds": [2.0]}],
    }
    found = Rounds(runs, {})  # type: ignore[arg-type]
    same = answer_rows.agreement(found, "fp32", answer_t5.words_in_place)
    assert same == {"ours int8": 4 / 5, "theirs int8": 5 / 6, "fp32": 1.0}
    sides = [
        Side("ours int8", "x", bits="int8"), Side("theirs int8", "x", bits="int8"),
        Side("fp32", "x", bits="fp32"),
    ]  # fmt: skip
    both = answer_rows.row_comparisons(
        sides, found, lambda run: 1 / run["seconds"][0], same, {"int8": 0.7}, 0.01
    )
    assert [(one["peer"], one["valid"], one["speed"]["ratio"]) for one in both] == [
        ("theirs int8", False, 1.0), ("fp32", True, 2.0),
    ]  # fmt: skip
    strict = answer_rows.row_comparisons(
        sides[::2], found, lambda run: 1.0, same, {"int8": 0.9}, 0.01
    )
    assert strict[0]["why_not"] == ["80.0% of our answers are those of float32"]
