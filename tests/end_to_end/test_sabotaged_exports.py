"""Twelve ways in which an export can be another model than the tested one; the gate sees each.

Every export is spoilt just after its graphs were written, as a faulty converter, disk or hand would
do it, and goes through the real command line: exit code 3, one plain sentence, nothing left behind.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from export_runs import change_json, copy_of, flip_bit, gate_of, graphs_of, run_of

from tinyforge.artifacts.export_folder import RECORD, read_record
from tinyforge.cli.main import main
from tinyforge.recipes import export_search
from tinyforge.recipes.export_gate import Passage, pass_graphs

onnx = pytest.importorskip("onnx")

pytestmark = pytest.mark.usefixtures("empty_folder")

Spoil = Callable[[Path, Path], None]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.getbasetemp()


def edit_graph(path: Path, change: Callable[[Any], None]) -> None:
    model = onnx.load(str(path))
    change(model.graph)
    onnx.save(model, str(path))


def tensors_of(graph: Any) -> Iterator[tuple[Any, Any]]:
    """Initializers with their numbers."""
    for tensor in graph.initializer:
        if tensor.data_type == onnx.TensorProto.FLOAT:
            yield tensor, onnx.numpy_helper.to_array(tensor)


def put(tensor: Any, array: Any) -> None:
    tensor.CopyFrom(onnx.numpy_helper.from_array(np.ascontiguousarray(array), tensor.name))


# --- the twelve ------------------------------------------------------------------------------


def wrong_template(folder: Path, base: Path) -> None:
    template = read_record(folder).tokens["chat_template"].replace("User", "Human").replace(
        "capitalize", "upper"
    )  # fmt: skip
    change_json(folder / RECORD, lambda r: r["tokens"].update(chat_template=template))
    if (folder / "chat_template.jinja").exists():
        (folder / "chat_template.jinja").write_text(template, encoding="utf-8")


def end_token_dropped(folder: Path, base: Path) -> None:
    def drop(record: Any) -> None:
        record["tokens"]["eos_token"] = None
        for name in ("eos_token_id", "own_eos_token_id"):
            if name in record["config"]:
                record["config"][name] = 5

    change_json(folder / RECORD, drop)


def separator_dropped(folder: Path, base: Path) -> None:
    change_json(folder / "tokenizer.json", lambda t: t.update(post_processor=None))


def labels_permuted(folder: Path, base: Path) -> None:
    change_json(folder / RECORD, lambda r: r["task"]["labels"].reverse())


def outputs_permuted(folder: Path, base: Path) -> None:
    def turn(graph: Any) -> None:
        out = graph.output[0].name
        for node in graph.node:
            for place, name in enumerate(node.output):
                if name == out:
                    node.output[place] = "before_turning"
        order = onnx.numpy_helper.from_array(np.array([1, 2, 0]), "order")
        graph.initializer.append(order)
        graph.node.append(
            onnx.helper.make_node("Gather", ["before_turning", "order"], [out], axis=1)
        )

    edit_graph(folder / "model.onnx", turn)


def truncated(folder: Path, base: Path) -> None:
    path = folder / "model.onnx"
    path.write_bytes(path.read_bytes()[: -path.stat().st_size // 3])


def flipped_bit(folder: Path, base: Path) -> None:
    """One bit of one number of the largest table, in the row of a token that no text has."""

    def flip(graph: Any) -> None:
        tensor, array = max(tensors_of(graph), key=lambda pair: pair[1].size)
        spoilt = array.copy()
        spoilt.view(np.uint32)[-1, -1] ^= np.uint32(1 << 12)
        put(tensor, spoilt)

    edit_graph(folder / "model.onnx", flip)


def swapped_vocabulary(folder: Path, base: Path) -> None:
    def swap(content: Any) -> None:
        vocabulary = content["model"]["vocab"]
        first, second = list(vocabulary)[-2:]
        vocabulary[first], vocabulary[second] = vocabulary[second], vocabulary[first]

    change_json(folder / "tokenizer.json", swap)


def missing_cache_input(folder: Path, base: Path) -> None:
    """The first layer forgets: its cache is no input any more but an empty constant."""
    record = read_record(folder)
    layout = record.cache
    assert layout is not None

    def forget(graph: Any) -> None:
        name = "past_key_values.0.key"
        [found] = [each for each in graph.input if each.name == name]
        graph.input.remove(found)
        nothing = np.zeros((1, layout.heads, 0, layout.head_size), dtype=np.float32)
        graph.initializer.append(onnx.numpy_helper.from_array(nothing, name))

    edit_graph(record.graph(folder, "decoder"), forget)


def wrong_scale_of_head(folder: Path, base: Path) -> None:
    """As if a tied head's factor had been forgotten: every likeliest token stays the likeliest."""

    def scale(graph: Any) -> None:
        for node in graph.node:
            for place, name in enumerate(node.output):
                if name == "logits":
                    node.output[place] = "before_scaling"
        factor = onnx.numpy_helper.from_array(np.array(32**0.5, dtype=np.float32), "factor")
        graph.initializer.append(factor)
        graph.node.append(onnx.helper.make_node("Mul", ["before_scaling", "factor"], ["logits"]))

    edit_graph(read_record(folder).graph(folder, "decoder"), scale)


