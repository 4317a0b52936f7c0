"""The formats that other programs run: a plain Hugging Face folder, and a GGUF file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tinyforge.artifacts.manifest import covered
from tinyforge.export.gate.check import NOT_THE_EXPORT, Check, failed
from tinyforge.export.gate.gguf_file import check_gguf, open_gguf
from tinyforge.export.gate.reading import check_reading
from tinyforge.export.gate.weights import check_stored
from tinyforge.export.gguf import write_gguf
from tinyforge.export.safetensors import write_safetensors
from tinyforge.inference.torch_model import TorchModel
from tinyforge.recipes.export_gate import Gate, Passage, pass_torch
from tinyforge.recipes.export_search import Found, Tell, Tried

GGUF = "model.gguf"


def write_plain(gate: Gate, work: Path, tell: Tell) -> Found:
    """Write the one candidate that there is, and take it through the gate."""
    folder, settings = work / "candidate", gate.settings
    folder.mkdir()
    if settings.format == "gguf":
        tell("writing the GGUF file")
        write_gguf(gate.source, folder / GGUF, precision=_precision(gate))
        tell("at the gate: the file is read back")
        passage = _pass_gguf(gate, folder)
    else:
        tell("writing the weights")
        write_safetensors(gate.source, folder, precision=_precision(gate))
        tell("at the gate: the folder is loaded again")
        passage = _pass_safetensors(gate, folder)
    problem = passage.problem
    size = sum((folder / name).stat().st_size for name in covered(folder))
    said = "" if problem is None else problem.sentence
    tried = [Tried(settings.precision, settings.precision, (), size, said)]
    if problem is not None:
        tell(f"refused: {said}")
    return Found(folder if problem is None else None, passage, tried)


def _precision(gate: Gate) -> Any:
    return gate.settings.precision


def _pass_safetensors(gate: Gate, folder: Path) -> Passage:
    try:
        model = TorchModel.load(folder, settings=gate.source.settings)
    except NOT_THE_EXPORT:
        raise
    except Exception as error:  # a damaged folder may raise anything
        text = " ".join(str(error).split())[:300] or type(error).__name__
        return Passage([failed("files", f"the exported model cannot be loaded: {text}")])
    checks = [
        Check("files", True, "plain transformers loads it"),
        check_reading(gate.source, model, gate.rows, folder, None),
        check_stored(gate.source, model, gate.settings.precision),
    ]
    return pass_torch(gate, folder, model, gate.settings.precision, checks=checks, afresh=True)


def _pass_gguf(gate: Gate, folder: Path) -> Passage:
    check = check_gguf(gate.source, folder / GGUF)
    if not check.passed:
        return Passage([check])
    try:
        model = open_gguf(gate.source, folder / GGUF)
    except NOT_THE_EXPORT:
        raise
    except Exception as error:  # transformers raises whatever it likes at a file it cannot read
        text = " ".join(str(error).split())[:300] or type(error).__name__
        return Passage([check, failed("files", f"the GGUF file cannot be read back: {text}")])
    checks = [check, check_stored(gate.source, model, gate.settings.precision)]
    return pass_torch(gate, folder, model, gate.settings.precision, checks=checks, afresh=False)
