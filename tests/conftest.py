"""What several tests share: tiny models with the shapes of well-known ones."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import pytest

# How long an example takes says more about the machine than about the code.
hypothesis.settings.register_profile("any machine", deadline=None)
hypothesis.settings.load_profile("any machine")

LOGGERS = ("tinyforge", "tinyforge.access", "uvicorn", "asyncio")
"""What the command line and the server set up."""

SENTENCES = [
    "reverse: how are you doing today",
    "today doing you are how",
    "the cat sat on the mat",
    "what is your name? i am a small bot. see you soon! goodbye, i answer questions.",
]


Loggers = list[tuple[logging.Logger, list[logging.Handler], bool, int]]


@pytest.fixture(scope="session")
def untouched_loggers() -> Loggers:
    """Each logger that the command line and the server set up, as it is before they do."""
    loggers = [logging.getLogger(name) for name in LOGGERS]
    return [(each, each.handlers[:], each.propagate, each.level) for each in loggers]


@pytest.fixture(autouse=True)
def own_loggers(untouched_loggers: Loggers) -> Iterator[None]:
    """What a test sets up of logging ends with it.

    A command in this process sends the library's notes to standard error, and a server its lines of
    requests. Left in place, they would be written in the tests that follow, and be kept from those
    that read them.
    """
    yield
    for logger, handlers, propagate, level in untouched_loggers:
        logger.handlers[:], logger.propagate = handlers, propagate
        logger.setLevel(level)


@pytest.fixture(scope="session")
def shared_folder() -> Path:
    """The folder of real data beside the checkout; the test is skipped where it is absent."""
    folder = Path(__file__).resolve().parents[2] / "shared"
    if not folder.is_dir():
        pytest.skip("needs the folder of real data beside the checkout (../shared)")
    return folder


@pytest.fixture(scope="session")
def hub_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An HF_HOME in which ``t5-small`` and ``distilbert-base-uncased`` are tiny random models."""
    home = tmp_path_factory.mktemp("hf_home")
    _place(home, "t5-small", _save_t5)
    _place(home, "distilbert-base-uncased", _save_distilbert)
    return home


def _place(home: Path, name: str, save: Callable[[Path], None]) -> None:
    repository = home / "hub" / f"models--{name.replace('/', '--')}"
    commit = hashlib.sha1(name.encode()).hexdigest()
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(commit)
    snapshot = repository / "snapshots" / commit
    snapshot.mkdir(parents=True)
    save(snapshot)


def _save_t5(folder: Path) -> None:
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers
    from tokenizers.decoders import Metaspace
    from transformers import PreTrainedTokenizerFast, T5Config, T5ForConditionalGeneration

    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = Metaspace()
    special = ["<pad>", "</s>", "<unk>"]
    tokenizer.train_from_iterator(
        SENTENCES * 4,
        trainers.UnigramTrainer(vocab_size=150, special_tokens=special, unk_token="<unk>"),
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", 1)]
    )
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    ).save_pretrained(folder)
    torch.manual_seed(0)
    config = T5Config(
        vocab_size=len(tokenizer.get_vocab()), d_model=32, d_kv=8, d_ff=64, num_layers=2,
        num_heads=4, decoder_start_token_id=0, pad_token_id=0, eos_token_id=1,
    )  # fmt: skip
    T5ForConditionalGeneration(config).save_pretrained(folder)


def _save_distilbert(folder: Path) -> None:
    import torch
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
    from tokenizers.decoders import WordPiece
    from transformers import DistilBertConfig, DistilBertForMaskedLM, PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = WordPiece()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer.train_from_iterator(
        SENTENCES, trainers.WordPieceTrainer(vocab_size=200, special_tokens=special)
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]",
        sep_token="[SEP]", mask_token="[MASK]", model_max_length=512,
    ).save_pretrained(folder)  # fmt: skip
    torch.manual_seed(0)
    config = DistilBertConfig(
        vocab_size=len(tokenizer.get_vocab()), dim=32, n_layers=2, n_heads=4, hidden_dim=64
    )
    DistilBertForMaskedLM(config).save_pretrained(folder)
