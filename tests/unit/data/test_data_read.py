"""Reading rows from files of every format, good and hostile."""

from __future__ import annotations

import codecs
import gzip
import io
import json
import lzma
import tarfile
import zlib
from collections import Counter
from pathlib import Path

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tinyforge.config.data import DataSettings
from tinyforge.data.json_rows import rows_of_array
from tinyforge.data.read import read_rows
from tinyforge.errors import DataError, SettingError
from tinyforge.records.rows import Rejected, Row

ROWS = [{"input": "hello", "output": "Hi"}, {"input": "naïve", "output": "日本"}]


def write(path: Path, data: bytes | str) -> Path:
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path


def read(path: Path, **values: object) -> tuple[list[Row], list[Rejected]]:
    items = list(read_rows(path, DataSettings(**values)))  # type: ignore[arg-type]
    rows = [item for item in items if isinstance(item, Row)]
    return rows, [item for item in items if isinstance(item, Rejected)]


def fields(path: Path, **values: object) -> list[dict[str, object]]:
    rows, bad = read(path, **values)
    assert not bad
    return [row.fields for row in rows]


def jsonl(rows: list[dict[str, str]]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


PACKERS = {
    "": lambda data: data,
    ".gz": gzip.compress,
    ".xz": lzma.compress,
    ".zst": zstandard.ZstdCompressor().compress,
}


@pytest.mark.parametrize("packed", PACKERS)
@pytest.mark.parametrize("suffix", [".jsonl", ".json", ".csv", ".tsv", ".parquet", ".txt"])
def test_every_format_also_packed(tmp_path: Path, suffix: str, packed: str) -> None:
    data: bytes
    expected: list[dict[str, str]] = ROWS
    if suffix == ".jsonl":
        data = jsonl(ROWS).encode()
    elif suffix == ".json":
        data = json.dumps(ROWS, indent=2).encode()
    elif suffix in (".csv", ".tsv"):
        comma = "," if suffix == ".csv" else "\t"
        lines = [["input", "output"], *(list(row.values()) for row in ROWS)]
        data = "".join(comma.join(line) + "\r\n" for line in lines).encode()
    elif suffix == ".parquet":
        pyarrow = pytest.importorskip("pyarrow")
        from pyarrow import parquet

        buffer = io.BytesIO()
        parquet.write_table(pyarrow.Table.from_pylist(ROWS), buffer)
        data = buffer.getvalue()
    else:
        data, expected = b"One.\n\nTwo.\n", [{"text": "One.\n\nTwo."}]
    path = write(tmp_path / f"rows{suffix}{packed}", PACKERS[packed](data))
    assert fields(path) == expected


def test_lines_are_numbered_and_blank_lines_are_no_rows(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", '{"a": 1}\n\n  \r\n{"a": 2}\r\n{"a": 3}')
    rows, bad = read(path)
    assert [row.source.line for row in rows] == [1, 4, 5]
    assert not bad


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"a": 1', "invalid JSON"),
        (b"[1, 2]", "not an object"),
        (b'"text"', "not an object"),
        (b"null", "not an object"),
        (b'{"a": "\xff\xfe"}', "not valid UTF-8"),
        (b'{"a": "\\ud800"}', "lone surrogate"),
        (b'{"a": "\x00"}', "NUL byte"),
        (b'{"a": "' + b"x" * 2000 + b'"}', "row too long"),
        (b"[" * 10_000, "nested too deeply"),
        (b'{"a":' * 10_000 + b"1" + b"}" * 10_000, "nested too deeply"),
    ],
)
def test_a_bad_line_costs_only_itself(tmp_path: Path, line: bytes, reason: str) -> None:
    limit = 1000 if reason == "row too long" else 10**6
    path = write(tmp_path / "a.jsonl", b'{"a": 0}\n' + line + b'\n{"a": 2}\n')
    rows, bad = read(path, max_row_bytes=limit)
    assert [row.fields["a"] for row in rows] == [0, 2]
    assert [(item.reason, item.source.line) for item in bad] == [(reason, 2)]
    assert len(bad[0].excerpt) <= 120


