"""Arrivals, errors of logits and bytes read, against numbers worked out by hand; the tables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from benchmarks.speed import arrivals, fidelity, report, table, weights_read


def test_bursts_are_the_same_for_all_and_differ_by_seed() -> None:
    prompts = [[number] for number in range(40)]
    one, again, other = (arrivals.burst(prompts, 32, seed) for seed in (1, 1, 2))
    assert one == again != other
    assert one[0]["arrives"] == 0
    assert [each["arrives"] for each in one] == sorted(each["arrives"] for each in one)
    assert len({each["ids"][0] for each in one}) == 32
    assert all(arrivals.FEWEST <= each["new"] <= arrivals.MOST for each in one)
    assert one[-1]["arrives"] == pytest.approx(31 * arrivals.GAP, rel=0.6)


def test_tokens_a_second_are_over_all_bursts_and_waits_from_the_arrival() -> None:
    first = [
        {"arrives": 0.0, "first": 0.5, "end": 2.0, "tokens": 10},
        {"arrives": 1.0, "first": 1.2, "end": 4.0, "tokens": 20},
    ]
    second = [{"arrives": 0.0, "first": 3.0, "end": 6.0, "tokens": 10}]
    told = arrivals.told([first, second])
    assert told["tokens_per_second"] == 40 / 10
    assert told["first_p50"] == 0.5
    assert told["first_p95"] == 3.0


def test_quantiles_are_values_that_occurred() -> None:
    values = [float(number) for number in range(100, 0, -1)]
    assert arrivals.quantile(values, 0.95) == 95.0
    assert arrivals.quantile(values, 0.5) == 50.0
    assert arrivals.quantile([7.0], 0.01) == 7.0


def test_an_equal_shift_of_all_logits_is_no_error() -> None:
    reference = np.array([[1.0, 2.0, 6.0], [0.0, 3.0, 0.0]], np.float32)
    found = fidelity.fidelity(reference + np.array([[5.0], [-1.0]], np.float32), reference)
    assert found["error"] == pytest.approx(0, abs=1e-6)
    assert found["same_top"] == 1.0


def test_the_error_is_relative_and_tops_are_counted() -> None:
    reference = np.array([[1.0, -1.0], [1.0, -1.0]], np.float32)
    found = fidelity.fidelity(np.array([[1.0, -1.0], [-1.0, 1.0]], np.float32), reference)
    assert found == {"error": pytest.approx(np.sqrt(8) / 2), "same_top": 0.5}


def test_logits_of_another_shape_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "reference.npy", np.zeros((2, 3), np.float32))
    with pytest.raises(ValueError, match="shape"):
        fidelity.against(tmp_path, np.zeros((3, 2), np.float32))


def test_a_table_that_is_looked_up_is_not_read_but_one_that_is_multiplied_is(
    tmp_path: Path,
) -> None:
    onnx = pytest.importorskip("onnx")
    helper, kinds = onnx.helper, onnx.TensorProto
    nodes = [
        helper.make_node("Gather", ["table", "ids"], ["x"]),
        helper.make_node("MatMul", ["x", "weight"], ["y"]),
        helper.make_node("Gather", ["shared", "ids"], ["z"]),
        helper.make_node("MatMul", ["y", "shared"], ["w"]),
    ]
    tensors = [
        helper.make_tensor("table", kinds.FLOAT, [100, 4], np.zeros(400)),
        helper.make_tensor("weight", kinds.FLOAT16, [4, 6], np.zeros(24)),
        helper.make_tensor("shared", kinds.INT8, [6, 5], np.zeros(30, int)),
        helper.make_tensor("unused", kinds.FLOAT, [1000], np.zeros(1000)),
    ]
    graph = helper.make_graph(nodes, "g", [], [], tensors)
    path = tmp_path / "g.onnx"
    onnx.save(helper.make_model(graph), path)
    assert weights_read.weight_bytes(path) == 24 * 2 + 30


def test_bytes_of_a_cache() -> None:
    layout = {"layers": 2, "heads": 3, "head_size": 4, "dtype": "float32"}
    assert weights_read.cache_bytes(layout, 10) == 2 * 2 * 3 * 4 * 4 * 10
    assert weights_read.cache_bytes({**layout, "dtype": "int8"}, 10) == 2 * 2 * 3 * 4 * 10


def spread(value: float) -> dict[str, float]:
    return {"median": value, "min": value, "max": value}


def result(case: str, **figures: Any) -> dict[str, Any]:
    speed = {"ratio": 4.0, "low": 3.5, "high": 4.5}
    return {
        "case": case, "variant": "", "title": "T", "quick": False, "repeat": 2,
        "machine": {
            "processor": "A chip", "cores": 2, "threads": 2, "memory_bytes": 2**34,
            "system": "Linux", "python": "3.11", "date": "2020-02-02", "versions": {},
        },
        "model": {"parameters": 123_000_000}, "schemes": {"int4": "four"},
        "figures": {"ours": {"peak_bytes": spread(2**20), **figures}},
        "left_out": {"CTranslate2": "ctranslate2 is not installed"},
        "extras": [{"read": 2e10, "copy": 1e10}, {"read": 3e10, "copy": 1e10}],
        "comparisons": [
            {
                "side": "ours", "peer": "other", "speed": speed, "first_p95": {"ratio": 0.5},
                "valid": False, "why_not": ["another model"],
            }
        ],
    }  # fmt: skip


def test_tables_say_who_is_missing_and_what_does_not_count() -> None:
    decoded = result(
        "decode", tokens_per_second=spread(250.0), first_seconds=spread(0.02), size_bytes=2**26,
        fidelity={"error": 0.1, "same_top": 0.8}, read_share=spread(0.61),
    )  # fmt: skip
    served = result(
        "streams", tokens_per_second=spread(900.0), first_p50=spread(0.1), first_p95=spread(0.3)
    )
    read = {**result("answer_t5", rows_per_second=spread(80.0), same=0.987), "same_means": "words"}
    text = report.render([decoded, served, read])
    assert text.count("ours | other | 4.00x (3.50 to 4.50) | no: another model |") == 3
    assert text.count("Left out: CTranslate2: ctranslate2 is not installed.") == 3
    assert "| ours | 250 (250 to 250) | 20 | 61% | 64 | 1 | 10.00% |" in text
    assert "read 20.0 to 30.0 GB/s" in text
    assert "other 2.00x ours" in text
    assert "| ours | 80 (80 to 80) | 98.7% | 1 |" in text
    assert "123.0 M weights" in table.render(read)
    assert "Our schemes: int4: four." in text
