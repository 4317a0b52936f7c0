"""The reference of the Python interface, from signatures and docstrings, with nothing imported."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from page_text import MADE, anchor, cell, code, paragraphs, sections_of, slug, table

PACKAGE = Path(__file__).resolve().parents[2] / "src/tinyforge"

MORE = ("tinyforge.records.predictions", "tinyforge.errors")
"""Modules all of whose public classes are part of what users meet."""


@dataclass(frozen=True)
class Named:
    """A public function or class, and the module that it stands in."""

    module: str
    name: str
    node: ast.FunctionDef | ast.ClassDef


@cache
def source(module: str) -> ast.Module:
    """A module of TinyForge, parsed."""
    path = PACKAGE.joinpath(*module.split(".")[1:])
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return ast.parse(file.read_text(encoding="utf-8"))


def public() -> list[Named]:
    """The names of ``tinyforge.__all__``, in its order."""
    names: dict[str, str] = {}
    for node in source("tinyforge").body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "_NAMES":
            names = ast.literal_eval(node.value)
    return [found for name, module in names.items() for found in _found(module, name)]


def results() -> list[Named]:
    """The classes that the public functions take and give, then those of ``MORE``."""
    found: dict[str, Named] = {}
    verbs = (each.module for each in public() if isinstance(each.node, ast.FunctionDef))
    for verb_module in dict.fromkeys(verbs):
        for node in _imports(verb_module):
            for alias in node.names:
                for each in _found(str(node.module), alias.name):
                    if isinstance(each.node, ast.ClassDef):
                        found.setdefault(each.name, each)
    for module in MORE:
        for part in source(module).body:
            if isinstance(part, ast.ClassDef) and not part.name.startswith("_"):
                found.setdefault(part.name, Named(module, part.name, part))
    settings = ("Settings", "Stage")
    return [each for each in found.values() if not each.name.endswith(settings)]


def undescribed() -> list[str]:
    """Public names, and parameters of public functions, that the docstrings do not mention."""
    found = []
    for named in [*public(), *results()]:
        docstring = ast.get_docstring(named.node) or ""
        if not docstring:
            found.append(named.name)
        if not isinstance(named.node, ast.FunctionDef):
            continue
        for argument in _arguments(named.node.args):
            if f"{argument}" not in docstring and len(_arguments(named.node.args)) > 2:
                found.append(f"{named.name}({argument})")
    return found


def filled(text: str) -> str:
    """A page with its tables: ``<!-- attributes: MODULE.CLASS -->`` stands for what a class's
    docstring says of its attributes, ``<!-- fields: … -->`` for the descriptions of its fields."""

    def made(found: re.Match[str]) -> str:
        module, _, name = found[2].rpartition(".")
        (named,) = _found(module, name)
        assert isinstance(named.node, ast.ClassDef)
        rows = _attributes(named.node) if found[1] == "attributes" else _described(named.node)
        return "\n".join(table(("Name", "Meaning"), ((code(n), cell(m)) for n, m in rows)))

    return re.sub(r"^<!-- (attributes|fields): ([\w.]+) -->$", made, text, flags=re.MULTILINE)


def page() -> str:
    """The page."""
    verbs, kinds = public(), results()
    lines = [
        MADE, "", "# Python", "",
        "`import tinyforge` is light: each name below is loaded on first use. Mistakes raise "
        "[errors](errors.md) that are `tinyforge.errors.TinyForgeError`; nothing is printed. "
        "Keywords that a function passes on are [settings](settings.md) by their short names.", "",
        *table(("Name", "What it does"), (_line(each, "tinyforge.") for each in verbs)),
        "What they give and take:", "",
        *table(("Class", "What it is"), (_line(each, "") for each in kinds)),
    ]  # fmt: skip
    for each in verbs:
        lines += _section(each, f"tinyforge.{each.name}")
    for each in kinds:
        lines += _section(each, each.name)
    return "\n".join(lines) + "\n"


def _found(module: str, name: str) -> Iterator[Named]:
    """What has this name in a module, or where a package has it from in one of its own modules."""
    for node in source(module).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name == name:
            yield Named(module, name, node)
    for part in _imports(module):
        own = str(part.module).startswith(f"{module}.")
        if own and any(alias.name == name for alias in part.names):
            yield from _found(str(part.module), name)


def _imports(module: str) -> Iterator[ast.ImportFrom]:
    """All imports from TinyForge's own modules, those within functions too."""
    for node in ast.walk(source(module)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("tinyforge."):
            yield node


def _line(named: Named, prefix: str) -> tuple[str, str]:
    first = (ast.get_docstring(named.node) or "").partition("\n\n")[0]
    return f"[`{prefix}{named.name}`](#{slug(named.name)})", cell(first)


def _section(named: Named, title: str) -> list[str]:
    node = named.node
    lines = ["", f"## {title} {{ #{slug(named.name)} }}", ""]
    if isinstance(node, ast.FunctionDef):
        return [*lines, *_signature(node, title), *_docstring(node)]
    bases = ", ".join(ast.unparse(base) for base in node.bases)
    lines += [f"In `{named.module}`" + (f", a `{bases}`." if bases else "."), ""]
    maker = next((m for m in _methods(node, named.module) if m.name == "__init__"), None)
    if maker is not None:
        lines += _signature(maker, named.name, skip_self=True)
    lines += _docstring(node) + _members(node)
    for method in _methods(node, named.module):
        if method.name.startswith("_"):
            continue
        lines += [f"### {named.name}.{method.name}", "", anchor(f"{named.name}.{method.name}"), ""]
        if not _is_property(method):
            lines += _signature(method, method.name, skip_self=True)
        lines += _docstring(method)
    return lines


def _methods(node: ast.ClassDef, module: str) -> list[ast.FunctionDef]:
    """A class's methods, and those that it has from a class of ours, each once."""
    found = {part.name: part for part in node.body if isinstance(part, ast.FunctionDef)}
    imported = {
        alias.asname or alias.name: str(part.module)
        for part in _imports(module)
        for alias in part.names
    }
    for base in node.bases:
        name = ast.unparse(base)
        for parent in _found(imported.get(name, module), name):
            if isinstance(parent.node, ast.ClassDef) and parent.node is not node:
                for method in _methods(parent.node, parent.module):
                    found.setdefault(method.name, method)
    return [
        method
        for method in found.values()
        if ast.get_docstring(method) or method.name == "__init__"
    ]


def _is_property(method: ast.FunctionDef) -> bool:
    return any("property" in ast.unparse(each) for each in method.decorator_list)


def _signature(node: ast.FunctionDef, name: str, *, skip_self: bool = False) -> list[str]:
    arguments = ast.unparse(node.args)
    if skip_self:
        arguments = arguments.removeprefix("self").removeprefix("cls").removeprefix(", ")
    gives = f" -> {ast.unparse(node.returns)}" if node.returns and node.name != "__init__" else ""
    parts = _split(arguments)
    text = f"{name}({', '.join(parts)}){gives}"
    if len(text) > 88 and arguments:
        text = f"{name}(\n    " + ",\n    ".join(parts) + f",\n){gives}"
    return ["```python { .signature }", text, "```", ""]


def _split(arguments: str) -> list[str]:
    """Arguments one by one; a comma within brackets parts nothing."""
    parts, depth = [""], 0
    for sign in arguments:
        depth += (sign in "([{") - (sign in ")]}")
        if sign == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += sign
    return [re.sub(r"^(\w+: [^=]+)=", r"\1 = ", part.strip()) for part in parts]


def _arguments(arguments: ast.arguments) -> list[str]:
    given = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    return [each.arg for each in given if each.arg not in ("self", "cls")]


def _docstring(node: ast.FunctionDef | ast.ClassDef) -> list[str]:
    text, sections = sections_of(ast.get_docstring(node) or "")
    lines = paragraphs(text)
    titles = {"Args": "Argument", "Raises": "Raises"}
    for section, items in sections.items():
        if section == "Attributes":  # with their types, in a table of their own
            continue
        if section in titles:
            named = ((code(name), cell(meaning)) for name, meaning in items if name)
            lines += table((titles[section], "Meaning"), named)
        if section not in titles or not any(name for name, _ in items):
            words = " ".join(f"{name}: {m}" if name else m for name, m in items)
            lines += [f"**{section}:** {cell(words)}", ""]
    return lines


def _attributes(node: ast.ClassDef) -> list[tuple[str, str]]:
    return sections_of(ast.get_docstring(node) or "")[1].get("Attributes", [])


def _described(node: ast.ClassDef) -> list[tuple[str, str]]:
    """A pydantic class's fields with the ``description`` of each."""
    found = []
    for part in node.body:
        if isinstance(part, ast.AnnAssign) and isinstance(part.value, ast.Call):
            words = {k.arg: k.value for k in part.value.keywords}
            about = words.get("description")
            found.append((ast.unparse(part.target), ast.literal_eval(about) if about else ""))
    return found


def _members(node: ast.ClassDef) -> list[str]:
    """A class's attributes: of a dataclass with type and default, all with their meaning."""
    meanings = {
        name.strip(): meaning for names, meaning in _attributes(node) for name in names.split(",")
    }
    rows = {
        part.target.id: (
            code(ast.unparse(part.annotation)),
            code(ast.unparse(part.value)) if part.value is not None else "",
            cell(meanings.get(part.target.id, "")),
        )
        for part in node.body
        if isinstance(part, ast.AnnAssign)
        and isinstance(part.target, ast.Name)
        and not part.target.id.startswith("_")
    }
    rows |= {name: ("", "", cell(text)) for name, text in meanings.items() if name not in rows}
    if not any(kind for kind, _, _ in rows.values()):
        return table(("Attribute", "Meaning"), ((code(n), row[2]) for n, row in rows.items()))
    return table(
        ("Attribute", "Type", "Default", "Meaning"),
        ((code(name), *row) for name, row in rows.items()),
    )
