"""Sentence vectors: the mean of an encoder's last states over a text's tokens.

Reimers and Gurevych 2019, "Sentence-BERT"; the pooling that MiniLM and its kin were trained with.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from tinyforge.inference.batching import by_length, reading_budget
from tinyforge.inference.modes import answering
from tinyforge.models.quiet import quiet

_LONGEST = 256
_CHUNK = 2_048


def sentence_vectors(folder: Path, texts: Sequence[str]) -> NDArray[np.float32]:
    """A vector of length 1 for each text: shape (texts, width).

    Args:
        folder: a Hugging Face folder of an encoder with its tokenizer.
        texts: cut after 256 tokens.
    """
    from transformers import AutoModel, AutoTokenizer

    with quiet():
        tokenizer = AutoTokenizer.from_pretrained(str(folder))
        model = AutoModel.from_pretrained(str(folder)).eval()
    found = np.empty((len(texts), model.config.hidden_size), dtype=np.float32)
    with answering(model):
        for start in range(0, len(texts), _CHUNK):
            chunk = list(texts[start : start + _CHUNK])
            rows = tokenizer(chunk, truncation=True, max_length=_LONGEST)["input_ids"]
            lengths = [len(row) for row in rows]
            for batch in by_length(lengths, rows=len(rows), tokens=reading_budget("cpu")):
                padded = tokenizer.pad({"input_ids": [rows[i] for i in batch]}, return_tensors="pt")
                states = model(**padded).last_hidden_state
                mask = padded["attention_mask"].unsqueeze(-1)
                means = (states * mask).sum(1) / mask.sum(1).clamp(min=1)
                vectors = torch.nn.functional.normalize(means, dim=1)
                found[[start + i for i in batch]] = vectors.float().numpy()
    return found
