"""From raw text to tokens on disk: the corpus, its tokenizer, and what a model is measured on."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from tinyforge.artifacts.run_folder import CORPUS, TOKENIZER, TOKENS, RunFolder
from tinyforge.config.pretrain import PretrainRunSettings
from tinyforge.corpus.mix import Mix
from tinyforge.corpus.parts import Parts, open_parts
from tinyforge.corpus.prepared import is_prepared
from tinyforge.corpus.token_shards import TokenStore, open_tokens, total_tokens, write_tokens
from tinyforge.errors import SettingError
from tinyforge.models.dial import preset_of
from tinyforge.models.tokens import load_tokenizer
from tinyforge.recipes.pretrain_plan import MINUTES
from tinyforge.records.documents import Document
from tinyforge.tasks.pretraining import FAMILIES
from tinyforge.tasks.pretraining.span_corruption import SENTINELS, add_sentinels
from tinyforge.text.tokenizer_training import default_vocab_size, sample_texts, train_tokenizer

if TYPE_CHECKING:
    from tinyforge.recipes.prepare_result import Step

log = logging.getLogger("tinyforge")

VOCABULARIES = ((10.0, 2_048), (60.0, 4_096), (600.0, 8_192))
"""Minutes of training to the largest vocabulary that they are worth on a processor."""
LARGEST_VOCABULARY = 16_384


@dataclass
class Text:
    """Everything that there is to learn from.

    Attributes:
        held_out: how the test part was held out, in words.
        training, validation: tokens on disk.
        reasons: a line for each choice.
    """

    corpus: Parts
    held_out: str
    tokenizer: Any
    training: TokenStore
    validation: TokenStore
    reasons: list[str]

    @property
    def unique_tokens(self) -> int:
        """Of the training part."""
        return total_tokens(self.training)

    def documents(self, part: str) -> int:
        """How many documents a part on disk has."""
        store = self.training if part == "train" else self.validation
        return sum(store.documents(source) for source in store.sources)


def get_text(sources: Sequence[str], settings: PretrainRunSettings, folder: RunFolder) -> Text:
    """Prepare raw files, train a tokenizer, write tokens; what is there already is used again."""
    if settings.pretrain.prepare and not any(is_prepared(Path(source)) for source in sources):
        sources = [str(_prepare(sources, settings, folder))]
    corpus, held_out = open_parts(
        sources, settings.prepare.read, held_share=settings.pretrain.held_share
    )
    tokenizer, reasons = _tokenizer(corpus, settings, folder)
    _check_weights(settings.pretrain.weights, corpus)
    training = _tokens(corpus, "train", tokenizer, folder)
    validation = _tokens(corpus, "validation", tokenizer, folder)
    reasons.append(f"the test part is {held_out}")
    return Text(corpus, held_out, tokenizer, training, validation, reasons)


def mix_of(store: TokenStore, corpus: Parts, settings: PretrainRunSettings, window: int) -> Mix:
    """The store's windows in their order.

    A weight of 2 is a share that is twice as large as the source's share of the tokens.
    """
    told = {**getattr(corpus, "weights", {}), **settings.pretrain.weights}
    times = {source: told.get(source, 1.0) for source in store.sources}
    weights = None
    if len(set(times.values())) > 1:
        weights = {source: store.tokens(source) * times[source] for source in store.sources}
    return Mix(store, weights, window, settings.train.seed, settings.pretrain.cross_documents)


def forget_text(folder: RunFolder) -> None:
    """Delete what a finished run does not need: tokens can be made again."""
    for name in (TOKENS, TOKENIZER):
        shutil.rmtree(folder.meta / name, ignore_errors=True)


def _prepare(sources: Sequence[str], settings: PretrainRunSettings, folder: RunFolder) -> Path:
    from tinyforge.recipes.prepare import prepare

    output = folder.meta / CORPUS
    log.info(f"preparing the raw text; its report will be in {output / 'tinyforge'}")
    prepare(
        sources, settings=settings.prepare, output_dir=output, resume=output.exists(),
        tell=_teller(),
    )  # fmt: skip
    return output


def _teller() -> Callable[[Step], None]:
    """Says how far preparing is: each stage, and every ten seconds."""
    said, stage = 0.0, ""

    def tell(step: Step) -> None:
        nonlocal said, stage
        if step.stage != stage or time.monotonic() - said > 10:
            said, stage = time.monotonic(), step.stage
            log.info(f"preparing: {step.stage}, {step.done / max(1, step.total):.0%}")

    return tell


def _tokenizer(
    corpus: Parts, settings: PretrainRunSettings, folder: RunFolder
) -> tuple[Any, list[str]]:
    """The user's tokenizer, the one that an earlier part of the run has trained, or a new one."""
    architecture = settings.pretrain.architecture
    path = folder.meta / TOKENIZER
    given = settings.pretrain.tokenizer
    reasons = [f"tokenizer: {given}, as you asked"] if given else []
    if given:
        tokenizer = load_tokenizer(Path(given))
    elif path.is_dir():
        tokenizer = load_tokenizer(path)
    else:
        tokenizer = _train_tokenizer(corpus, settings)
        passing = path.with_name(TOKENIZER + ".part")
        shutil.rmtree(passing, ignore_errors=True)
        tokenizer.save_pretrained(str(passing))
        passing.rename(path)
        tokenizer = load_tokenizer(path)  # as every resumed part of the run will find it
    if architecture == "t5":
        add_sentinels(tokenizer)
    if not given:
        reasons.append(f"tokenizer: {len(tokenizer):,} entries learnt from the training part")
    return tokenizer, reasons


