"""From one exported folder to a smaller one, for every family."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from quantize_exports import export, rows

from tinyforge.artifacts.export_folder import GATE, GOLDEN, read_record
from tinyforge.artifacts.manifest import MANIFEST
from tinyforge.compress.quantize import compare, quantize, schemes, sensitivity
from tinyforge.compress.quantize.blocks import Grid, pack_codes, pack_zeros, unpack
from tinyforge.compress.quantize.graph import Graph
from tinyforge.compress.quantize.rows import Runner, token_rows
from tinyforge.errors import DataError, FolderError, ModelError, SettingError
from tinyforge.inference.onnx.model import OnnxModel

KINDS = ["bert", "t5", "gpt2", "llama"]


@pytest.fixture(scope="session")
def exports(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Each kind's export in fp32, made on first use."""
    folder = tmp_path_factory.mktemp("exports")
    made: dict[str, Path] = {}

    def get(kind: str) -> Path:
        if kind not in made:
            made[kind] = export(kind, folder / kind)
        return made[kind]

    return get


def all_schemes(folder: Path) -> list[Any]:
    record = read_record(folder)
    precisions = ("int4", "int8", "bf16", "fp16")
    return [scheme for each in precisions for scheme in schemes(each, record)]  # type: ignore[arg-type]


def logits(folder: Path, source: Path, kind: str) -> list[Any]:
    """Logits of every row, one at a time, as the tokens of the source have them."""
    record = read_record(folder)
    few = token_rows(source, read_record(source), rows(kind))
    graphs = {role: record.graph(folder, role).read_bytes() for role in record.graphs}
    runner = Runner(folder, record, graphs, exact=False)
    role = "model" if "model" in record.graphs else "decoder"
    return [runner.run(row, {role: ["logits"]})["logits"] for row in few]


def moved(found: list[Any], wanted: list[Any]) -> float:
    """Root mean square of the change, in parts of the spread."""
    error = sum(float(((f - w) ** 2).sum()) for f, w in zip(found, wanted, strict=True))
    spread = sum(float(((w - w.mean()) ** 2).sum()) for w in wanted)
    return float(np.sqrt(error / spread))


BOUNDS = {"int4": 0.8, "int8": 0.25, "bf16": 0.06, "fp16": 0.01}
"""Random weights, which nothing has made robust, in layers of 64: real ones lose far less."""


@pytest.mark.parametrize("kind", KINDS)
def test_every_scheme_of_every_family(kind: str, exports: Any, tmp_path: Path) -> None:
    source = exports(kind)
    wanted = logits(source, source, kind)
    whole = graph_bytes(source)
    errors: dict[str, list[float]] = {}
    for scheme in all_schemes(source):
        target = tmp_path / scheme.name
        record = quantize(source, target, scheme, calibration=rows(kind))
        assert record == replace(read_record(target), scheme=record.scheme)
        assert (record.precision, record.ready) == (scheme.precision, False)
        assert record.scheme["name"] == scheme.name
        error = moved(logits(target, source, kind), wanted)
        errors.setdefault(scheme.precision, []).append(error)
        held = compare(source, target)
        assert held.problem == "", scheme.name
        assert held.numbers > held.same > 0
        assert 0 < error < BOUNDS[scheme.precision], scheme.name
        share = {"int4": 0.5, "int8": 0.5, "bf16": 0.6, "fp16": 0.6}[scheme.precision]
        assert graph_bytes(target) < share * whole, scheme.name
    assert max(errors["fp16"]) < max(errors["int8"]) < max(errors["int4"])


def graph_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.glob("*.onnx*"))


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_made_answers(kind: str, exports: Any, tmp_path: Path) -> None:
    source = exports(kind)
    scheme = schemes("int8", read_record(source))[0]
    quantize(source, tmp_path / "small", scheme, calibration=rows(kind))
    big, small = OnnxModel.load(source), OnnxModel.load(tmp_path / "small")
    try:
        if kind == "bert":
            both = [model.predict_examples(rows(kind)) for model in (big, small)]
            for one, other in zip(*both, strict=True):
                assert one.confidence == pytest.approx(other.confidence, abs=0.2)
            # Its last layer is still computed for the places asked for: vectors take all.
            texts = [row.input for row in rows(kind)]
            assert ((big.embed(texts) * small.embed(texts)).sum(axis=1) > 0.9).all()
        else:
            scored = [model.log_likelihoods(rows(kind)) for model in (big, small)]
            for one, other in zip(*scored, strict=True):
                assert one.nll == pytest.approx(other.nll, rel=0.1)
                assert one.nll != other.nll
    finally:
        big.close()
        small.close()


