"""The catalogue of errors: what each one means and what to do, read from the places that raise it.

An error's code comes from its family and the fixed words of its message, so that a code is the same
wherever and whenever it is looked up, and nobody has to hand out numbers. Nothing is written down
twice: message and cure are those of the call in the source.
"""

from __future__ import annotations

import ast
import base64
import hashlib
import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import tinyforge
from tinyforge import errors
from tinyforge.errors import Interrupted, TinyForgeError
from tinyforge.recipes.error_cures import usual_cure

PACKAGE = Path(tinyforge.__file__).parent

HOLE = "…"
"""Stands for what differs from case to case."""

LETTERS = {
    "SettingError": "S", "DataError": "D", "ModelError": "M", "FolderError": "F",
    "MissingPackageError": "P", "ConditionError": "C", "TinyForgeError": "T",
}  # fmt: skip
"""The first letter of a family's codes."""

REFUSAL = "Problem"
"""What the server refuses a request with; such errors carry a code of their own."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One error of the catalogue.

    Attributes:
        code: its code, for example ``S-7K3Q``; of a refused HTTP request, its word.
        family: the class that is raised.
        meaning: what errors of the family have in common.
        message: its words, with ``…`` for what differs from case to case.
        cures: what the message tells to do, each once; empty where it tells nothing.
        parts: of TinyForge that raise it: the file and what it is for.
        status: of the HTTP answer; 0 for other errors.
    """

    code: str
    family: str
    meaning: str
    message: str
    cures: tuple[str, ...]
    parts: tuple[tuple[str, str], ...]
    status: int = 0

    @property
    def cure(self) -> str:
        """What to do, in one text."""
        return " Or: ".join(self.cures) or usual_cure(self.family, self.code, self.message)

    @property
    def page(self) -> str:
        """Where it stands in the site that ``make docs`` builds."""
        return f"reference/errors.html#{self.code.lower()}"

    def render(self) -> str:
        """Text for a terminal."""
        status = f", HTTP {self.status}" if self.status else ""
        lines = [
            f"{self.code}: {self.message}", "",
            f"kind    {self.family}{status}: {self.meaning}",
            f"cure    {self.cure}",
        ]  # fmt: skip
        lines += [f"from    {about} (tinyforge/{file})" for file, about in self.parts]
        return "\n".join([*lines, f"page    {self.page} in the documentation"])


def code_for(family: str, message: str) -> str:
    """The code of a family's message, for example ``S-7K3Q``; the same words, the same code."""
    digest = hashlib.sha256(f"{family}: {message}".encode()).digest()
    return f"{LETTERS[family]}-{base64.b32encode(digest).decode()[:4]}"


def code_of(error: TinyForgeError) -> str | None:
    """The code of an error that was raised; None where its place is not in the catalogue.

    Reads the one source file that made the error, so that a failing command stays quick.
    """
    if isinstance(error, Interrupted):
        return None
    file, line = Path(error.place[0]), error.place[1]
    if not file.is_relative_to(PACKAGE):
        return None
    try:
        made = list(_made_in(file, file.relative_to(PACKAGE).as_posix()))
    except (OSError, SyntaxError):  # installed without its sources
        return None
    found = [each for each in made if each.first <= line <= each.last]
    return min(found, key=lambda each: each.last - each.first).code if found else None


def find(code: str) -> list[Entry]:
    """The entries of a code, in capitals or not; usually one, none where there is no such code."""
    return [entry for entry in catalogue() if entry.code.lower() == code.strip("[] ").lower()]


@cache
def catalogue() -> tuple[Entry, ...]:
    """Every error that TinyForge's sources raise: by family, then by message."""
    grouped: dict[tuple[str, str, str], list[_Made]] = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        name = path.relative_to(PACKAGE).as_posix()
        for made in _made_in(path, name):
            grouped.setdefault((made.family, made.message, made.code), []).append(made)
    entries = [_entry(places) for places in grouped.values()]
    order = [*LETTERS, REFUSAL]
    return tuple(sorted(entries, key=lambda e: (order.index(e.family), e.message.lower(), e.code)))


def meaning_of(family: str) -> str:
    """What the errors of a family have in common: the first sentence of its class."""
    if family == REFUSAL:
        return "A request over HTTP is refused."
    return (inspect.getdoc(getattr(errors, family)) or "").partition("\n")[0]


@dataclass(frozen=True, slots=True)
class _Made:
    """A call in the source that makes an error; ``first`` and ``last`` are its lines."""

    family: str
    code: str
    message: str
    cure: str
    file: str
    about: str
    first: int
    last: int
    status: int


