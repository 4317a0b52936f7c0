"""The smallest form of a model that passes the gate: schemes in order, and layers left out."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
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
        tried: every candidate in order; the one that passed is the last.
        made: the files of ``folder`` as they were written.
        last: the checks of the last candidate, whether it passed or not.
    """

    folder: Path | None = None
    passage: Passage = field(default_factory=Passage)
    tried: list[Tried] = field(default_factory=list)
    made: Hashes = field(default_factory=dict)
    last: Passage = field(default_factory=Passage)


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
        if scheme.precision != "fp32":
            for each in _with_layers_left_out(gate, base, scheme, found):
                _made(gate, base, each, found, work, tell)
        elif found.folder is None:
            _offer(gate, base, scheme, found, tell, made=made)
        # With layers left as they are, a form may be larger than the next scheme's.
        if found.folder is not None and (wanted != "auto" or not found.tried[-1].keep):
            break
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
        yield replace(scheme, keep=keep)
        count *= 2


def _mendable(found: Found) -> bool:
    problem = found.last.problem
    return problem is not None and problem.name in QUALITY


def _made(gate: Gate, base: Path, scheme: Scheme, found: Found, work: Path, tell: Tell) -> None:
    """Make a candidate and offer it, where it is smaller than what has passed already."""
    folder = work / f"candidate-{len(found.tried)}"
    tell(f"making it smaller: {_named(scheme)}")
    try:
        quantize(base, folder, scheme, calibration=gate.judging.calibration)
    except TinyForgeError as error:
        shutil.rmtree(folder, ignore_errors=True)
        refused = Tried(scheme.name, scheme.precision, scheme.keep, 0, str(error))
        _enter(found, refused, Passage([failed("files", str(error))]))
        return
    if found.folder is not None and (size := _size(folder)) >= found.tried[-1].size_bytes:
        why = f"no smaller than {found.tried[-1].scheme}, which holds"
        refused = Tried(scheme.name, scheme.precision, scheme.keep, size, why)
        _enter(found, refused, Passage())
    else:
        _offer(gate, folder, scheme, found, tell, made=hashes(folder), base=base)
    if found.folder != folder:
        shutil.rmtree(folder, ignore_errors=True)


def _offer(
    gate: Gate,
    folder: Path,
    scheme: Scheme,
    found: Found,
    tell: Tell,
    *,
    made: Hashes,
    base: Path | None = None,
) -> None:
    """Take a candidate through the gate, and enter what came of it."""
    tell(f"at the gate: {_named(scheme)}")
    passage = pass_graphs(gate, folder, base=base)
    changed = changed_since(made, folder)
    if changed:
        passage.add(Check("files", False, changed))
    problem = passage.problem
    tried = Tried(
        scheme.name, scheme.precision, scheme.keep, _size(folder),
        "" if problem is None else problem.sentence,
    )  # fmt: skip
    if problem is not None:
        tell(f"refused: {_named(scheme)}: {problem.sentence}")
        _enter(found, tried, passage)
        return
    if found.folder is not None:  # it is larger, and has been the last
        shutil.rmtree(found.folder, ignore_errors=True)
        found.tried[-1] = replace(found.tried[-1], problem=f"{scheme.name} holds, and is smaller")
    found.tried.append(tried)
    found.folder, found.made = folder, made
    found.passage = found.last = passage


def _enter(found: Found, tried: Tried, passage: Passage) -> None:
    """A candidate that was not taken: before the one that has passed, where there is one."""
    found.last = passage
    if found.folder is None:
        found.tried.append(tried)
        found.passage = passage
    else:
        found.tried.insert(-1, tried)


def _named(scheme: Scheme) -> str:
    if not scheme.keep:
        return scheme.name
    several = f"{len(scheme.keep)} layers" if len(scheme.keep) > 1 else scheme.keep[0]
    return f"{scheme.name} with {several} left as {'they are' if len(scheme.keep) > 1 else 'it is'}"


def _size(folder: Path) -> int:
    return sum((folder / name).stat().st_size for name in covered(folder))
