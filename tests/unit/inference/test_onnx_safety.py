"""What is refused before anything is loaded."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx_folders import LABELS, graph, keep_outside, record, write_classifier

from tinyforge.artifacts.export_folder import CacheLayout
from tinyforge.artifacts.manifest import write_manifest
from tinyforge.errors import FolderError
from tinyforge.inference.onnx.graph_file import MOST_NODES, read_graph
from tinyforge.inference.onnx.protobuf import MalformedError, Message, signed
from tinyforge.inference.onnx.safety import check_export, ports


@pytest.fixture
def folder(tmp_path):
    return write_classifier(tmp_path / "export")


def test_a_sound_folder_passes(folder, tmp_path):
    assert check_export(folder) == record()
    write_manifest(folder)
    assert check_export(folder).task["labels"] == list(LABELS)
    outside = write_classifier(tmp_path / "two", external="model.onnx.data")
    write_manifest(outside)
    check_export(outside)


def refused(folder: Path, what: str) -> str:
    with pytest.raises(FolderError, match=what) as caught:
        check_export(folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    "location",
    [
        "../secret", "/etc/passwd", "sub/model.data", "..", ".", "", "C:\\secret", "..\\secret",
        "\\\\host\\share", "model.onnx.data/..", "a\0b", "file:///etc/passwd",
    ],
)  # fmt: skip
def test_weights_outside_the_folder_are_refused(tmp_path, location):
    (tmp_path / "secret").write_bytes(b"x" * 10_000)
    folder = write_classifier(tmp_path / "export", external=location)
    refused(folder, "weights outside its folder|a name that is no text")


def test_weights_outside_are_found_in_any_corner(tmp_path):
    """In a node's attribute, and in a branch of a condition."""
    from onnx import TensorProto, helper, numpy_helper

    for nested in (False, True):

        def change(model: Any, nested: bool = nested) -> None:
            tensor = numpy_helper.from_array(np.zeros(4, np.float32), "c")
            keep_outside(tensor, "../secret")
            node = helper.make_node("Constant", [], ["c"])
            attribute = node.attribute.add()
            attribute.name, attribute.type = "value", 4
            attribute.t.CopyFrom(tensor)
            if nested:
                out = helper.make_tensor_value_info("c", TensorProto.FLOAT, [4])
                branch = helper.make_graph([node], "branch", [], [out])
                node = helper.make_node("If", ["x"], ["y"], then_branch=branch, else_branch=branch)
            model.graph.node.append(node)

        folder = write_classifier(tmp_path / f"export{nested}", change=change)
        refused(folder, "weights outside its folder")


def part(number: int, content: bytes) -> bytes:
    """A field that holds bytes."""
    size, length = len(content), b""
    while size > 127:
        length += bytes([size & 127 | 128])
        size >>= 7
    return bytes([number << 3 | 2]) + length + bytes([size]) + content


def test_a_tensor_given_in_two_parts_is_no_way_out(tmp_path):
    """Readers of the format join the parts of a field that is there twice."""
    from onnx import TensorProto, helper

    folder = write_classifier(tmp_path / "export", external="model.onnx.data")
    inside = TensorProto(name="c", data_type=1, dims=[4], raw_data=b"\0" * 16)
    keep_outside(inside, "model.onnx.data")
    outside = TensorProto()
    entry = outside.external_data.add()
    entry.key, entry.value = "location", "../secret"
    attribute = helper.make_attribute("value", 1)
    attribute.ClearField("i")
    attribute.type = 4
    parts = b"".join(part(5, tensor.SerializeToString()) for tensor in (inside, outside))
    node = helper.make_node("Constant", [], ["c"]).SerializeToString()
    node += part(5, attribute.SerializeToString() + parts)
    made = graph(external="model.onnx.data")
    inner = made.graph.SerializeToString() + part(1, node)
    made.ClearField("graph")
    content = made.SerializeToString() + part(7, inner)
    (folder / "model.onnx").write_bytes(content)
    refused(folder, "weights outside its folder")


