"""Whether a graph gives the numbers of its model: a few random rows of different lengths."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tinyforge.artifacts.export_folder import HIDDEN, PLACES, CacheLayout

Ids = NDArray[np.int64]
Floats = NDArray[np.float32]

TOLERANCE = 2e-4
"""Of logits in float32, measured against the largest of them or 1; graphs that are right are ten
times closer, wrong ones a hundred times further off."""

LENGTHS = (9, 1, 6)
"""Tokens of the rows."""

STEPS = (5, 3, 1)
"""Tokens that a decoder reads at once: a prompt, more of it onto a past, one that it wrote."""


class Mismatch(Exception):  # noqa: N818 - it ends an attempt, not the export
    """A graph gives other numbers than its model."""


def try_classifier(model: Any, path: Path) -> None:
    """Raises Mismatch where a classifier's graph gives other logits, or hidden states."""
    ids, mask = rows_of(model, LENGTHS)
    tensors = {"input_ids": torch.from_numpy(ids), "attention_mask": torch.from_numpy(mask)}
    with torch.no_grad():
        wanted = model(**tensors)
    graph = Graph(path)
    feeds = {"input_ids": ids, "attention_mask": mask}
    found = graph.run(feeds)
    compare("logits", found["logits"], wanted.logits)
    if HIDDEN in found:
        with torch.no_grad():
            states = model.base_model(**tensors)[0]
        if graph.has_places:
            found = graph.run({**feeds, PLACES: np.arange(ids.shape[1])}, [HIDDEN])
        compare_states(found[HIDDEN], states, mask)


def try_encoder_decoder(model: Any, paths: Mapping[str, Path]) -> None:
    """Raises Mismatch where the encoder gives other states, or the decoder other logits, step by
    step, than when it reads all at once."""
    ids, mask = rows_of(model, LENGTHS)
    target, _ = rows_of(model, [sum(STEPS)] * len(LENGTHS), seed=1)
    with torch.no_grad():
        wanted = model(
            input_ids=torch.from_numpy(ids), attention_mask=torch.from_numpy(mask),
            decoder_input_ids=torch.from_numpy(target),
        ).logits  # fmt: skip
    crosses = Graph(paths["encoder"]).run({"input_ids": ids, "attention_mask": mask})
    with torch.no_grad():
        states = model.encoder(
            input_ids=torch.from_numpy(ids), attention_mask=torch.from_numpy(mask)
        )[0]
    compare_states(crosses.pop(HIDDEN), states, mask)
    decoder = Graph(paths["decoder"])
    fixed = {"encoder_attention_mask": mask, **crosses}
    counts = np.zeros(len(target), dtype=np.int64)
    walk(decoder, target, counts, wanted, fixed=fixed, positions=False)


def try_decoder(model: Any, path: Path, layout: CacheLayout) -> None:
    """Raises Mismatch where the decoder gives other logits than the model, rows padded."""
    total = sum(STEPS)
    ids, _ = rows_of(model, [total] * len(LENGTHS))
    before = np.array([0, 3, 1])
    with torch.no_grad():
        wanted = torch.zeros((*ids.shape, model.get_output_embeddings().weight.shape[0]))
        for row, gap in enumerate(before):
            output = model(input_ids=torch.from_numpy(ids[row : row + 1, gap:]), use_cache=False)
            wanted[row, gap:] = output.logits[0]
    graph = Graph(path)
    if layout.kind == "growing":
        walk(graph, ids, before, wanted, fixed={}, positions=layout.positions)
    else:
        walk_in_place(graph, ids, before, wanted)


def walk(
    graph: Graph,
    ids: Ids,
    before: NDArray[np.int64],
    wanted: Any,
    *,
    fixed: Mapping[str, Any],
    positions: bool,
) -> None:
    """Steps with a growing cache; each row has ``before`` masked places on its left."""
    rows, places = ids.shape
    mask = (np.arange(places) >= before[:, None]).astype(np.int64)
    past = graph.empty_past(rows)
    start = 0
    for n in STEPS:
        end = start + n
        feeds = {
            "input_ids": ids[:, start:end], "attention_mask": mask[:, :end],
            "keep": np.flatnonzero(mask[:, start:end]), **past, **fixed,
        }  # fmt: skip
        if positions:
            feeds["position_ids"] = np.maximum(np.arange(start, end) - before[:, None], 0)
        found = graph.run(feeds)
        chosen = wanted[:, start:end].reshape(rows * n, -1)[feeds["keep"]]
        compare(f"logits of tokens {start} to {end}", found["logits"], chosen)
        past = graph.past_of(found)
        start = end


