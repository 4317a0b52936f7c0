"""The tokenizer of a model folder, and the special tokens that training needs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tinyforge.errors import ModelError
from tinyforge.models.folder import TOKENIZER_FILES, read_json
from tinyforge.models.quiet import quiet

PAD_LIKE = ("<pad>", "[PAD]", "<|pad|>", "<|padding|>", "<|finetune_right_pad_id|>")
"""Names under which vocabularies keep a padding token, though the tokenizer does not say so."""

NEW_PAD = "<|pad|>"
NEW_EOS = "<|endoftext|>"


def load_tokenizer(folder: Path, *, trust_remote_code: bool = False) -> Any:
    """The tokenizer in a folder.

    Raises:
        ModelError: there is none, or its files are damaged.
    """
    from transformers import AutoTokenizer

    if not any((folder / name).is_file() for name in TOKENIZER_FILES):
        raise ModelError(
            "there are no tokenizer files (tokenizer.json)",
            where=str(folder),
            fix="Copy the model's tokenizer files into the folder",
        )
    for name in ("tokenizer.json", "tokenizer_config.json"):
        if (folder / name).is_file():
            read_json(folder / name)
    try:
        with quiet():
            tokenizer = AutoTokenizer.from_pretrained(
                str(folder), local_files_only=True, trust_remote_code=trust_remote_code
            )
    except Exception as error:  # the Rust and Python tokenizers raise anything, bare Exception too
        raise ModelError(
            "the tokenizer cannot be loaded",
            where=str(folder),
            value=str(error).split("\n")[0],
            fix="Copy or download the model again",
        ) from error
    if len(tokenizer) == 0:
        raise ModelError("the tokenizer has an empty vocabulary", where=str(folder))
    return tokenizer


def check_vocabulary(model: Any, tokenizer: Any, *, name: str) -> None:
    """Raises ModelError where the tokenizer has tokens for which the model has no embedding."""
    rows, needed = embedding_rows(model), highest_id(tokenizer) + 1
    if needed > rows:
        raise ModelError(
            f"the tokenizer has ids up to {needed - 1}, but the model has {rows} embeddings: they "
            "do not belong together",
            where=name,
            fix="Use the tokenizer files that came with the model",
        )


def embedding_rows(model: Any) -> int:
    """Rows of the input embeddings: the number of token ids that the model can read."""
    return int(model.get_input_embeddings().weight.shape[0])


def highest_id(tokenizer: Any) -> int:
    """The largest token id of a tokenizer."""
    return int(max(tokenizer.get_vocab().values()))


def add_special_tokens(model: Any, tokenizer: Any, *, generates: bool) -> list[str]:
    """Makes sure of a pad token that is not the end token, and of an end token.

    A token that no spare embedding row is there for is given a new row, the mean of the others.
    Tokenizer, config and generation config agree afterwards. Call it under a fixed seed.

    Returns:
        Notes for the user.
    """
    notes = []
    if generates and tokenizer.eos_token_id is None:
        eos = _configured_eos(model, tokenizer)
        tokenizer.add_special_tokens({"eos_token": eos})
        notes.append(f"the tokenizer names no end token: {eos} is used")
    if tokenizer.pad_token_id is None or tokenizer.pad_token_id == tokenizer.eos_token_id:
        vocabulary = tokenizer.get_vocab()
        known = [t for t in PAD_LIKE if t in vocabulary and t != tokenizer.eos_token]
        pad = known[0] if known else NEW_PAD
        tokenizer.add_special_tokens({"pad_token": pad})
        notes.append(
            f"padding: the model's own token {pad} is used"
            if known
            else f"padding: the token {pad} was added, because the end token must not be padding"
        )
    if highest_id(tokenizer) + 1 > embedding_rows(model):
        grow_embeddings(model, highest_id(tokenizer) + 1)
    _agree(model, tokenizer)
    return notes


def _configured_eos(model: Any, tokenizer: Any) -> str:
    known = model.config.eos_token_id
    known = known[0] if isinstance(known, list | tuple) and known else known
    if isinstance(known, int) and 0 <= known < len(tokenizer):
        return str(tokenizer.convert_ids_to_tokens(known))
    return NEW_EOS


def grow_embeddings(model: Any, size: int) -> None:
    """Gives the model embeddings for ``size`` tokens; a new row is the mean of the old ones."""
    import torch

    old = embedding_rows(model)
    with quiet():
        model.resize_token_embeddings(size, mean_resizing=False)
    layers = {id(layer.weight): layer for layer in _token_layers(model)}
    with torch.no_grad():
        for layer in layers.values():
            layer.weight[old:] = layer.weight[:old].mean(dim=0)


def _token_layers(model: Any) -> list[Any]:
    output = model.get_output_embeddings()
    return [model.get_input_embeddings(), *([output] if output is not None else [])]


def _agree(model: Any, tokenizer: Any) -> None:
    """Writes the tokenizer's ids into the configs."""
    configs = [model.config]
    inner = model.config.get_text_config(decoder=True)
    if inner is not model.config:
        configs.append(inner)
    for config in configs:
        config.pad_token_id = tokenizer.pad_token_id
        if tokenizer.eos_token_id is not None:
            config.eos_token_id = tokenizer.eos_token_id
    if model.config.is_encoder_decoder and model.config.decoder_start_token_id is None:
        model.config.decoder_start_token_id = tokenizer.pad_token_id
    generation = getattr(model, "generation_config", None)
    if generation is None:
        return
    generation.pad_token_id = tokenizer.pad_token_id
    ends = generation.eos_token_id
    ends = list(ends) if isinstance(ends, list | tuple) else [] if ends is None else [ends]
    if tokenizer.eos_token_id is not None and tokenizer.eos_token_id not in ends:
        ends.insert(0, tokenizer.eos_token_id)
    generation.eos_token_id = ends[0] if len(ends) == 1 else ends or None
    if model.config.is_encoder_decoder and generation.decoder_start_token_id is None:
        generation.decoder_start_token_id = model.config.decoder_start_token_id


def lend_pad_token(model: Any, tokenizer: Any) -> None:
    """Gives a tokenizer without padding one of its tokens to pad batches with, when answering.

    Padding is masked there and nothing is learnt, so that any token will do, and the model's
    vocabulary stays as it is.
    """
    if tokenizer.pad_token_id is None:
        lent = tokenizer.eos_token or tokenizer.unk_token or tokenizer.convert_ids_to_tokens(0)
        tokenizer.pad_token = lent
    if model.config.pad_token_id is None:
        model.config.pad_token_id = tokenizer.pad_token_id
