"""The smallest form of a model that passes the gate: schemes in order, and layers left out."""

from __future__ import annotations

import dataclasses
import logging
import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tinyforge.artifacts.export_folder import read_record
from tinyforge.artifacts.manifest import covered
from tinyforge.compress.quantize import Scheme, quantize, schemes, sensitivity
from tinyforge.errors import TinyForgeError
from tinyforge.export.gate.check import Check, failed
from tinyforge.export.gate.files import Hashes, changed_since, hashes
from tinyforge.export.graphs import write_graphs
from tinyforge.recipes.export_gate import Gate, Passage, pass_graphs

log = logging.getLogger("tinyforge")

Tell = Callable[[str], None]

QUALITY = ("logits", "metric")
"""Checks that a layer left in full precision can mend; the others it cannot."""


@dataclass(frozen=True)
class Tried:
    """A candidate, and what became of it.

    Attributes:
        scheme: its name.
        keep: layers that were left in full precision.
        size_bytes: of its folder; 0 where it could not be made.
        problem: why it was refused; empty where it passed.
    """

    scheme: str
    precision: str
    keep: tuple[str, ...]
    size_bytes: int
    problem: str

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {**asdict(self), "keep": list(self.keep)}


@dataclass
class Found:
    """What the search came to.

    Attributes:
        folder: of the candidate that passed; None where none did.
        passage: its checks; where none passed, those of the last candidate.
        tried: every candidate in order.
        made: the files of ``folder`` as they were written.
    """

    folder: Path | None = None
    passage: Passage = field(default_factory=Passage)
    tried: list[Tried] = field(default_factory=list)
    made: Hashes = field(default_factory=dict)


def search(gate: Gate, work: Path, tell: Tell) -> Found:
    """Write the graphs, make them smaller as far as was asked, and take each form to the gate.

    Args:
        work: an empty folder.
        tell: told what is done, a line at a time.
    """
    found = Found()
    wanted = gate.settings.precision
    base = work / "fp32"
    tell("writing the graphs")
    write_graphs(gate.source, base)
    made = hashes(base)
    if wanted == "fp32":
        _offer(gate, base, Scheme("fp32", "fp32", {}), found, tell, made=made)
        return found
    tell("holding the graphs against the source")
    passage = pass_graphs(gate, base, whole=False)
    if passage.problem is not None:
        found.passage = passage
        found.tried.append(Tried("fp32", "fp32", (), _size(base), passage.problem.sentence))
        return found
    for scheme in schemes(wanted, read_record(base)):
        if scheme.precision == "fp32":
            if _offer(gate, base, scheme, found, tell, made=made):
                return found
        elif any(_made(gate, base, each, found, work, tell)
                 for each in _with_layers_left_out(gate, base, scheme, found)):  # fmt: skip
            return found
    return found


def _with_layers_left_out(gate: Gate, base: Path, scheme: Scheme, found: Found) -> Iterator[Scheme]:
    """The scheme, then the same with ever more of the layers left as they are that hurt most."""
    yield scheme
    most, calibration = gate.settings.left_out, gate.judging.calibration
    if not most or not calibration or scheme.precision not in ("int8", "int4"):
        return
    if not _mendable(found):
        return
    try:
        worst = [name for name, _ in sensitivity(base, scheme, calibration)]
    except TinyForgeError as error:
        log.info(f"layers cannot be told apart: {error}")
        return
    count = 1
    while count <= min(most, len(worst)) and _mendable(found):
        keep = tuple(dict.fromkeys([*scheme.keep, *worst[:count]]))
        yield dataclasses.replace(scheme, keep=keep)
        count *= 2


def _mendable(found: Found) -> bool:
    problem = found.passage.problem
    return problem is not None and problem.name in QUALITY


def _made(gate: Gate, base: Path, scheme: Scheme, found: Found, work: Path, tell: Tell) -> bool:
    """Make a candidate and offer it; whether it passed."""
    folder = work / f"candidate-{len(found.tried)}"
    tell(f"making it smaller: {_named(scheme)}")
    try:
        quantize(base, folder, scheme, calibration=gate.judging.calibration)
    except TinyForgeError as error:
        shutil.rmtree(folder, ignore_errors=True)
        found.passage = Passage([failed("files", str(error))])
        found.tried.append(Tried(scheme.name, scheme.precision, scheme.keep, 0, str(error)))
        return False
    if _offer(gate, folder, scheme, found, tell, made=hashes(folder)):
        return True
    shutil.rmtree(folder, ignore_errors=True)
    return False


def _offer(
    gate: Gate, folder: Path, scheme: Scheme, found: Found, tell: Tell, *, made: Hashes
) -> bool:
    """Take a candidate through the gate; whether it passed."""
    tell(f"at the gate: {_named(scheme)}")
    passage = pass_graphs(gate, folder)
    changed = changed_since(made, folder)
    if changed:
        passage.add(Check("files", False, changed))
    problem = passage.problem
    found.passage = passage
    found.tried.append(
        Tried(
            scheme.name, scheme.precision, scheme.keep, _size(folder),
            "" if problem is None else problem.sentence,
        )
    )  # fmt: skip
    if problem is not None:
        tell(f"refused: {_named(scheme)}: {problem.sentence}")
        return False
    found.folder, found.made = folder, made
    return True


def _named(scheme: Scheme) -> str:
    if not scheme.keep:
        return scheme.name
    several = f"{len(scheme.keep)} layers" if len(scheme.keep) > 1 else scheme.keep[0]
    return f"{scheme.name} with {several} left as {'they are' if len(scheme.keep) > 1 else 'it is'}"


def _size(folder: Path) -> int:
    return sum((folder / name).stat().st_size for name in covered(folder))