def wrong_padding_side(folder: Path, base: Path) -> None:
    path = folder / "tokenizer_config.json"
    side = json.loads(path.read_text()).get("padding_side", "right")
    change_json(path, lambda c: c.update(padding_side="left" if side == "right" else "right"))


def padded_by_the_tokenizer(folder: Path, base: Path) -> None:
    padding = {
        "strategy": "BatchLongest", "direction": "Left", "pad_to_multiple_of": None, "pad_id": 0,
        "pad_type_id": 0, "pad_token": "[PAD]",
    }  # fmt: skip
    change_json(folder / "tokenizer.json", lambda t: t.update(padding=padding))


def stale_tokenizer(folder: Path, base: Path) -> None:
    """The tokenizer of an earlier training on other rows."""
    from tokenizers import Tokenizer, trainers

    path = folder / "tokenizer.json"
    old = Tokenizer.from_file(str(path))
    content = json.loads(path.read_text())
    size = len(content["model"]["vocab"])
    special = [token["content"] for token in content["added_tokens"]]
    kinds = {"WordPiece": trainers.WordPieceTrainer, "BPE": trainers.BpeTrainer}
    trainer = kinds[content["model"]["type"]](vocab_size=size, special_tokens=special)
    old.train_from_iterator(["a stale river of apples and winter windows"] * 3, trainer)
    old.save(str(path))


def different_base(folder: Path, base: Path) -> None:
    """The graphs of another training, under this one's name."""
    other = run_of("bert", base, 1)
    from tinyforge.export.graphs import write_graphs
    from tinyforge.inference.torch_model import TorchModel

    record = read_record(folder)
    shutil.rmtree(folder)
    write_graphs(TorchModel.load(other), folder)
    replace(read_record(folder), weights=record.weights).write(folder)


def other_weights_hash(folder: Path, base: Path) -> None:
    change_json(folder / RECORD, lambda r: r.update(weights="0123456789ab"))


@dataclass(frozen=True)
class Case:
    """One sabotage.

    Attributes:
        kind: the run that is exported.
        check: the check that has to see it.
        said: words of the sentence.
    """

    spoil: Spoil
    kind: str
    check: str
    said: str


CASES = {
    "wrong template": Case(wrong_template, "gpt", "reading", "becomes other tokens"),
    "end token dropped": Case(end_token_dropped, "t5", "reading", "end at [5] instead of"),
    "separator dropped": Case(separator_dropped, "bert", "reading", "becomes other tokens"),
    "labels permuted": Case(labels_permuted, "bert", "reading", "labels are others, or stand"),
    "outputs permuted": Case(outputs_permuted, "bert", "logits", "of their spread"),
    "a truncated file": Case(truncated, "bert", "files", "cannot be opened"),
    "a flipped bit": Case(flipped_bit, "bert", "weights", "1 of the"),
    "swapped vocabulary": Case(swapped_vocabulary, "gpt", "reading", "does not read as the source"),
    "missing cache input": Case(missing_cache_input, "t5", "files", "past_key_values.0.key"),
    "wrong scale of tied head": Case(wrong_scale_of_head, "t5", "logits", "times the source's"),
    "wrong padding side": Case(wrong_padding_side, "t5", "reading", "padding_side"),
    "padded by the tokenizer": Case(padded_by_the_tokenizer, "bert", "reading", "padding"),
    "stale tokenizer": Case(stale_tokenizer, "bert", "reading", "does not read as the source"),
    "different base": Case(different_base, "bert", "", "source"),
    "another base's name": Case(other_weights_hash, "bert", "reading", "made from other weights"),
}


