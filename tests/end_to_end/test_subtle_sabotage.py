"""Further ways to spoil an export, which leave it loading and answering: the gate sees each.

Candidates are taken to the gate directly: what the command line makes of a refusal is shown in
``test_sabotaged_exports.py``.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from export_runs import change_json, copy_of, gate_of, graphs_of

from tinyforge.artifacts.export_folder import RECORD, read_record
from tinyforge.compress.quantize import quantize, schemes
from tinyforge.compress.quantize.graph import Graph
from tinyforge.recipes.export_gate import Passage, pass_graphs

onnx = pytest.importorskip("onnx")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.getbasetemp()


def beside(path: Path) -> None:
    """Put the weights into a file beside the graph, as large models have them."""
    onnx.save_model(
        onnx.load(str(path)), str(path), save_as_external_data=True, size_threshold=0,
        location=f"{path.name}.data",
    )  # fmt: skip


def external_data_swapped(folder: Path) -> None:
    """Two weights of the same size point to each other's bytes."""
    path = folder / "model.onnx"
    beside(path)
    model = onnx.load(str(path), load_external_data=False)
    first, second = (
        next(each for each in model.graph.initializer if part in each.name and len(each.dims) > 1)
        for part in ("layer.0.attention.self.query", "layer.0.attention.self.value")
    )
    assert list(first.dims) == list(second.dims)
    entries = [{each.key: each for each in tensor.external_data} for tensor in (first, second)]
    ours, theirs = (entry["offset"] for entry in entries)
    ours.value, theirs.value = theirs.value, ours.value
    path.write_bytes(model.SerializeToString())


def padding_is_read(folder: Path) -> None:
    """The mask is there and not heeded: a row alone is answered rightly, beside others not."""
    path = folder / "model.onnx"
    model = onnx.load(str(path))
    make, kinds = onnx.helper.make_node, onnx.TensorProto
    for node in model.graph.node:
        for place, name in enumerate(node.input):
            if name == "attention_mask":
                node.input[place] = "all_ones"
    for node in reversed((
        make("Equal", ["attention_mask", "attention_mask"], ["is_itself"]),
        make("Cast", ["is_itself"], ["all_ones"], to=kinds.INT64),
    )):  # fmt: skip
        model.graph.node.insert(0, node)
    onnx.save(model, str(path))


def answers_cut_short(folder: Path) -> None:
    change_json(folder / "generation_config.json", lambda c: c.update(max_new_tokens=2))


def labels_of_one_file(folder: Path) -> None:
    def turn(config: Any) -> None:
        names = list(config["id2label"].values())
        config["id2label"] = {str(i): name for i, name in enumerate(reversed(names))}

    change_json(folder / "config.json", turn)


def numbers_of_labels(folder: Path) -> None:
    def turn(config: Any) -> None:
        config["label2id"] = dict(
            zip(config["label2id"], reversed(config["label2id"].values()), strict=True)
        )

    change_json(folder / "config.json", turn)


def threshold_moved(folder: Path) -> None:
    change_json(folder / RECORD, lambda record: record["task"].update(threshold=0.9))


def space_in_the_template(folder: Path) -> None:
    """In the file that other programs read; the record has the right one."""
    path = folder / "chat_template.jinja"
    path.write_text(path.read_text(encoding="utf-8") + " ", encoding="utf-8")


def capitals_are_read(folder: Path) -> None:
    """The tokenizer no longer makes small letters of them; rows have none."""
    change_json(folder / "tokenizer.json", lambda content: content.update(normalizer=None))


def settings_of_writing(folder: Path) -> None:
    change_json(folder / RECORD, lambda record: record["generation"].update(temperature=1.5))


def a_coarser_precision(folder: Path) -> None:
    """Which would let more pass."""
    change_json(folder / RECORD, lambda record: record.update(precision="int4"))


@dataclass(frozen=True)
class Case:
    """One sabotage of the graphs in float32.

    Attributes:
        kind: the run that is exported.
        check: the check that has to see it.
        said: words of the sentence.
    """

    spoil: Callable[[Path], None]
    kind: str
    check: str
    said: str