def test_nan_and_infinity_and_repeated_keys_are_read(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", '{"a": NaN, "b": -Infinity, "c": 1, "c": 2}\n')
    found = fields(path)[0]
    assert found["a"] != found["a"]
    assert (found["b"], found["c"]) == (float("-inf"), 2)


@pytest.mark.parametrize("suffix", [".jsonl", ".csv"])
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_encodings_are_found(tmp_path: Path, suffix: str, encoding: str) -> None:
    text = jsonl(ROWS) if suffix == ".jsonl" else "input,output\nhello,Hi\nnaïve,日本\n"
    path = write(tmp_path / f"a{suffix}", text.encode(encoding))
    assert fields(path) == ROWS


def test_other_encodings_by_setting(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "text,label\ncafé,é\n".encode("cp1252"))
    assert fields(path, encoding="cp1252") == [{"text": "café", "label": "é"}]
    with pytest.raises(SettingError, match=r"data\.encoding"):
        read(path, encoding="klingon")


def test_a_file_in_another_encoding_is_one_clear_error(tmp_path: Path) -> None:
    lines = [json.dumps({"a": "é"}, ensure_ascii=False) for _ in range(30)]
    path = write(tmp_path / "a.jsonl", "\n".join(lines).encode("latin-1"))
    with pytest.raises(DataError, match=r"not UTF-8 text: 30 of the first 30.*data\.encoding"):
        read(path)


def test_wrong_utf16_halves_cost_one_row(tmp_path: Path) -> None:
    data = codecs.BOM_UTF16_LE + '{"a": "x"}\n{"a": "'.encode("utf-16-le")
    data += b"\x00\xd8" + '"}\n{"a": "y"}\n'.encode("utf-16-le")
    rows, bad = read(write(tmp_path / "a.jsonl", data))
    assert [row.fields["a"] for row in rows] == ["x", "y"]
    assert [item.reason for item in bad] == ["not valid UTF-8"]


ARRAY = (
    b'[{"a": "]}\\"\\\\"}, {"b": [1, {"c": "{"}]},\n {bad}, 7,\n {"d": "\\u00e9"} ,'
    + b'{"e": "'
    + b"x" * 3000
    + b'"}, {"f": 1}]\n'
)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 100_000])
def test_array_elements_wherever_chunks_end(size: int) -> None:
    chunks = (ARRAY[i : i + size] for i in range(0, len(ARRAY), size))
    items = list(rows_of_array(chunks, "f", 2000))
    rows = [(item.source.line, item.fields) for item in items if isinstance(item, Row)]
    assert rows == [
        (1, {"a": ']}"\\'}),
        (1, {"b": [1, {"c": "{"}]}),
        (3, {"d": "é"}),
        (3, {"f": 1}),
    ]
    bad = [(i.source.line, i.reason) for i in items if isinstance(i, Rejected)]
    assert bad == [(2, "invalid JSON"), (2, "not an object"), (3, "row too long")]


@given(
    st.lists(
        st.dictionaries(
            st.text(max_size=4),
            st.recursive(
                st.none() | st.integers(-9, 9) | st.text(max_size=8),
                lambda inner: st.lists(inner, max_size=3),
                max_leaves=5,
            ),
            max_size=3,
        ),
        max_size=6,
    ),
    st.integers(1, 30),
    st.sampled_from([None, 1]),
)
def test_arrays_are_read_as_json_reads_them(
    rows: list[dict[str, object]], size: int, indent: int | None
) -> None:
    rows = [row for row in rows if "paragraphs" not in row]
    data = json.dumps(rows, indent=indent).encode()
    chunks = (data[i : i + size] for i in range(0, len(data), size))
    items = list(rows_of_array(chunks, "f", 10**6))
    assert [item.fields for item in items if isinstance(item, Row)] == rows


def test_object_with_a_list_of_rows_and_squad(tmp_path: Path) -> None:
    path = write(tmp_path / "a.json", '{"version": "data", "data": [{"a": 1}, {"a": 2}], "x": [3]}')
    assert fields(path) == [{"a": 1}, {"a": 2}]
    answers = [{"text": "Paris", "answer_start": 0}]
    paragraph = {"context": "Paris is…", "qas": [{"question": "Where?", "answers": answers}]}
    squad = json.dumps({"version": "1.1", "data": [{"paragraphs": [paragraph, 7]}]})
    rows, bad = read(write(tmp_path / "b.json", squad))
    assert rows[0].fields == {"question": "Where?", "context": "Paris is…", "answer": "Paris"}
    assert len(bad) == 1


def test_json_lines_in_a_json_file_and_arrays_in_a_jsonl_file(tmp_path: Path) -> None:
    assert fields(write(tmp_path / "a.json", jsonl(ROWS))) == ROWS
    assert fields(write(tmp_path / "a.jsonl", json.dumps(ROWS, indent=1))) == ROWS
    assert fields(write(tmp_path / "a.data", jsonl(ROWS))) == ROWS


@pytest.mark.parametrize("text", ['{"a": 1, "b": [2]}', '[{"a": 1}, {"a": 2}', '[{"a": 1}, {"a"'])
def test_broken_json_files(tmp_path: Path, text: str) -> None:
    path = write(tmp_path / "a.json", "\n" + text)
    if text.startswith("{"):
        assert fields(path) == [{"a": 1, "b": [2]}]
        return
    rows, bad = read(path)
    assert rows[0].fields == {"a": 1}
    assert len(rows) + len(bad) == 2