def _train_tokenizer(corpus: Parts, settings: PretrainRunSettings) -> Any:
    chosen = settings.pretrain
    preset = preset_of(chosen.architecture, chosen.size or "small")
    log.info("training a tokenizer on the corpus")
    sample, total = sample_texts(lambda: (document.text for document in corpus.documents("train")))
    largest = preset.vocab_size if chosen.size else _largest_vocabulary(settings)
    size = settings.model.vocab_size or default_vocab_size(total, largest)
    t5 = chosen.architecture == "t5"
    return train_tokenizer(
        sample, chosen.tokenizer_kind or preset.tokenizer, size + (SENTINELS if t5 else 0),
        family=FAMILIES[chosen.architecture],  # type: ignore[arg-type]
        lowercase=chosen.architecture == "bert", sentinels=SENTINELS if t5 else 0,
    )  # fmt: skip


def _largest_vocabulary(settings: PretrainRunSettings) -> int:
    if torch.cuda.is_available():
        return LARGEST_VOCABULARY
    minutes = settings.train.max_minutes or MINUTES
    return next((size for most, size in VOCABULARIES if minutes <= most), LARGEST_VOCABULARY)


def _tokens(corpus: Parts, part: str, tokenizer: Any, folder: RunFolder) -> TokenStore:
    path = folder.meta / TOKENS / part
    log.info(f"writing the tokens of the {part} part")
    path.parent.mkdir(parents=True, exist_ok=True)
    end = tokenizer.eos_token_id
    if end is None:
        end = tokenizer.sep_token_id
    documents = _by_source(corpus, part)
    write_tokens(documents, tokenizer, path, end=end, fingerprint=corpus.fingerprint)
    return open_tokens(path)


def _by_source(corpus: Parts, part: str) -> Iterator[Document]:
    for source in corpus.sources:
        yield from corpus.documents(part, source)


def _check_weights(weights: dict[str, float], corpus: Parts) -> None:
    unknown = sorted(set(weights) - set(corpus.sources))
    if unknown:
        raise SettingError(
            "the corpus has no such source", where=f"pretrain.weights.{unknown[0]}",
            value=unknown[0], fix=f"Its sources: {', '.join(sorted(corpus.sources))}",
        )  # fmt: skip