def walk_in_place(graph: Graph, ids: Ids, before: NDArray[np.int64], wanted: Any) -> None:
    """Steps with a cache whose rows begin at the left: all prompts at once, then more of each
    alone, then one token for all."""
    rows, places = ids.shape
    first, more, _ = STEPS
    past = graph.empty_past(rows, places + 4)
    lengths = first - before
    own = [ids[row, gap:] for row, gap in enumerate(before)]
    right = [wanted[row, gap:] for row, gap in enumerate(before)]
    block = np.stack([np.resize(row, first) for row in own])
    kept = [(row, i) for row in range(rows) for i in range(lengths[row])]
    found = graph.run(
        {"input_ids": block, "attention_mask": np.ones_like(block),
         "keep": np.array([row * first + i for row, i in kept]), **past}
    )  # fmt: skip
    compare("logits of prompts", found["logits"], torch.stack([right[r][i] for r, i in kept]))
    past = graph.past_of(found)
    for row, start in enumerate(lengths):
        end = start + more
        alone = graph.run(
            {"input_ids": own[row][None, start:end], "keep": np.arange(more),
             "attention_mask": (np.arange(places + 4) < end).astype(np.int64)[None],
             **{name: value[row : row + 1] for name, value in past.items()}}
        )  # fmt: skip
        compare("logits of more", alone["logits"], right[row][start:end])
        for name, value in graph.past_of(alone).items():
            past[name][row] = value[0]
    lengths = lengths + more
    last = np.array([[row[n]] for row, n in zip(own, lengths, strict=True)])
    mask = (np.arange(places + 4) <= lengths[:, None]).astype(np.int64)
    found = graph.run({"input_ids": last, "attention_mask": mask, "keep": np.arange(rows), **past})
    chosen = torch.stack([row[n] for row, n in zip(right, lengths, strict=True)])
    compare("logits of one token", found["logits"], chosen)


def compare(what: str, found: Floats, wanted: Any) -> None:
    """Raises Mismatch where two arrays are further apart than ``TOLERANCE``."""
    right = wanted.float().numpy()
    if found.shape != right.shape:
        raise Mismatch(f"{what} have the shape {found.shape}, not {right.shape}")
    scale = max(1.0, float(np.abs(right).max(initial=0.0)))
    worst = float(np.abs(found - right).max(initial=0.0)) / scale
    if not worst <= TOLERANCE:
        raise Mismatch(f"{what} are {worst:.2g} off")


def compare_states(found: Floats, wanted: Any, mask: Ids) -> None:
    """``compare`` for hidden states, at the places that hold a token."""
    kept = mask == 1
    compare("hidden states", found[kept], wanted[torch.from_numpy(kept)])


def rows_of(model: Any, lengths: Sequence[int], seed: int = 0) -> tuple[Ids, Ids]:
    """Random ids without special tokens among them, as far as there are others; and the mask."""
    config = model.config
    top = int(model.get_input_embeddings().weight.shape[0])
    pad = getattr(config, "pad_token_id", None)
    ends = getattr(config, "eos_token_id", None)
    special = {pad, *(ends if isinstance(ends, list | tuple) else [ends])}
    usable = [i for i in range(top) if i not in special] or [0]
    drawn = np.random.default_rng(seed).choice(usable, (len(lengths), max(lengths)))
    mask = (np.arange(max(lengths)) < np.asarray(lengths)[:, None]).astype(np.int64)
    filler = max(0, pad) if isinstance(pad, int) else 0
    return np.where(mask == 1, drawn, filler).astype(np.int64), mask


class Graph:
    """A graph in ONNX Runtime.

    Attributes:
        has_places: whether it has this input, which has a value where none is given.

    Raises:
        Mismatch: ONNX Runtime does not take it.
    """

    def __init__(self, path: Path) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        try:
            self._session = onnxruntime.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # ONNX Runtime's errors are plain exceptions of many classes
            raise Mismatch(f"ONNX Runtime: {_line(error)}") from error
        self._inputs = {each.name: each.shape for each in self._session.get_inputs()}
        self._outputs = [each.name for each in self._session.get_outputs()]
        optional = [each.name for each in self._session.get_overridable_initializers()]
        self.has_places = PLACES in optional

    def run(
        self, feeds: Mapping[str, Any], outputs: Sequence[str] | None = None
    ) -> dict[str, Floats]:
        """All outputs, or those named, by name.

        Raises:
            Mismatch: ONNX Runtime cannot run it.
        """
        wanted = list(outputs or self._outputs)
        try:
            values = self._session.run(wanted, dict(feeds))
        except Exception as error:
            raise Mismatch(f"ONNX Runtime: {_line(error)}") from error
        return dict(zip(wanted, values, strict=True))

    def empty_past(self, rows: int, places: int = 0) -> dict[str, Floats]:
        """Keys and values without tokens, with room for ``places`` of them."""
        return {
            name: np.zeros((rows, shape[1], places, shape[3]), dtype=np.float32)
            for name, shape in self._inputs.items()
            if name.startswith("past_key_values.")
        }

    def past_of(self, found: Mapping[str, Floats]) -> dict[str, Floats]:
        """The past of the next step."""
        return {
            name.replace("present.", "past_key_values."): value
            for name, value in found.items()
            if name.startswith("present.")
        }


def _line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)[:200]
