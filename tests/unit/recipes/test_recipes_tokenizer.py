"""From texts to a tokenizer's folder, and back to what it makes of texts."""

from __future__ import annotations

import hashlib
import json
import random
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from tinyforge.config.tokenizer import TokenizerSettings
from tinyforge.errors import DataError, FolderError, SettingError
from tinyforge.models.embedding_cost import embedding_costs
from tinyforge.recipes.tokenizer import learn_tokenizer
from tinyforge.recipes.tokenizer_measure import measure_tokenizers, sort_words
from tinyforge.recipes.verify import verify


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("texts")
    draw = random.Random(0)
    words = [f"{a}{b}{c}" for a in "bdkt" for b in "aeio" for c in ("", "n", "ster", "ling")]
    weights = [1 / (rank + 1) for rank in range(len(words))]
    for name in ("one", "two"):
        (folder / name).mkdir()
        for number in range(6):
            lines = [" ".join(draw.choices(words, weights, k=12)) + "." for _ in range(60)]
            (folder / name / f"{number}.txt").write_text("\n".join(lines), encoding="utf-8")
    return folder


def digest(folder: Path) -> str:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    parts = [str(f.relative_to(folder)).encode() + b"\0" + f.read_bytes() for f in files]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def test_the_folder_loads_plainly_and_says_what_it_was_learnt_from(
    texts: Path, tmp_path: Path
) -> None:
    settings = TokenizerSettings(vocab_size=300)
    learnt = learn_tokenizer([str(texts)], output=tmp_path / "t", settings=settings)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "t")
    assert len(tokenizer) == 300
    text = "banster kon\n  “né”."
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text
    record = json.loads((tmp_path / "t" / "tinyforge" / "tokenizer.json").read_text())
    assert record["kind"] == "bpe"
    assert record["round_trip"] == {"exact": True, "why_not": None}
    files = list(texts.rglob("*.txt"))
    assert record["corpus"]["documents"] == len(files) == 12
    assert record["corpus"]["bytes"] == sum(file.stat().st_size for file in files)
    assert record["sample_bytes"] == record["corpus"]["bytes"]
    assert verify(tmp_path / "t").problems == []
    assert learnt.to_json()["vocab_size"] == 300
    assert "every text comes back byte for byte" in learnt.summary()


@pytest.mark.parametrize(
    ("family", "kind"),
    [("decoder", None), ("encoder", None), ("encoder-decoder", "unigram"), ("decoder", "words")],
)
def test_the_same_text_gives_the_same_folder(
    texts: Path, tmp_path: Path, family: str, kind: str | None
) -> None:
    settings = TokenizerSettings.model_validate(
        {"family": family, "kind": kind, "vocab_size": 420, "sample_bytes": 20_000}
    )
    for name in ("a", "b"):
        learn_tokenizer([str(texts)], output=tmp_path / name, settings=settings)
    assert digest(tmp_path / "a") == digest(tmp_path / "b")
    record = json.loads((tmp_path / "a" / "tinyforge" / "tokenizer.json").read_text())
    assert record["sample_bytes"] <= 20_000 < record["corpus"]["bytes"]


def test_auto_takes_the_advice(texts: Path, tmp_path: Path) -> None:
    settings = TokenizerSettings(family="encoder-decoder")
    learnt = learn_tokenizer([str(texts)], output=tmp_path / "t", settings=settings)
    advice = learnt.record["advice"]
    assert len(learnt.tokenizer) <= advice["vocab_size"] + 100
    assert learnt.tokenizer.convert_tokens_to_ids("<extra_id_0>") == len(learnt.tokenizer) - 1
    assert learnt.record["curve"]
    assert advice["why"][0] in learnt.summary()


def test_folders_in_the_way(texts: Path, tmp_path: Path) -> None:
    settings = TokenizerSettings(vocab_size=300)
    own = tmp_path / "own"
    own.mkdir()
    (own / "letter.txt").write_text("keep me")
    with pytest.raises(FolderError, match="not a tokenizer of TinyForge"):
        learn_tokenizer([str(texts)], output=own, settings=settings, force=True)
    learn_tokenizer([str(texts)], output=tmp_path / "t", settings=settings)
    with pytest.raises(FolderError, match="--force"):
        learn_tokenizer([str(texts)], output=tmp_path / "t", settings=settings)
    smaller = TokenizerSettings(vocab_size=280)
    learn_tokenizer([str(texts)], output=tmp_path / "t", settings=smaller, force=True)
    assert len(AutoTokenizer.from_pretrained(tmp_path / "t")) == 280
    assert sorted(path.name for path in tmp_path.iterdir()) == ["own", "t"]
    with pytest.raises(SettingError, match="too small"):
        learn_tokenizer(
            [str(texts)], output=tmp_path / "u", settings=TokenizerSettings(vocab_size=99)
        )
    assert not (tmp_path / "u").exists()


def test_tokenizers_are_measured_side_by_side(texts: Path, tmp_path: Path) -> None:
    for name, size in (("small", 280), ("large", 400)):
        learn_tokenizer(
            [str(texts)], output=tmp_path / name, settings=TokenizerSettings(vocab_size=size)
        )
    words = [str(tmp_path / "small"), str(tmp_path / "large" / "tokenizer.json"),
             str(texts / "one"), str(texts / "two")]  # fmt: skip
    found = measure_tokenizers(words)
    small, large = (found.tokenizers[name] for name in words[:2])
    assert large.all.bytes_per_token > small.all.bytes_per_token > 1
    assert small.exact
    assert large.exact
    assert set(large.by_source) == set(small.by_source)
    assert len(large.by_source) == 2
    plain = found.to_json()
    share = plain["tokenizers"][words[0]]["embedding_share"]["gpt-tiny"]
    assert 0 < share < plain["tokenizers"][words[1]]["embedding_share"]["gpt-tiny"] < 1
    shown = found.render()
    assert "bytes/token" in shown
    assert "gpt-tiny" in shown


def test_a_curve_needs_no_tokenizer(texts: Path) -> None:
    told: list[str] = []
    found = measure_tokenizers([str(texts)], with_curve=True, tell=told.append)
    assert found.tokenizers == {}
    assert found.advice is not None
    assert set(found.advice_shares) == {"gpt-tiny", "gpt-small", "gpt-medium"}
    assert "advice: " in found.render()
    assert "trying 512 entries" in told


def test_mistakes(texts: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="names no tokenizer"):
        measure_tokenizers([str(texts)])
    learn_tokenizer([str(texts)], output=tmp_path / "t", settings=TokenizerSettings(vocab_size=300))
    with pytest.raises(DataError, match="no texts"):
        measure_tokenizers([str(tmp_path / "t")])
    assert sort_words(["gpt2/x", "a.txt", str(texts), str(tmp_path / "t")]) == (
        ["gpt2/x", str(tmp_path / "t")],
        ["a.txt", str(texts)],
    )


def test_embedding_costs_are_those_of_the_models() -> None:
    """Checked by hand for one preset: Llama's matrices, tied embeddings."""
    costs = {cost.preset: cost for cost in embedding_costs()}
    tiny = costs["gpt-tiny"]
    layer = 2 * 128 * 128 + 2 * 128 * 64 + 3 * 128 * 352 + 2 * 128
    assert tiny.row == 128
    assert tiny.body == 4 * layer + 128
    assert tiny.share(4096) == pytest.approx(4096 * 128 / (4096 * 128 + tiny.body))
    assert {cost.family for cost in costs.values()} == {"encoder", "encoder-decoder", "decoder"}
