"""Preference pairs in the shapes that files have them in."""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from task_models import gpt_tokenizer, language_model

from tinyforge.config.data import DataSettings
from tinyforge.config.settings import Settings
from tinyforge.data.batch import evaluation_batches, training_batches
from tinyforge.data.columns import recognise
from tinyforge.data.dataset import load_dataset
from tinyforge.data.examples import example_maker
from tinyforge.data.pairs import encode_pairs
from tinyforge.data.store import ExampleStore
from tinyforge.data.survey import survey
from tinyforge.records.examples import Example
from tinyforge.records.rows import Rejected, Row, Source
from tinyforge.tasks import build_task

HERE = Source("f.jsonl", 1)
ASKED = {"role": "user", "content": "Hi"}
GOOD, BAD = ({"role": "assistant", "content": text} for text in ("Hello", "No"))
SHAPES: dict[str, dict[str, Any]] = {
    "texts": {"prompt": "Hi", "chosen": "Hello", "rejected": "No"},
    "question": {"question": "Hi", "chosen": "Hello", "rejected": "No", "score": 3},
    "instruction": {"instruction": "Hi", "input": "", "output": "x", "chosen": "Hello",
                    "rejected": "No"},
    "turns": {"conversations": [{"from": "human", "value": "Hi"}],
              "chosen": {"from": "gpt", "value": "Hello"},
              "rejected": {"from": "gpt", "value": "No"}},
    "chat as prompt": {"prompt": [ASKED], "chosen": [GOOD], "rejected": [BAD]},
    "whole chats": {"chosen": [ASKED, GOOD], "rejected": [ASKED, BAD]},
    "prompt and whole chats": {"prompt": "Hi", "chosen": [ASKED, GOOD], "rejected": [ASKED, BAD]},
    "transcripts": {"chosen": "\n\nHuman: Hi\n\nAssistant: Hello",
                    "rejected": "\n\nHuman: Hi\n\nAssistant: No"},
    "transcript as prompt": {"prompt": "\n\nHuman: Hi\n\nAssistant:", "chosen": "Hello",
                             "rejected": "No"},
}  # fmt: skip


def convert(row: Mapping[str, Any], task: str = "preference", **more: Any) -> Example | Rejected:
    """The example of a row, in a file of pairs."""
    settings = DataSettings(**more)
    usual = row if more else {name: value or "x" for name, value in row.items()}
    columns = recognise([usual] * 5, settings, "f")
    return example_maker(columns, task, settings, where="f")(Row(dict(row), HERE))


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_gives_the_same_pair(shape: str) -> None:
    made = convert(SHAPES[shape])
    assert isinstance(made, Example), made
    assert (made.input, made.output, made.rejected) == ("Hi", "Hello", "No")
    assert [(m.role, m.content) for m in made.messages] == [("user", "Hi"), ("assistant", "Hello")]


def test_the_chosen_answers_alone_are_chats() -> None:
    made = convert(SHAPES["texts"], "instruct")
    assert isinstance(made, Example)
    assert (made.output, made.rejected) == ("Hello", None)


def test_columns_can_be_named() -> None:
    row = {"asked": "Hi", "better": "Hello", "worse": "No"}
    made = convert(row, input="asked", output="better", rejected="worse", system="Be kind.")
    assert isinstance(made, Example)
    assert (made.input, made.output, made.rejected) == ("Hi", "Hello", "No")
    assert made.messages[0].content == "Be kind."


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"rejected": "Hello "}, "chosen and rejected are the same"),
        ({"rejected": ""}, "empty output"),
        ({"prompt": ""}, "no user turn"),
        ({"chosen": [ASKED, GOOD], "rejected": [{**ASKED, "content": "Ho"}, BAD]},
         "chosen and rejected answer different prompts"),
        ({"chosen": [ASKED], "rejected": [ASKED, BAD]}, "no assistant turn"),
        ({"chosen": [ASKED, GOOD, GOOD], "rejected": [ASKED, GOOD, BAD]}, "roles out of order"),
    ],
)  # fmt: skip
def test_rows_that_hold_no_pair(change: dict[str, Any], reason: str) -> None:
    made = convert(SHAPES["texts"] | change)
    assert isinstance(made, Rejected)
    assert made.reason == reason


def rows(count: int) -> list[dict[str, str]]:
    """Pairs of answers of many lengths."""
    return [
        {"prompt": f"{n} " * (1 + n % 7) + "?", "chosen": f"yes {n}" * (1 + n % 3),
         "rejected": f"no {n} " * (1 + n % 5)}
        for n in range(count)
    ]  # fmt: skip


def test_pairs_stay_together_from_disk_to_batch(tmp_path: Path) -> None:
    model = language_model("gpt2")
    task: Any = build_task(
        "preference", tokenizer=gpt_tokenizer(), config=model.config, settings=Settings()
    )
    settings = DataSettings(near_duplicate=1)
    columns = survey(rows(40), settings).columns
    dataset = load_dataset(rows(40), columns, "preference", settings, seed=0, work=tmp_path)
    assert dataset.store[3] == ExampleStore.of([dataset.store[3]], tmp_path / "one")[0]
    assert dataset.store[3].rejected is not None
    whole = encode_pairs(dataset.store, dataset.train, task, work=tmp_path, name="t")
    reference = np.arange(len(whole), dtype=np.float32)
    store = whole.limit(task, 24, 24).with_reference(reference)
    for number in range(len(store)):
        item = store[number]
        assert item.rejected is not None
        assert item.reference == number
        assert max(len(item.input_ids), len(item.rejected.input_ids)) <= 24
        assert store.input_lengths[number] == len(item.input_ids) + len(item.rejected.input_ids)
    chosen = Settings(train={"batch_size": 6, "micro_batch_tokens": 100}).train  # type: ignore[arg-type]
    batches = training_batches(store, task, chosen, max_length=24)
    seen: list[float] = []
    for step in range(batches.steps_per_epoch):
        for part in batches.step(step):
            seen += part.tensors["reference"].tolist()
            assert part.units == part.examples == len(part.tensors["input_ids"]) // 2
            assert part.padded >= part.tokens == int(part.tensors["attention_mask"].sum())
    assert sorted(seen) == reference.tolist()
    found = np.concatenate([batch.rows for batch in evaluation_batches(store, task)])
    assert sorted(found.tolist()) == list(range(len(store)))


@pytest.mark.parametrize(
    ("file", "least"),
    [
        ("rasbt_instruction-data-with-preference.json.gz", 0.95),
        ("llamafactory_dpo_en_demo.json.gz", 0.95),
        ("hh_harmless_pref_train.jsonl.gz", 0.95),
    ],
)
def test_published_files_are_understood(
    shared_folder: Path, tmp_path: Path, file: str, least: float
) -> None:
    path = shared_folder / "data/inst" / file
    settings = DataSettings(max_rows=300)
    seen = survey(path, settings)
    dataset = load_dataset(
        path, seen.columns, "preference", settings, seed=0, work=tmp_path, training=False
    )
    report = dataset.report
    assert report.kept >= least * report.read, report.reasons
    text = gzip.decompress(path.read_bytes()).decode()
    first = json.loads(text.splitlines()[0]) if file.endswith("l.gz") else json.loads(text)[0]
    chosen = first["chosen"]
    chosen = chosen["value"] if isinstance(chosen, dict) else chosen
    assert chosen.endswith(dataset.store[0].output or "?")