@pytest.mark.parametrize("precision", ["int4", "int8"])
@pytest.mark.parametrize("kind", ["bert", "llama"])
def test_the_same_gives_the_same_bytes(
    kind: str, precision: Any, exports: Any, tmp_path: Path
) -> None:
    source = exports(kind)
    scheme = schemes(precision, read_record(source))[0]
    for name in ("first", "second"):
        quantize(source, tmp_path / name, scheme, calibration=rows(kind))
    first, second = (files(tmp_path / name) for name in ("first", "second"))
    assert first == second
    assert len(first) > 3


def files(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*") if path.is_file()
    }  # fmt: skip


def test_the_rest_of_the_folder_goes_along(exports: Any, tmp_path: Path) -> None:
    source = tmp_path / "source"
    made = exports("bert")
    for name, content in files(made).items():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes(content)
    (source / "notes").mkdir()
    (source / "notes" / "mine.txt").write_text("mine")
    for stale in (GATE, GOLDEN, MANIFEST):
        (source / stale).write_text('{"files": {}}')
    before = files(source)
    quantize(source, tmp_path / "small", schemes("int4", read_record(source))[0])
    after = files(tmp_path / "small")
    assert files(source) == before
    assert set(before) - set(after) == {str(GATE), str(GOLDEN), str(MANIFEST)}
    changed = {name for name in after if after[name] != before[name]}
    assert changed == {"model.onnx", "tinyforge/export.json"}


def test_layers_are_left_as_they_are(exports: Any, tmp_path: Path) -> None:
    source = exports("llama")
    scheme = schemes("int4", read_record(source))[0]
    worst = [name for name, _ in sensitivity(source, scheme, rows("llama"))]
    record = quantize(source, tmp_path / "a", replace(scheme, keep=tuple(worst[:2])))
    graph = Graph(record.graph(tmp_path / "a", "decoder"))
    assert record.scheme["keep"] == worst[:2]
    assert len(record.scheme["left"]) >= 2
    for name in record.scheme["left"]:
        assert any(weight.startswith(name) for weight in graph.names())
    everything = quantize(source, tmp_path / "b", replace(scheme, keep=tuple(worst)))
    wanted = logits(source, source, "llama")
    assert moved(logits(tmp_path / "b", source, "llama"), wanted) < 1e-5
    assert everything.precision == "int4"


def one(graph: Graph, ending: str) -> tuple[str, Any]:
    """The first weight of a name with this ending, to be written to."""
    name = next(each for each in graph.names() if each.endswith(ending))
    return name, np.array(graph.array(name))


def channel_doubled(graph: Graph) -> None:
    name, scales = one(graph, ".dense.scales")
    scales[3] *= 2
    graph.add(name, scales)


def block_doubled(graph: Graph) -> None:
    name, scales = one(graph, ".dense.scales")
    scales[3, 1] *= 2
    graph.add(name, scales)


def code_flipped(graph: Graph) -> None:
    name, codes = one(graph, ".dense.codes")
    codes.reshape(-1)[17] ^= 4
    graph.add(name, codes)


def norm_flipped(graph: Graph) -> None:
    name, norm = one(graph, "LayerNorm.weight")
    norm.view(np.uint32)[5] ^= np.uint32(1)
    graph.add(name, norm)


def bias_moved(graph: Graph) -> None:
    name, bias = one(graph, "dense.bias")
    bias[0] += 1
    graph.add(name, bias)


def half_flipped(graph: Graph) -> None:
    name, stored = one(graph, ".fp16")
    stored.view(np.uint16).reshape(-1)[0] ^= np.uint16(1)
    graph.add(name, stored)


def layers_swapped(graph: Graph) -> None:
    for ending in ("codes", "scales"):
        first, second = (f"bert.encoder.layer.{i}.intermediate.dense.{ending}" for i in (0, 1))
        arrays = [np.array(graph.array(name)) for name in (second, first)]
        for name, array in zip((first, second), arrays, strict=True):
            graph.add(name, array)


def head_scaled(graph: Graph) -> None:
    """Codes that the head and the table of embeddings share."""
    name, scales = one(graph, "lm_head.scales")
    scales[7] *= 3
    graph.add(name, scales)


SPOILT = {
    # What is done: the kind of model, the name of the scheme, and what is said.
    channel_doubled: ("bert", "int8-static", "1 of the 64 parts"),
    block_doubled: ("bert", "int4-fine", "1 of the 128 parts"),
    code_flipped: ("bert", "int8-fine", "1 of the numbers of"),
    norm_flipped: ("bert", "int8-static", "LayerNorm.weight, which is not rounded"),
    bias_moved: ("bert", "int4", "bias"),
    half_flipped: ("bert", "fp16-storage", "1 of the"),
    layers_swapped: ("bert", "int8-static", "intermediate.dense"),
    head_scaled: ("llama", "int8", "lm_head"),
}