def test_pretty_object_without_rows_is_an_error(tmp_path: Path) -> None:
    path = write(tmp_path / "a.json", json.dumps({"config": {"a": 1}}, indent=2))
    with pytest.raises(DataError, match="no list of rows"):
        read(path)


def test_csv_quotes_over_lines(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", 'id,text\n1,"two\nlines, ""quoted"""\n2,plain\n')
    rows, bad = read(path)
    assert [row.fields["text"] for row in rows] == ['two\nlines, "quoted"', "plain"]
    assert [row.source.line for row in rows] == [2, 4]
    assert not bad


def test_csv_with_a_wrong_number_of_fields(tmp_path: Path) -> None:
    rows, bad = read(write(tmp_path / "a.csv", "text,label\na,b\nc\nd,e,f\n\ng,h\n"))
    assert [row.fields["text"] for row in rows] == ["a", "g"]
    assert [(i.reason, i.source.line) for i in bad] == [
        ("wrong number of fields", 3),
        ("wrong number of fields", 4),
    ]


def test_a_stray_quote_does_not_swallow_the_file(tmp_path: Path) -> None:
    lines = [f"text {i},label" for i in range(300)]
    lines[50] = '"text 50,label'
    rows, bad = read(write(tmp_path / "a.csv", "text,label\n" + "\n".join(lines) + "\n"))
    assert len(rows) + len(bad) == 300
    assert len(rows) >= 299


def test_quotes_in_tsv_are_literal_where_lines_are_rows(tmp_path: Path) -> None:
    text = 'source\ttarget\n"Hello, he said\tx\nb\ty\nc\t"quoted" z\n"d" e\tv\n'
    rows, bad = read(write(tmp_path / "a.tsv", text))
    assert not bad
    assert rows[0].fields == {"source": '"Hello, he said', "target": "x"}
    assert len(rows) == 4


def test_csv_without_header_and_other_delimiters(tmp_path: Path) -> None:
    text = "ham\tGo until jurong point\nspam\tFree entry now\nham\tOk lar\n"
    assert fields(write(tmp_path / "a.tsv", text))[0] == {
        "column_1": "ham",
        "column_2": "Go until jurong point",
    }
    text = "text;label\nwell, well;a\nso, what;b\n"
    assert fields(write(tmp_path / "b.csv", text))[0] == {"text": "well, well", "label": "a"}
    text = "utterance_long;kind\nwhat is the weather like in Paris today;7\nis it rain;8\n"
    assert len(fields(write(tmp_path / "c.csv", text))) == 2


def test_csv_line_and_field_limits(tmp_path: Path) -> None:
    long = "x" * 200_000
    path = write(tmp_path / "a.csv", f'text,label\n"{long}",a\n{long},b\nc,d\n')
    assert len(fields(path)) == 3
    rows, bad = read(path, max_row_bytes=1000)
    assert [row.fields["text"] for row in rows] == ["c"]
    assert [i.reason for i in bad] == ["row too long"] * 2


def test_text_passages(tmp_path: Path) -> None:
    paragraphs = ["\n".join(f"p{p} line {i} " + "w " * 20 for i in range(8)) for p in range(12)]
    long = "word " * 3000
    path = write(tmp_path / "a.txt", "\n\n".join([*paragraphs, long]))
    rows, bad = read(path)
    assert not bad
    texts = [str(row.fields["text"]) for row in rows]
    assert all(len(text) <= 2000 for text in texts)
    assert "".join(texts).split() == path.read_text().split()
    lines = path.read_text().split("\n")
    for row in rows:
        first = str(row.fields["text"]).split("\n")[0]
        assert first in lines[row.source.line - 1]


def test_bombs_and_broken_packings(tmp_path: Path) -> None:
    bomb = write(tmp_path / "bomb.jsonl.gz", gzip.compress(b'{"a": 1}\n' * 200_000))
    with pytest.raises(DataError, match=r"more than 1,000 bytes.*max_file_bytes"):
        read(bomb, max_file_bytes=1000)
    whole = jsonl([{"a": f"{i} {zlib.crc32(b'%d' % i)}"} for i in range(20_000)]).encode()
    for suffix, packer in list(PACKERS.items())[1:]:
        packed = packer(whole)
        cut = write(tmp_path / f"cut.jsonl{suffix}", packed[: len(packed) // 2])
        rows, bad = read(cut)
        assert [item.reason for item in bad] == ["file breaks off"]
        if suffix == ".gz":
            assert len(rows) > 1000
            assert bad[0].source.line == len(rows) + 1
    flipped = bytearray(gzip.compress(whole))
    flipped[-6] ^= 255
    rows, bad = read(write(tmp_path / "crc.jsonl.gz", bytes(flipped)))
    assert "damaged" in bad[-1].detail
    two = write(tmp_path / "two.jsonl.gz", gzip.compress(b'{"a":1}\n') + gzip.compress(b'{"a":2}'))
    assert len(fields(two)) == 2


def test_missing_and_impossible_sources(tmp_path: Path) -> None:
    write(tmp_path / "my_data.jsonl", jsonl(ROWS))
    with pytest.raises(DataError, match=r"Did you mean .*my_data\.jsonl"):
        read(tmp_path / "my_dta.jsonl")
    with pytest.raises(DataError, match="folder"):
        read(tmp_path)
    for empty in (b"", b"\n\n", gzip.compress(b"")):
        with pytest.raises(DataError, match="empty"):
            read(write(tmp_path / "empty.jsonl", empty))
    with pytest.raises(DataError, match="ZIP"):
        read(write(tmp_path / "a.csv", b"PK\x03\x04abc"))
    with pytest.raises(DataError, match=r"data\.format"):
        read(write(tmp_path / "a.dat", b"hello"))
    with pytest.raises(DataError, match="no such file"):
        list(read_rows("nul\0byte.jsonl", DataSettings()))
    with tarfile.open(tmp_path / "t.tar.xz", "w:xz") as archive:
        archive.add(tmp_path / "my_data.jsonl")
    with pytest.raises(DataError, match="tar"):
        read(tmp_path / "t.tar.xz")
    with pytest.raises(DataError, match="Parquet"):
        read(write(tmp_path / "a.parquet", b"PAR1 not really"))


def test_rows_in_memory() -> None:
    pandas = pytest.importorskip("pandas")
    polars = pytest.importorskip("polars")
    datasets = pytest.importorskip("datasets")
    table = {"text": ["a", "b"], "label": [0, 1]}
    rows = [{"text": "a", "label": 0}, {"text": "b", "label": 1}]
    features = datasets.Features(
        text=datasets.Value("string"), label=datasets.ClassLabel(names=["no", "yes"])
    )
    named = datasets.Dataset.from_dict(table, features=features)
    for source in (rows, pandas.DataFrame(table), polars.DataFrame(table)):
        found = list(read_rows(source, DataSettings()))
        assert [row.fields for row in found if isinstance(row, Row)] == rows
    found = list(read_rows(datasets.DatasetDict(train=named), DataSettings()))
    assert [row.fields["label"] for row in found if isinstance(row, Row)] == ["no", "yes"]
    mixed = list(read_rows([{"a": 1}, "text", 7], DataSettings()))
    assert [type(item) for item in mixed] == [Row, Rejected, Rejected]
    with pytest.raises(DataError, match="cannot be read from a int"):
        list(read_rows(7, DataSettings()))


def test_a_hub_id_without_hub_and_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("datasets")
    monkeypatch.setattr("tinyforge.data.object_rows._answers", lambda name: False)
    with pytest.raises(DataError, match=r"nobody/nothing: .*out of reach.*local file"):
        list(read_rows("nobody/nothing", DataSettings()))
    with pytest.raises(DataError, match="folder 'nobody' does not exist"):
        list(read_rows("nobody/rows.jsonl", DataSettings()))


def test_several_files_and_max_rows(tmp_path: Path) -> None:
    paths = [write(tmp_path / f"{i}.jsonl", jsonl(ROWS)) for i in range(2)]
    assert len(list(read_rows(paths, DataSettings()))) == 4
    assert len(list(read_rows(paths, DataSettings(max_rows=3)))) == 3


PIECES = st.lists(
    st.sampled_from(
        [b'{"text": "a", "label": "b"}', b"\n", b"\r\n", b'"', b",", b"\t", b"{", b"[", b"]", b"}",
         b"\xff", b"\0", b"\xef\xbb\xbf", b"text,label", b"a,b", b"NaN", b"\\", b"1", b" "]
    ) | st.binary(max_size=6),
    max_size=40,
)  # fmt: skip


@pytest.mark.parametrize("suffix", [".jsonl", ".json", ".csv", ".tsv", ".txt", ".jsonl.gz"])
@settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(pieces=PIECES)
def test_any_bytes_are_read_or_refused(tmp_path: Path, suffix: str, pieces: list[bytes]) -> None:
    data = b"".join(pieces)
    path = write(tmp_path / f"fuzz{suffix}", data)
    try:
        items = list(read_rows(path, DataSettings(max_row_bytes=1000)))
    except DataError:
        return
    kinds = Counter(type(item) for item in items)
    assert set(kinds) <= {Row, Rejected}
    if suffix == ".jsonl" and not data.lstrip(b"\xef\xbb\xbf \t\r\n\x0b\x0c").startswith(b"["):
        lines = {item.source.line for item in items}
        assert len(lines) == len(items)
    for item in items:
        if isinstance(item, Rejected):
            assert item.reason
            item.excerpt.encode("utf-8")