def test_what_is_sound_passes(base: Path, tmp_path: Path) -> None:
    """Else the refusals below would say nothing."""
    for kind in ("bert", "t5", "gpt"):
        passage = judged(kind, base, copy_of(graphs_of(kind, base), tmp_path / kind))
        assert passage.passed, passage.problem
        assert [check.name for check in passage.checks] == [
            "files", "reading", "weights", "logits", "answers", "fresh", "metric",
        ]  # fmt: skip


def judged(kind: str, base: Path, folder: Path) -> Passage:
    return pass_graphs(gate_of(kind, base), folder)


@pytest.mark.parametrize("name", list(CASES))
def test_a_sabotaged_export_is_refused(
    name: str, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    case = CASES[name]
    run, sound = run_of(case.kind, base), graphs_of(case.kind, base)

    def write_spoilt(model: Any, folder: Path) -> None:
        copy_of(sound, folder)
        case.spoil(folder, base)

    monkeypatch.setattr(export_search, "write_graphs", write_spoilt)
    code = main(["export", str(run), "--output", "out", "--json"])
    captured = capsys.readouterr()
    assert code == 3, captured.err
    [line] = [line for line in captured.err.splitlines() if line.startswith("error: ")]
    assert case.said in line
    assert "Traceback" not in captured.err
    result = json.loads(captured.out.splitlines()[-1])
    assert result["ready"] is False
    assert not case.check or result["checks"][-1]["name"] == case.check
    assert list(tmp_path.iterdir()) == []


def test_per_tensor_int8_on_a_sensitive_layer_is_refused(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """One scale for a whole table in which one number is a hundred times as large as the others."""
    run, sound = run_of("bert", base), graphs_of("bert", base)

    def crude(source: Path, target: Path, scheme: Any, **_: Any) -> None:
        copy_of(source, target)

        def round_off(graph: Any) -> None:
            for tensor, array in tensors_of(graph):
                if array.ndim == 2:
                    scale = 100 * np.abs(array).max() / 127
                    put(tensor, (np.round(array / scale) * scale).astype(np.float32))

        edit_graph(target / "model.onnx", round_off)
        replace(read_record(target), precision="int8").write(target)

    monkeypatch.setattr(export_search, "write_graphs", lambda model, folder: copy_of(sound, folder))
    monkeypatch.setattr(export_search, "quantize", crude)
    monkeypatch.setattr(export_search, "sensitivity", lambda *_: [])
    assert main(["export", str(run), "--output", "out", "--precision", "int8", "--json"]) == 3
    captured = capsys.readouterr()
    result = json.loads(captured.out.splitlines()[-1])
    assert result["checks"][-1]["name"] in ("logits", "metric")
    assert all("spread" in each["problem"] for each in result["tried"])
    assert "--precision auto" in captured.err
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def sealed(base: Path) -> Path:
    """A classifier's export that passed."""
    folder = base / "sealed-bert"
    if not folder.exists():
        assert main(["export", str(run_of("bert", base)), "--output", str(folder)]) == 0
    return folder


def test_verify_finds_a_flipped_bit_in_every_file(
    sealed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["verify", str(sealed)]) == 0
    assert "golden answers are given again" in capsys.readouterr().out
    files = sorted(path.relative_to(sealed) for path in sealed.rglob("*") if path.is_file())
    assert len(files) > 8
    rng = np.random.default_rng(0)
    folder = copy_of(sealed, tmp_path / "copy")
    for name in files:
        size = (folder / name).stat().st_size
        for place in {0, size // 2, size - 1, int(rng.integers(size))}:
            flip_bit(folder / name, place, int(rng.integers(8)))
            assert main(["verify", str(folder)]) == 3, (name, place)
            shutil.copyfile(sealed / name, folder / name)
        assert name.name in capsys.readouterr().err
    assert main(["verify", str(folder)]) == 0


def test_verify_finds_a_model_that_was_exchanged_with_its_manifest(
    sealed: Path, base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever changes the model and writes the manifest anew still has other answers."""
    from tinyforge.artifacts.manifest import write_manifest

    folder = copy_of(sealed, tmp_path / "copy")
    labels_permuted(folder, base)
    write_manifest(folder)
    assert main(["verify", str(folder)]) == 3
    assert "instead of" in capsys.readouterr().err