@pytest.mark.parametrize("change", SPOILT, ids=lambda change: change.__name__)
def test_what_rounding_does_not_do_is_found(change: Any, exports: Any, tmp_path: Path) -> None:
    kind, name, said = SPOILT[change]
    source = exports(kind)
    scheme = next(each for each in all_schemes(source) if each.name == name)
    record = quantize(source, tmp_path / "small", scheme, calibration=rows(kind))
    path = record.graph(tmp_path / "small", "model" if kind == "bert" else "decoder")
    graph = Graph(path)
    change(graph)
    graph.save(path)
    assert said in compare(source, tmp_path / "small").problem


def test_unpacked_codes_are_those_that_were_packed() -> None:
    rng = np.random.default_rng(0)
    for bits, inputs, block in ((4, 96, 32), (4, 50, 32), (8, 64, 64)):
        count = -(-inputs // block)
        codes = rng.integers(0, 2**bits, (5, inputs)).astype(np.uint8)
        zeros = rng.integers(0, 2**bits, (5, count)).astype(np.uint8)
        grid = Grid(bits, block, np.ones((5, count), np.float32), zeros)
        np.testing.assert_array_equal(unpack(pack_codes(grid, codes), bits, inputs), codes)
        packed = pack_zeros(grid)
        assert packed is not None
        np.testing.assert_array_equal(unpack(packed, bits, count), zeros)


def spoil(model: Any) -> None:
    """Large weights for inputs that are always 0: they say nothing, and coarsen their blocks."""
    layer = model.bert.encoder.layer[1]
    layer.intermediate.dense.bias.data[::16] = -100.0
    layer.output.dense.weight.data[:, ::16] = 40.0


def test_the_layer_that_hurts_most_is_named_first(tmp_path: Path) -> None:
    source = export("bert", tmp_path / "source", spoil)
    scheme = schemes("int4", read_record(source))[0]
    found = sensitivity(source, scheme, rows("bert"))
    harm = [value for _, value in found]
    assert harm == sorted(harm, reverse=True)
    assert found[0][0].endswith("layer.1.output.dense")
    assert harm[0] > 2 * harm[1]
    wanted = logits(source, source, "bert")
    errors = []
    for keep in ((), (found[0][0],), (found[-1][0],)):
        target = tmp_path / f"kept{len(errors)}"
        quantize(source, target, replace(scheme, keep=keep), calibration=rows("bert"))
        errors.append(moved(logits(target, source, "bert"), wanted))
    assert errors[1] < errors[0]
    assert errors[1] < errors[2]


@pytest.mark.parametrize("kind", ["bert", "t5"])
def test_sensitivity_of_whole_numbers(kind: str, exports: Any) -> None:
    source = exports(kind)
    scheme = schemes("int8", read_record(source))[0]
    found = sensitivity(source, scheme, rows(kind))
    names = [name for name, _ in found]
    assert len(names) == len(set(names)) > 6
    assert all(0 <= value < 1 for _, value in found)
    assert found[0][1] > 0


def test_fp32_is_a_copy(exports: Any, tmp_path: Path) -> None:
    source = exports("bert")
    (scheme,) = schemes("fp32", read_record(source))
    quantize(source, tmp_path / "same", scheme)
    np.testing.assert_array_equal(
        logits(tmp_path / "same", source, "bert"), logits(source, source, "bert")
    )


def test_what_cannot_be_done(exports: Any, tmp_path: Path) -> None:
    source = exports("bert")
    record = read_record(source)
    scheme = schemes("int8", record)[0]
    with pytest.raises(DataError, match="no row"):
        sensitivity(source, scheme, [])
    with pytest.raises(SettingError, match="no such layer"):
        quantize(source, tmp_path / "b", replace(scheme, keep=("encoder.layer.7",)))
    quantize(source, tmp_path / "c", scheme)
    with pytest.raises(FolderError, match="not empty"):
        quantize(source, tmp_path / "c", scheme)
    with pytest.raises(ModelError, match="smaller already"):
        quantize(tmp_path / "c", tmp_path / "d", scheme)


@pytest.mark.parametrize(("precision", "method"), [("int8", "dynamic"), ("int4", "blocks")])
def test_without_rows(precision: Any, method: str, exports: Any, tmp_path: Path) -> None:
    source = exports("bert")
    scheme = schemes(precision, read_record(source))[0]
    record = quantize(source, tmp_path / "a", scheme)
    assert record.scheme["name"] == f"{scheme.name}-uncalibrated"
    assert record.scheme["layers"]["model"]["method"] == method
    assert record.scheme["layers"]["model"]["rounding"] == "nearest"
    assert record.scheme["rows"] == 0
    wanted = logits(source, source, "bert")
    assert 0 < moved(logits(tmp_path / "a", source, "bert"), wanted) < BOUNDS[precision]