def test_weights_that_are_missing_or_cut_are_refused(tmp_path):
    folder = write_classifier(tmp_path / "export", external="model.onnx.data")
    data = folder / "model.onnx.data"
    content = data.read_bytes()
    data.write_bytes(content[:-1])
    refused(folder, "cut short")
    data.unlink()
    refused(folder, "file of weights is missing")


@pytest.mark.parametrize("offset", ["-1", "99999999999999999999999", "x", "４"])
def test_an_offset_that_is_none_is_refused(tmp_path, offset):
    def change(model: Any) -> None:
        model.graph.initializer[0].external_data[1].value = offset

    folder = write_classifier(tmp_path / "export", external="model.onnx.data", change=change)
    refused(folder, "not an ONNX graph")


@pytest.mark.parametrize("kind", ["file", "folder", "inner"])
def test_symbolic_links_are_refused(folder, tmp_path, kind):
    target = tmp_path / "elsewhere"
    if kind == "folder":
        target.mkdir()
        (folder / "more").symlink_to(target, target_is_directory=True)
    elif kind == "inner":
        (folder / "tinyforge" / "note.json").symlink_to(tmp_path / "nothing")
    else:
        (folder / "model.onnx").rename(target)
        (folder / "model.onnx").symlink_to(target)
    refused(folder, "symbolic link")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no named pipes")
def test_what_is_no_plain_file_is_refused(folder):
    os.mkfifo(folder / "pipe")
    refused(folder, "no plain file")


@pytest.mark.parametrize(
    "name", ["pytorch_model.bin", "a.pt", "x.pkl", "lib.so", "run.py", "w.npz"]
)
def test_files_that_can_run_code_are_refused(folder, name):
    (folder / name).write_bytes(b"")
    refused(folder, "can run code")


def test_a_graph_that_nobody_named_is_refused(folder):
    (folder / "other.onnx").write_bytes(b"")
    refused(folder, "does not name")


def test_names_and_sizes_are_those_of_the_manifest(folder):
    write_manifest(folder)
    (folder / "README.md").write_text("new")
    refused(folder, "not in the manifest")
    (folder / "README.md").unlink()
    check_export(folder)
    path = folder / "tokenizer.json"
    content = path.read_bytes()
    path.write_bytes(content + b" ")
    refused(folder, "not the size")
    path.unlink()
    refused(folder, "is missing")


def test_operators_from_elsewhere_are_refused(tmp_path):
    from onnx import helper

    def elsewhere(model: Any) -> None:
        model.graph.node.append(helper.make_node("Run", ["x"], ["y"], domain="evil.corp"))

    refused(write_classifier(tmp_path / "a", change=elsewhere), "unknown domain.*evil.corp")

    def context(model: Any) -> None:
        node = helper.make_node("EPContext", ["x"], ["y"], domain="com.microsoft")
        model.graph.node.append(node)

    refused(write_classifier(tmp_path / "b", change=context), "runs code or opens files")

    def unused(model: Any) -> None:  # programs that write graphs name domains that they do not use
        model.opset_import.append(helper.make_opsetid("ai.onnx.ml", 1))

    check_export(write_classifier(tmp_path / "c", change=unused))


def test_functions_are_looked_into(tmp_path):
    from onnx import helper, numpy_helper

    def change(domain: str) -> Any:
        def apply(model: Any) -> None:
            inner = helper.make_node("Go", ["x"], ["y"], domain=domain)
            model.functions.append(
                helper.make_function("own", "F", ["x"], ["y"], [inner], model.opset_import)
            )
            model.graph.node.append(helper.make_node("F", ["a"], ["b"], domain="own"))

        return apply

    check_export(write_classifier(tmp_path / "a", change=change("com.microsoft")))
    refused(write_classifier(tmp_path / "b", change=change("evil")), "unknown domain")

    def default(model: Any) -> None:
        change("com.microsoft")(model)
        attribute = model.functions[0].attribute_proto.add()
        attribute.name, attribute.type = "value", 4
        attribute.t.CopyFrom(numpy_helper.from_array(np.zeros(4, np.float32), "c"))
        keep_outside(attribute.t, "../secret")

    refused(write_classifier(tmp_path / "c", change=default), "weights outside its folder")


