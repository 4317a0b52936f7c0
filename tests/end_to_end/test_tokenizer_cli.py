"""``tinyforge tokenizer`` as it is typed."""

from __future__ import annotations

from pathlib import Path

import pytest
from command_line import last_object

from tinyforge.cli.main import main


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("book") / "book.txt"
    lines = [
        f"Chapter {i}. The cat number {i} sat on the mat and said: “Well!”" for i in range(900)
    ]
    path.write_text("\n".join(lines), encoding="utf-8")
    return str(path)


def test_learn_and_measure(book: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = str(tmp_path / "tokenizer")
    words = ["tokenizer", "train", book, "--output", folder, "--vocab-size", "300"]
    assert main([*words, "--json"]) == 0
    found = last_object(capsys.readouterr().out)
    assert found["output_dir"] == folder
    assert found["vocab_size"] == 300
    assert main(["verify", folder]) == 0
    capsys.readouterr()
    assert main(["tokenizer", "measure", folder, book, "--json"]) == 0
    measured = last_object(capsys.readouterr().out)["tokenizers"][folder]
    assert measured["vocab_size"] == 300
    assert measured["bytes_per_token"] > 2
    assert measured["round_trip"]["exact"] is True
    assert main(["tokenizer", "measure", folder, book]) == 0
    assert "share of parameters" in capsys.readouterr().out
    assert main(words) == 2
    assert "--force" in capsys.readouterr().err
    assert main([*words, "--force", "--kind", "words"]) == 0
    assert "every text comes back byte for byte" in capsys.readouterr().out


def test_a_curve(book: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tokenizer", "measure", "--curve", book]) == 0
    captured = capsys.readouterr()
    assert "advice: " in captured.out
    assert "trying 512 entries" in captured.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["train", "BOOK"], "Missing option '--output'"),
        (["train", "no.txt", "--output", "out"], "no.txt"),
        (["train", "BOOK", "--output", "out", "--vocab-size", "x"], "tokenizer.vocab_size"),
        (["train", "BOOK", "--output", "out", "--vocab-size", "100"], "Give at least 259"),
        (["train", "BOOK", "--output", "out", "--no-bytes"], "has no effect on bpe"),
        (["measure", "BOOK"], "names no tokenizer"),
        (["measure", "BOOK", "--kind", "words"], "--kind: has no effect without --curve"),
        (["mesure", "BOOK"], "No such command 'mesure'"),
    ],
)
def test_mistakes_end_in_one_line(
    words: list[str], said: str, book: str, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert main(["tokenizer", *(book if word == "BOOK" else word for word in words)]) == 2
    shown = capsys.readouterr().err
    assert said in shown
    assert "Traceback" not in shown
    assert list(tmp_path.iterdir()) == []
