"""A classifier and a writing model that answer in milliseconds, for tests of the server alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

TEXTS = [
    "the cat sat on the mat and the dog lay by the door",
    "what is your name? i am a small bot. see you soon! goodbye, i answer questions.",
    '{"name": "value", "numbers": [1, 2, 3], "true": false, "null": null}',
]


def write_classifier(folder: Path) -> Path:
    """A random BERT with three labels, as a run's folder."""
    import torch
    from transformers import BertConfig, BertForSequenceClassification

    from tinyforge.models.save import save_model
    from tinyforge.tasks.classify import Classify

    torch.manual_seed(0)
    tokenizer = _tokenizer()
    config = BertConfig(
        vocab_size=len(tokenizer), hidden_size=32, num_hidden_layers=2, num_attention_heads=4,
        intermediate_size=48, max_position_embeddings=64, num_labels=3,
    )  # fmt: skip
    model = BertForSequenceClassification(config).eval()
    task = Classify(tokenizer, model.config, ("maybe", "no", "yes"), max_length=64)
    save_model(model, tokenizer, folder, task.state())
    return folder


def write_writer(folder: Path) -> Path:
    """A random Llama that chats, exported to ONNX."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from tinyforge.export.graphs import write_graphs
    from tinyforge.inference.torch_model import TorchModel
    from tinyforge.tasks.instruct import Instruct

    torch.manual_seed(0)
    tokenizer = _tokenizer()
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=64, intermediate_size=96, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=256,
        pad_token_id=0, bos_token_id=2, eos_token_id=1, tie_word_embeddings=True,
    )  # fmt: skip
    model = LlamaForCausalLM(config).eval()
    task = Instruct(tokenizer, model.config, max_length=128, max_new_tokens=12)
    write_graphs(TorchModel.from_loaded(model, tokenizer, task), folder)
    return folder


def _tokenizer() -> Any:
    """Byte-level, so that any text can be read."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=320, special_tokens=["<pad>", "<end>", "<start>"], show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )  # fmt: skip
    tokenizer.train_from_iterator(TEXTS, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="<end>", bos_token="<start>"
    )