def test_instructions_for_training_and_sparse_weights_are_refused(tmp_path):
    def training(model: Any) -> None:
        model.training_info.add()

    refused(write_classifier(tmp_path / "a", change=training), "training")

    def sparse(model: Any) -> None:
        found = model.graph.sparse_initializer.add()
        found.dims.extend([1 << 40])

    refused(write_classifier(tmp_path / "b", change=sparse), "sparse")


@pytest.mark.parametrize("dims", [[1 << 62, 1 << 62], [-1], [1] * 100, [1000], [3]])
def test_sizes_that_do_not_fit_the_bytes_are_refused(tmp_path, dims):
    def change(model: Any) -> None:
        tensor = model.graph.initializer[1]
        del tensor.dims[:]
        tensor.dims.extend(dims)

    folder = write_classifier(tmp_path / "export", change=change)
    refused(folder, "bytes instead of|negative size|too many dimensions")


def test_numbers_that_are_not_there_are_not_made_room_for(tmp_path):
    def change(model: Any) -> None:
        tensor = model.graph.initializer[1]
        tensor.ClearField("raw_data")
        del tensor.dims[:]
        tensor.dims.extend([1 << 40])
        tensor.float_data.extend([1.0, 2.0])

    refused(write_classifier(tmp_path / "export", change=change), "lacks most of its")


def test_other_inputs_and_outputs_than_the_role_has(tmp_path):
    def without_mask(model: Any) -> None:
        del model.graph.input[1]

    refused(write_classifier(tmp_path / "a", change=without_mask), "inputs are not.*attention_mask")

    def more(model: Any) -> None:
        model.graph.output.add().name = "secret"

    refused(write_classifier(tmp_path / "b", change=more), "outputs are not those.*secret")


def test_a_decoder_needs_every_cache_input():
    layout = CacheLayout("growing", layers=2, heads=1, head_size=4, positions=True)
    layout_record = record(family="decoder", graphs={"decoder": "model.onnx"}, cache=layout)
    inputs, outputs = ports(layout_record, "decoder")
    assert "past_key_values.1.value" in inputs
    assert {"position_ids", "keep"} <= inputs
    assert outputs == {"logits", *(f"present.{i}.{p}" for i in (0, 1) for p in ("key", "value"))}
    both = record(
        family="encoder-decoder", cache=layout, graphs={"encoder": "e.onnx", "decoder": "d.onnx"}
    )
    assert ports(both, "encoder")[1] <= ports(both, "decoder")[0]
    assert "encoder_attention_mask" in ports(both, "decoder")[0]


@pytest.mark.parametrize(
    "cache", [{"layers": 1 << 40}, {"heads": 0}, {"dtype": "object"}, {"kind": "other"},
              {"head_size": "8"}]
)  # fmt: skip
def test_an_absurd_cache_is_refused(tmp_path, cache):
    layout = {"kind": "growing", "layers": 1, "heads": 1, "head_size": 4, **cache}
    folder = write_classifier(
        tmp_path / "export", family="decoder", graphs={"decoder": "model.onnx"},
        cache=CacheLayout(**layout),
    )  # fmt: skip
    refused(folder, "cache that cannot be")


@pytest.mark.parametrize(
    "spoil",
    [
        lambda folder: (folder / "tinyforge" / "export.json").unlink(),
        lambda folder: (folder / "tinyforge" / "export.json").write_text("{"),
        lambda folder: (folder / "model.onnx").unlink(),
        lambda folder: (folder / "model.onnx").write_bytes(b""),
        lambda folder: (folder / "model.onnx").write_bytes(b"PK\x03\x04 a zip file, not a graph"),
        lambda folder: (folder / "model.onnx").write_bytes(b"\x80\x04\x95pickle"),
    ],
)
def test_what_is_missing_or_no_graph_is_refused(folder, spoil):
    spoil(folder)
    with pytest.raises(FolderError):
        check_export(folder)


def test_no_folder_and_no_export(tmp_path):
    refused(tmp_path / "nothing", "no such folder")
    refused(tmp_path, "no export in this folder")


