"""An exported decoder asked by its graphs alone, with no runtime of ours in between.

It is asked in the three ways in which it will be used: all at once, token by token on its cache
with the prompt in two pieces, and several rows of different length together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinyforge.artifacts.export_folder import HIDDEN, STATES, CacheLayout, ExportRecord
from tinyforge.export.gate.reference import Ids, Steps
from tinyforge.export.gate.tolerance import Floats
from tinyforge.inference.onnx.sessions import open_session

Feeds = dict[str, NDArray[Any]]


def expected_names(record: ExportRecord) -> dict[str, tuple[set[str], set[str]]]:
    """Role to the names of a graph's inputs and outputs; see ``artifacts/export_folder.py``."""
    read = {"input_ids", "attention_mask"}
    if record.cache is None:
        return {"model": (read, {"logits"})}
    layers = range(record.cache.layers)
    pairs = [f"{i}.{part}" for i in layers for part in ("key", "value")]
    cross = {f"cross.{pair}" for pair in pairs}
    inputs = read | {"keep"} | {f"past_key_values.{pair}" for pair in pairs}
    if record.cache.positions:
        inputs |= {"position_ids"}
    outputs = {"logits"} | {f"present.{pair}" for pair in pairs}
    if record.family == "decoder":
        return {"decoder": (inputs, outputs)}
    return {
        "encoder": (read, cross),
        "decoder": (inputs | {"encoder_attention_mask"} | cross, outputs),
    }


def wrong_names(record: ExportRecord, folder: Path) -> str:
    """What a graph takes or gives otherwise than its record says, as a clause; empty: nothing.

    ``past_key_values`` need more than their names: what ONNX Runtime opens is looked at.
    """
    for role, (inputs, outputs) in expected_names(record).items():
        session = open_session(record.graph(folder, role))
        for wanted, there, verb in (
            (inputs, set(session.inputs), "take"), (outputs, set(session.outputs), "give"),
        ):  # fmt: skip
            known = wanted | ({HIDDEN} if verb == "give" and role in STATES else set())
            missing, extra = sorted(wanted - there), sorted(there - known)
            if missing:
                return f"the graph {record.graphs[role]} does not {verb} {missing[0]}"
            if extra:
                return (
                    f"the graph {record.graphs[role]} {verb}s {extra[0]}, which no runtime knows of"
                )
    return ""


class DecoderGraphs:
    """The graphs of a generating model.

    Args:
        folder: of the exported model.
    """

    def __init__(self, folder: Path, record: ExportRecord) -> None:
        if record.cache is None:
            raise ValueError("a classifier has no decoder")
        self._cache: CacheLayout = record.cache
        self._pad = int(record.config.get("pad_token_id") or 0)
        self._decoder = open_session(record.graph(folder, "decoder"))
        behind = record.family == "encoder-decoder"
        self._encoder = open_session(record.graph(folder, "encoder")) if behind else None

    def whole(self, steps: Steps) -> Floats:
        """Logits before each token of the source's answer, read in one go: (m, vocabulary)."""
        first, ids = self._begin(steps)
        taken = np.concatenate([ids, steps.answer[:-1]])
        keep = np.arange(len(ids) - 1, len(taken))
        logits, _ = self._read(taken[None], keep, self._empty(1), first)
        return logits

    def follow(self, steps: Steps) -> Floats:
        """The same, the prompt in two pieces and then token by token: (m, vocabulary)."""
        first, ids = self._begin(steps)
        past, half = self._empty(1), len(ids) // 2
        if half:
            _, past = self._read(ids[None, :half], np.array([half - 1]), past, first)
        rest = ids[half:]
        logits, past = self._read(rest[None], np.array([len(rest) - 1]), past, first)
        found = [logits]
        for token in steps.answer[:-1]:
            logits, past = self._read(np.array([[token]]), np.array([0]), past, first)
            found.append(logits)
        return np.concatenate(found)

    def together(self, rows: Sequence[Steps]) -> Floats:
        """Logits before the first token of several rows' answers, read as one padded batch."""
        sources = self._sources([row.prompt for row in rows])
        starts = [
            row.prompt if row.start is None else np.array([row.start], dtype=np.int64)
            for row in rows
        ]
        ids, mask, last = self._padded(starts)
        keep = np.arange(len(rows)) * ids.shape[1] + last
        logits, _ = self._read(ids, keep, self._empty(len(rows)), sources, mask)
        return logits

    def _begin(self, steps: Steps) -> tuple[Feeds, Ids]:
        """What goes beside every step, and the first ids of the decoder."""
        if steps.start is None:
            return {}, steps.prompt
        return self._sources([steps.prompt]), np.array([steps.start], dtype=np.int64)

    def _sources(self, prompts: Sequence[Ids]) -> Feeds:
        """The cross keys and values of some prompts, padded on the right."""
        if self._encoder is None:
            return {}
        longest = max(len(prompt) for prompt in prompts)
        ids = np.full((len(prompts), longest), self._pad, dtype=np.int64)
        mask = np.zeros_like(ids)
        for row, prompt in enumerate(prompts):
            ids[row, : len(prompt)], mask[row, : len(prompt)] = prompt, 1
        names = [name for name in self._encoder.outputs if name != HIDDEN]
        found = self._encoder.run({"input_ids": ids, "attention_mask": mask}, names)
        return {**found, "encoder_attention_mask": mask}

    def _padded(self, rows: Sequence[Ids]) -> tuple[Ids, Ids, Ids]:
        """Ids, mask, and the place of each row's last token, padded where this cache has it.

        An in-place cache counts what stands behind a row as if they were tokens of it, which no
        token before them sees.
        """
        lengths = np.array([len(row) for row in rows])
        longest = int(lengths.max())
        left = self._cache.kind == "growing"
        ids = np.full((len(rows), longest), self._pad, dtype=np.int64)
        mask = np.zeros_like(ids) if left else np.ones_like(ids)
        for row, found in enumerate(rows):
            place = slice(longest - len(found), None) if left else slice(0, len(found))
            ids[row, place], mask[row, place] = found, 1
        last = np.full(len(rows), longest - 1) if left else lengths - 1
        return ids, mask, last

    def _empty(self, rows: int) -> Feeds:
        layout = self._cache
        if layout.dtype not in ("float32", "float16", "int8"):
            raise ValueError(f"a cache of {layout.dtype} cannot be made here")
        nothing = np.zeros((rows, layout.heads, 0, layout.head_size), dtype=layout.dtype)
        return {f"{i}.{part}": nothing for i in range(layout.layers) for part in ("key", "value")}

    def _read(
        self,
        ids: Ids,
        keep: Ids,
        past: Mapping[str, NDArray[Any]],
        beside: Feeds,
        mask: Ids | None = None,
    ) -> tuple[Floats, Feeds]:
        """One step: logits at the kept places, and the cache behind them."""
        before = next(iter(past.values())).shape[2]
        if mask is None:
            mask = np.ones((len(ids), before + ids.shape[1]), dtype=np.int64)
        feeds: Feeds = {
            "input_ids": ids.astype(np.int64), "attention_mask": mask, "keep": keep,
            **{f"past_key_values.{name}": value for name, value in past.items()}, **beside,
        }  # fmt: skip
        if self._cache.positions:
            places = np.maximum(np.cumsum(mask, axis=1) - 1, 0)
            feeds["position_ids"] = places[:, before:]
        out = self._decoder.run(feeds)
        present = {name: out[f"present.{name}"] for name in past}
        return np.asarray(out["logits"], dtype=np.float32), present
