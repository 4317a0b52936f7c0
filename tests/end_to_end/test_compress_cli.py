"""``tinyforge compress`` through the real command line, for each kind of model."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest
from command_line import PROGRAM, refused, run_json

from tinyforge.cli.main import main

pytestmark = pytest.mark.usefixtures("empty_folder")

T5 = "{d_model: 32, d_kv: 8, num_heads: 4, d_ff: 64, num_layers: 2, num_decoder_layers: 2}"
GPT = (
    "{hidden_size: 32, num_hidden_layers: 2, num_attention_heads: 4, num_key_value_heads: 2, "
    "intermediate_size: 64}"
)
BERT = "{hidden_size: 32, num_hidden_layers: 2, num_attention_heads: 2, intermediate_size: 64}"
WORDS = ["apple", "river", "stone", "cloud", "garden", "window", "paper", "music", "winter", "sun"]
QUICK = ("--set", "pareto.rounds=1", "--set", "pareto.seconds=0.05",
         "--set", "evaluate.bootstrap_samples=200")  # fmt: skip
NO_EXPORTS = ("--set", "pareto.precisions=[]")


def texts(count: int, seed: int) -> list[str]:
    rng = random.Random(seed)
    return [" ".join(rng.choices(WORDS, k=rng.randint(3, 6))) for _ in range(count)]


def rows(task: str, count: int = 200) -> list[dict[str, str]]:
    rng = random.Random(1)
    if task == "classify":
        return [
            {"text": f"{'good' if label == 'yes' else 'bad'} {text}", "label": label}
            for text in texts(count, 0) for label in [rng.choice(["yes", "no"])]
        ]  # fmt: skip
    if task == "text2text":
        return [
            {"input": text, "output": " ".join(reversed(text.split()))} for text in texts(count, 0)
        ]
    return [{"text": text} for text in texts(count, 0)]


def trained(task: str, model: str, shape: str) -> None:
    Path("rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows(task)))
    words = ["train", "rows.jsonl", "--output", "model", "--task", task, "--model", model,
             "--max-steps", "30", "--set", f"model.shape={shape}",
             "--set", "evaluate.baselines=false",
             "--set", "evaluate.bootstrap_samples=100"]  # fmt: skip
    assert main(words) == 0


@pytest.mark.parametrize(
    ("task", "model", "shape", "cut"),
    [
        ("classify", "scratch:bert-tiny", BERT, {"units": 32}),
        pytest.param(
            "text2text", "scratch:t5-tiny", T5, {"units": 32, "heads": 2}, marks=pytest.mark.slow
        ),
        ("language-model", "scratch:gpt-tiny", GPT, {"units": 32, "heads": 1}),
    ],
)
def test_every_kind_of_model(
    capsys: pytest.CaptureFixture[str], task: str, model: str, shape: str, cut: dict[str, int]
) -> None:
    trained(task, model, shape)
    found = run_json(
        capsys, "compress", "model", "--output", "small", "--prune", "0.5", "--layers", "1",
        "--vocabulary", "--recover-steps", "3", *QUICK, *NO_EXPORTS,
    )  # fmt: skip
    assert {part: found["cuts"][part]["kept"] for part in cut} == cut
    assert all(len(stack["kept"]) == 1 for stack in found["cuts"]["layers"].values())
    assert found["recovery"]["steps"] == 3
    assert [point["name"] for point in found["points"]] == ["full", "pruned"]
    assert all(point["rate"]["median"] > 0 for point in found["points"])
    assert Path("small/tinyforge/pareto.html").is_file()
    assert main(["verify", "small"]) == 0
    assert main(["predict", "small", "apple river"]) == 0
    assert main(["compress", "model", "--output", "small"]) == 2, "it is there already"
    capsys.readouterr()
    assert main(["compress", "model", "--output", "small", "--resume", *QUICK]) == 0
    assert "small/tinyforge/pareto.html" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize(
    ("task", "model", "shape"),
    [("classify", "scratch:bert-tiny", BERT), ("text2text", "scratch:t5-tiny", T5),
     ("language-model", "scratch:gpt-tiny", GPT)],
)  # fmt: skip
def test_exports_stand_on_the_page(
    capsys: pytest.CaptureFixture[str], task: str, model: str, shape: str
) -> None:
    pytest.importorskip("onnxruntime_genai")
    trained(task, model, shape)
    found = run_json(
        capsys, "compress", "model", "--output", "small", "--prune", "0.5", "--recover-steps", "3",
        *QUICK,
    )  # fmt: skip
    assert found["notes"] == [] or all("heads stay" in note for note in found["notes"])
    names = [point["name"] for point in found["points"]]
    kinds = ("", ", fp32", ", int8", ", int4")
    assert names == [f"{origin}{kind}" for origin in ("full", "pruned") for kind in kinds]
    points = {point["name"]: point for point in found["points"]}
    for origin in ("full", "pruned"):
        plain, exported = points[origin], points[f"{origin}, fp32"]
        assert plain["score"]["value"] == pytest.approx(exported["score"]["value"], abs=1e-3)
        assert points[f"{origin}, int8"]["bytes"] < exported["bytes"]
        assert exported["command"].startswith("tinyforge export ")
        assert exported["command"].endswith("--precision fp32")


@pytest.mark.slow
def test_a_killed_call_goes_on_to_the_same_bytes(capsys: pytest.CaptureFixture[str]) -> None:
    trained("classify", "scratch:bert-tiny", BERT)
    words = ["compress", "model", "--prune", "0.5", "--recover-steps", "400",
             "--set", "train.checkpoint_every=5", "--set", "train.early_stopping=0",
             *QUICK, *NO_EXPORTS]  # fmt: skip
    assert main([*words, "--output", "whole"]) == 0
    child = subprocess.Popen(
        [*PROGRAM, *words, "--output", "killed"], stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    checkpoints = Path("killed/tinyforge/checkpoints")
    for _ in range(1200):
        if list(checkpoints.glob("step-*")) or child.poll() is not None:
            break
        time.sleep(0.05)
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert list(checkpoints.glob("step-*")), "it was killed while it recovered"
    assert main([*words, "--output", "killed", "--resume"]) == 0
    whole, killed = Path("whole/model.safetensors"), Path("killed/model.safetensors")
    assert whole.read_bytes() == killed.read_bytes()


def test_mistakes_end_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    trained("classify", "scratch:bert-tiny", BERT)
    capsys.readouterr()
    for words, told in (
        (["--prune", "1.5"], "prune.share"),
        (["--prune", "much"], "prune.share"),
        (["--layers", "9"], "prune.layers"),
        (["--set", "prune.shar=0.5"], "Did you mean"),
        (["--data", "nowhere.jsonl"], "nowhere.jsonl"),
    ):
        assert told in refused(capsys, "compress", "model", "--output", "out", *words)
        assert not Path("out").exists()