@pytest.mark.parametrize(
    "graphs", [{"model": "../model.onnx"}, {"model": "a/b.onnx"}, {"other": "m"}]
)
def test_a_record_that_names_graphs_elsewhere(folder, graphs):
    path = folder / "tinyforge" / "export.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "graphs": graphs}))
    refused(folder, "outside its folder|does not name the graphs")


def test_a_graph_with_another_ending_is_refused(folder):
    (folder / "model.onnx").rename(folder / "model.ort")
    path = folder / "tinyforge" / "export.json"
    plain = json.loads(path.read_text())
    path.write_text(json.dumps({**plain, "graphs": {"model": "model.ort"}}))
    refused(folder, "not an .onnx file")


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_a_damaged_graph_never_ends_in_anything_but_a_refusal(folder, data):
    """Bytes changed, cut off, or put in: it is read, or refused in one line."""
    path = folder / "model.onnx"
    content = bytearray(path.read_bytes())
    start = len(content)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content) - 1))
        if data.draw(st.booleans()):
            content[at] = data.draw(st.integers(0, 255))
        else:
            content[at:at] = data.draw(st.binary(max_size=6))
    cut = data.draw(st.integers(1, start))
    changed = folder / "changed.onnx"
    changed.write_bytes(bytes(content[:cut] if data.draw(st.booleans()) else content))
    with contextlib.suppress(FolderError):
        read_graph(changed, {"changed.onnx": changed.stat().st_size})


def message(content: bytes) -> list[Any]:
    view = memoryview(content)
    found = Message(view, 0, len(view)).fields()
    return [(n, v if isinstance(v, int) else bytes(v.data[v.start : v.end])) for n, v in found]


def test_the_wire_format():
    # Worked by hand after "Encoding": field 1 = 150, field 2 = "hi", fixed numbers.
    assert message(b"\x08\x96\x01\x12\x02hi") == [(1, 150), (2, b"hi")]
    assert message(b"\x0d\x01\x00\x00\x00\x11\x02" + b"\x00" * 7) == [(1, 1), (2, 2)]
    assert message(b"\x08" + b"\xff" * 9 + b"\x01") == [(1, (1 << 64) - 1)]
    assert signed((1 << 64) - 1) == -1
    assert signed(5) == 5
    numbers = Message(memoryview(b"\x01\x96\x01"), 0, 3).numbers()
    assert numbers == [1, 150]


@pytest.mark.parametrize(
    "content",
    [
        b"\x08", b"\x08\x96", b"\x12\x05hi", b"\x0b", b"\x0f\x00", b"\x00\x01", b"\x0d\x01\x00",
        b"\x08" + b"\xff" * 10, b"\x08" + b"\xff" * 9 + b"\x02", b"\x12\xff\xff\xff\xff\xff\x0f",
    ],
)  # fmt: skip
def test_what_is_no_message_is_refused(content):
    with pytest.raises(MalformedError):
        message(content)


def test_a_part_does_not_reach_beyond_the_message_around_it():
    content = memoryview(b"\x12\x04" + b"\x0a\x03ab" + b"\x08\x01")
    (_, inner), *_ = Message(content, 0, len(content)).fields()
    with pytest.raises(MalformedError, match="where 2 are left"):
        list(inner.fields())


def test_a_name_is_text_and_short():
    with pytest.raises(MalformedError):
        Message(memoryview(b"\xff\xfe"), 0, 2).text()
    long = b"a" * 100_000
    with pytest.raises(MalformedError):
        Message(memoryview(long), 0, len(long)).text()


def test_too_many_operators_are_refused(tmp_path):
    """A node is four bytes: a small file can hold very many."""
    nodes = b"\x0a\x00" * (MOST_NODES + 1)
    size = len(nodes)
    head = b"\x3a" + bytes([size & 127 | 128, size >> 7 & 127 | 128, size >> 14])
    path = tmp_path / "many.onnx"
    path.write_bytes(head + nodes)
    with pytest.raises(FolderError, match="more than"):
        read_graph(path, {"many.onnx": path.stat().st_size})