CASES = [
    Case(external_data_swapped, "bert", "logits", "of their spread"),
    Case(padding_is_read, "bert", "logits", "in batches"),
    Case(answers_cut_short, "t5", "reading", "generation_config.json says max_new_tokens 2"),
    Case(labels_of_one_file, "bert", "reading", "config.json has other labels"),
    Case(numbers_of_labels, "bert", "reading", "config.json says label2id"),
    Case(threshold_moved, "bert", "reading", "threshold"),
    Case(space_in_the_template, "gpt", "reading", "chat_template"),
    Case(capitals_are_read, "bert", "reading", "becomes other tokens"),
    Case(a_coarser_precision, "bert", "files", "names another precision: int4"),
    Case(settings_of_writing, "gpt", "reading", "writes with other settings"),
]


def refused(passage: Passage, check: str, said: str) -> None:
    problem = passage.problem
    assert problem is not None
    assert problem.name == check, problem
    assert said in problem.sentence


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.spoil.__name__)
def test_it_is_refused(case: Case, base: Path, tmp_path: Path) -> None:
    folder = copy_of(graphs_of(case.kind, base), tmp_path / "copy")
    case.spoil(folder)
    refused(pass_graphs(gate_of(case.kind, base), folder), case.check, case.said)


# --- in eight bits ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def small(base: Path) -> Path:
    """A classifier in 8 bits that passes."""
    source, folder = graphs_of("bert", base), base / "subtle-int8"
    scheme = schemes("int8", read_record(source))[0]
    quantize(source, folder, scheme, calibration=gate_of("bert", base).judging.calibration)
    passage = pass_graphs(gate_of("bert", base), copy_of(folder, base / "judged"), base=source)
    assert [check.name for check in passage.checks] == [
        "files", "reading", "logits", "answers", "weights", "fresh", "metric",
    ]  # fmt: skip
    assert passage.passed or passage.checks[-1].name == "metric", passage.problem
    return folder


def one(graph: Graph, ending: str) -> tuple[str, Any]:
    name = next(each for each in graph.names() if each.endswith(ending))
    return name, np.array(graph.array(name))


def a_channel_doubled(graph: Graph) -> None:
    name, scales = one(graph, "self.key.scales")
    scales[int(np.argmin(scales))] *= 2
    graph.add(name, scales)


def a_norms_last_bit(graph: Graph) -> None:
    name, norm = one(graph, "LayerNorm.weight")
    norm.view(np.uint32)[0] ^= np.uint32(1)
    graph.add(name, norm)


@pytest.mark.parametrize("change", [a_channel_doubled, a_norms_last_bit])
def test_rounding_is_no_hiding_place(
    change: Callable[[Graph], None], small: Path, base: Path, tmp_path: Path
) -> None:
    folder = copy_of(small, tmp_path / "copy")
    graph = Graph(folder / "model.onnx")
    change(graph)
    graph.save(folder / "model.onnx")
    refused(
        pass_graphs(gate_of("bert", base), folder, base=graphs_of("bert", base)),
        "weights", "not the source's",
    )  # fmt: skip


def test_a_result_that_was_edited_is_found_anywhere(base: Path, tmp_path: Path) -> None:
    """A better score, and no questions that could be answered wrongly, with a new manifest."""
    from export_runs import run_of

    from tinyforge.artifacts.export_folder import GATE, GOLDEN
    from tinyforge.artifacts.manifest import write_manifest
    from tinyforge.cli.main import main
    from tinyforge.recipes.verify import verify

    folder = tmp_path / "out"
    assert main(["export", str(run_of("bert", base)), "--output", str(folder)]) == 0
    assert verify(folder).problems == []
    gate = json.loads((folder / GATE).read_text())
    change_json(folder / GATE, lambda g: g["checks"][-1]["figures"].update(exported=0.999))
    write_manifest(folder)
    assert "contradict each other" in verify(folder).problems[0]
    (folder / GATE).write_text(json.dumps(gate))
    (folder / GOLDEN).write_bytes(b"")
    write_manifest(folder)
    assert "0 golden answers" in verify(folder).problems[0]