def _entry(places: list[_Made]) -> Entry:
    first = places[0]
    cures = dict.fromkeys(made.cure for made in places if made.cure)
    parts = dict.fromkeys((made.file, made.about) for made in places)
    return Entry(
        code=first.code, family=first.family, meaning=meaning_of(first.family),
        message=first.message, cures=tuple(cures), parts=tuple(parts), status=first.status,
    )  # fmt: skip


def _made_in(path: Path, name: str) -> Iterator[_Made]:
    """The calls in a source file that make an error."""
    source = path.read_text(encoding="utf-8")
    if "Error" not in source and REFUSAL not in source:
        return
    tree = ast.parse(source)
    about = (ast.get_docstring(tree) or "").partition("\n")[0].rstrip(".")
    families = dict.fromkeys([*LETTERS, REFUSAL])
    own = {family: family for family in families}
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):  # a module's own kind of one of the families
            bases = [base.id for base in node.bases if isinstance(base, ast.Name)]
            own.update((node.name, base) for base in bases if base in families)
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    making = [call for call in calls if isinstance(call.func, ast.Name) and call.func.id in own]
    spoken = _spoken(tree, making, calls)
    for call in making:
        made = _made(call, own[_name(call.func)], spoken.get(call), (name, about))
        if made is not None:
            yield made


def _made(call: ast.Call, family: str, spoken: str | None, part: tuple[str, str]) -> _Made | None:
    file, about = part
    named = {word.arg: word.value for word in call.keywords if word.arg}
    cure, status, code = _text(named.get("fix")), 0, ""
    if family == REFUSAL:
        word = named.get("code")
        if not isinstance(word, ast.Constant) or not isinstance(word.value, str):
            return None
        first = call.args[0] if call.args else None
        status = int(str(first.value)) if isinstance(first, ast.Constant) else 0
        code, message = word.value, _text(call.args[1] if len(call.args) > 1 else None)
    elif family == "MissingPackageError":
        package, purpose = (
            _text(call.args[0] if call.args else None),
            _text(named.get("needed_for")),
        )
        message = f"{purpose} needs the package {package}, which is not installed"
        cure = f"Run: pip install 'tinyforge[{_text(named.get('extra'))}]'"
    else:
        message = spoken or _text(call.args[0] if call.args else named.get("what"))
    cure = "" if cure == HOLE else cure
    if not message.replace(HOLE, "").strip(" :,;()"):
        # All of it is made elsewhere: then what the part is for says the most about it.
        message = f"{HOLE} ({about})"
    return _Made(
        family, code or code_for(family, message), message, cure, file, about, call.lineno,
        call.end_lineno or call.lineno, status,
    )  # fmt: skip


def _spoken(tree: ast.Module, making: list[ast.Call], calls: list[ast.Call]) -> dict[ast.Call, str]:
    """Messages that reach a call through a parameter or a name of the function around it.

    A helper such as ``refuse(what)`` says what its callers in the module hand to it; a name says
    what it was given in the function.

    Args:
        making: the calls that make an error.
        calls: all calls of the module.
    """
    named = {call: call.args[0] for call in making if call.args}
    wanted = {call: what.id for call, what in named.items() if isinstance(what, ast.Name)}
    found: dict[ast.Call, str] = {}
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    for function in functions if wanted else ():
        own = [call for call in ast.walk(function) if isinstance(call, ast.Call) and call in wanted]
        for call in own:
            given = _given(function, wanted[call], calls)
            texts = dict.fromkeys(_text(value) for value in given)
            plain = [text for text in texts if text.replace(HOLE, "").strip()]
            if plain:
                found[call] = " / ".join(plain)
    return found


def _given(function: ast.FunctionDef, name: str, calls: list[ast.Call]) -> list[ast.expr]:
    """What a name in a function may stand for: what it is set to, or what callers hand over."""
    given = [
        node.value
        for node in ast.walk(function)
        if isinstance(node, ast.Assign)
        and any(isinstance(target, ast.Name) and target.id == name for target in node.targets)
    ]
    names = [argument.arg for argument in function.args.args if argument.arg != "self"]
    if name in names:
        place = names.index(name)
        given += [
            call.args[place]
            for call in calls
            if _name(call.func) == function.name and len(call.args) > place
        ]
    return given


def _name(function: ast.expr) -> str:
    """The last name of what is called."""
    return getattr(function, "id", getattr(function, "attr", ""))


def _text(node: ast.expr | None) -> str:
    """The fixed words of an expression; ``…`` for every part that differs."""
    if node is None:
        return ""
    if isinstance(node, ast.Constant):
        return "" if node.value is None else str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(_text(v) if isinstance(v, ast.Constant) else HOLE for v in node.values)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return _text(node.left) + _text(node.right)
    if isinstance(node, ast.IfExp):
        either = [_text(node.body), _text(node.orelse)]
        return " / ".join(text for text in either if text)
    return HOLE
