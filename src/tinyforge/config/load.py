"""Settings from a YAML file, ``--set`` options, flags and keywords; the later one wins."""

from __future__ import annotations

import contextlib
import json
import math
import numbers
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import ValidationError

from tinyforge.config.base import Stage
from tinyforge.config.check import check_settings
from tinyforge.config.names import Setting, keyword_names, nearest, settings_table, stages
from tinyforge.config.settings import Settings
from tinyforge.errors import SettingError

NULLS = {"null", "none", "~"}

Root = TypeVar("Root", bound=Stage)


@dataclass(frozen=True, slots=True)
class _Entry:
    """One value that somebody gave: for which setting, and where it stands."""

    name: str
    value: Any
    where: str


def load_settings(
    config_file: str | Path | None = None,
    overrides: Sequence[str] = (),
    direct: Mapping[str, Any] | None = None,
    *,
    only: Sequence[str] = (),
) -> Settings:
    """Settings of a run, as ``load_tree`` reads them; what contradicts itself is refused.

    Raises:
        SettingError: as ``load_tree``, or a setting that can have no effect next to the others.
    """
    settings = load_tree(Settings, config_file, overrides, direct, only=only)
    # What contradicts itself is refused now, before a row is read; more is known later.
    check_settings(
        settings,
        task=None if settings.task == "auto" else settings.task,
        pretrained=False if settings.model.name.startswith("scratch:") else None,
        multi_label=settings.data.multi_label,
    )
    return settings


def load_tree(
    root: type[Root],
    config_file: str | Path | None = None,
    overrides: Sequence[str] = (),
    direct: Mapping[str, Any] | None = None,
    *,
    only: Sequence[str] = (),
) -> Root:
    """Settings from all places; what comes later wins: defaults, file, overrides, direct.

    Args:
        root: the class that holds all settings of the verb.
        config_file: a YAML file, nested by stage (``train: {epochs: 3}``) or with dotted names.
        overrides: texts such as ``train.learning_rate=1e-4`` or ``generate.stop=[".", "!"]``.
        direct: dotted names to values, as flags and keywords give them; None means not given.
        only: the stages that the calling verb uses; a value given for another is an error.

    Returns:
        The settings. ``tinyforge.config.names.explicit`` tells which were given.

    Raises:
        SettingError: an unknown name (with the nearest one), or a value that is not allowed.
    """
    entries = [*_from_file(Path(config_file), root)] if config_file is not None else []
    entries += [_from_text(text, root) for text in overrides]
    entries += [
        _Entry(name, value, name) for name, value in (direct or {}).items() if value is not None
    ]
    tree: dict[str, Any] = {}
    places: dict[str, str] = {}
    for entry in entries:
        setting, key = _find(entry, root)
        stage = setting.name.partition(".")[0]
        if only and stage not in only:
            raise _error(
                entry.where, setting.name, "has no effect here", None,
                f"Leave it out; these stages are used here: {', '.join(only)}",
            )  # fmt: skip
        _store(tree, setting, key, _tidy(setting, key, entry))
        places[setting.name] = entry.where
    try:
        return root.model_validate(tree)
    except ValidationError as problem:
        raise _explain(problem, places, root) from None


def keyword_settings(keywords: Mapping[str, Any], root: type[Stage] = Settings) -> dict[str, Any]:
    """Python keywords (``epochs=3, use_lora=True``) as dotted settings.

    A keyword is a synonym, the last part of a setting's name, or the whole dotted name; a value
    that is a mapping may also stand for a whole stage (``train={"epochs": 3}``).

    Raises:
        SettingError: an unknown keyword, or two keywords for one setting.
    """
    short, table = keyword_names(root), settings_table(root)
    found: dict[str, Any] = {}
    for keyword, value in keywords.items():
        if keyword in stages(root) and isinstance(value, Mapping):
            named = {f"{keyword}.{name}": item for name, item in value.items()}
        elif keyword in short or keyword in table or keyword.startswith("model.shape."):
            named = {short.get(keyword, keyword): value}
        else:
            raise SettingError("unknown setting", value=keyword, fix=nearest(keyword, root))
        for name, item in named.items():
            if name in found and item is not None and found[name] is not None:
                raise SettingError("given twice", where=name, fix=f"Leave out {keyword!r}")
            found[name] = item if item is not None else found.get(name)
    return found


def _from_text(text: str, root: type[Stage]) -> _Entry:
    name, equals, value = text.partition("=")
    name = name.strip()
    if not equals or not name:
        raise SettingError(
            "not of the form name=value", where="--set", value=text,
            fix="Write for example: --set train.learning_rate=1e-4",
        )  # fmt: skip
    setting, key = _find(_Entry(name, None, "--set"), root)
    return _Entry(name, _parse(setting, key, value, name), name)


def _parse(setting: Setting, key: str | None, text: str, where: str) -> Any:
    """The value that a text on the command line stands for."""
    if setting.nullable and text.strip().lower() in NULLS:
        return None
    kind = setting.item if key else setting.kind
    quoted = len(text) > 1 and text[0] == text[-1] and text[0] in "\"'"
    if kind in ("text", "choice") and not quoted:
        return text
    if kind == "list" and not text.lstrip().startswith("["):
        return [item.strip() for item in text.split(",")] if text.strip() else []
    if kind == "object":  # YAML reads nearly all JSON: not its escapes, for example
        with contextlib.suppress(ValueError, RecursionError):
            return json.loads(text)
    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError):
        raise _error(where, setting.name, f"must be {setting.allowed}", text, None) from None


def _from_file(path: Path, root: type[Stage]) -> Iterator[_Entry]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise SettingError(
            "no such settings file", where=str(path), fix="Give a YAML file of settings"
        ) from None
    except (OSError, UnicodeDecodeError) as problem:
        reason = getattr(problem, "strerror", None) or "it is not UTF-8 text"
        raise SettingError(f"cannot read the settings: {reason}", where=str(path)) from None
    try:
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        if node is not None:
            yield from _from_mapping(loader, node, "", path, root)
    except yaml.MarkedYAMLError as problem:
        mark = problem.problem_mark or problem.context_mark
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        raise SettingError(f"not valid YAML: {problem.problem}", where=where) from None
    except yaml.YAMLError as problem:
        raise SettingError(f"not valid YAML: {problem}", where=str(path)) from None
    except RecursionError:
        raise SettingError("nested too deep", where=str(path)) from None


def _from_mapping(
    loader: yaml.SafeLoader, node: yaml.Node, prefix: str, path: Path, root: type[Stage]
) -> Iterator[_Entry]:
    where = f"{path}:{node.start_mark.line + 1}"
    if node.tag == "tag:yaml.org,2002:null":
        return
    if not isinstance(node, yaml.MappingNode):
        what = f"{prefix.rstrip('.') or 'the file'} must hold names and values"
        raise SettingError(what, where=where, value=node.value, fix="Write for example: epochs: 3")
    _refuse_repeated_keys(node, path)
    loader.flatten_mapping(node)
    for key, value in node.value:
        name = f"{prefix}{key.value}"
        where = f"{path}:{key.start_mark.line + 1}"
        if name in stages(root):
            yield from _from_mapping(loader, value, f"{name}.", path, root)
            continue
        setting, _ = _find(_Entry(name, None, where), root)
        keep = isinstance(value, yaml.ScalarNode) and setting.kind in ("text", "choice")
        constructed = loader.construct_object(value, deep=True)
        # A text keeps its spelling: `revision: 1e5` is a name here, not a number.
        yield _Entry(name, value.value if keep and constructed is not None else constructed, where)


def _refuse_repeated_keys(node: yaml.MappingNode, path: Path) -> None:
    seen: set[str] = set()
    for key, _ in node.value:
        where = f"{path}:{key.start_mark.line + 1}"
        if not isinstance(key, yaml.ScalarNode):
            raise SettingError("a setting's name must be text", where=where)
        if key.value in seen:
            raise SettingError("set twice in this file", where=where, value=key.value)
        seen.add(key.value)


def _find(entry: _Entry, root: type[Stage]) -> tuple[Setting, str | None]:
    """The setting an entry is for, and the key inside it where that is a table."""
    table = settings_table(root)
    if entry.name in table:
        return table[entry.name], None
    for parent, setting in table.items():
        key = entry.name.removeprefix(f"{parent}.")
        if setting.kind == "table" and key and key != entry.name:
            return setting, key  # a key may hold points: weights.novels.tar.xz
    if entry.name in stages(root):
        first = next(name for name in table if name.startswith(f"{entry.name}."))
        raise SettingError(
            f"{entry.name} is a group of settings", where=entry.where, value=entry.value,
            fix=f"Name one of them, for example {first}",
        )  # fmt: skip
    raise SettingError(
        "unknown setting", where=entry.where, value=entry.name, fix=nearest(entry.name, root)
    )


def _tidy(setting: Setting, key: str | None, entry: _Entry) -> Any:
    """The value in the type that the setting takes, where that changes no meaning."""
    value, kind = entry.value, setting.item if key else setting.kind
    if isinstance(value, os.PathLike) and kind == "text":
        return os.fspath(value)
    if kind == "list" and isinstance(value, str):
        return (value,)
    if kind not in ("number", "whole number") or value is None:
        return value
    if isinstance(value, str):
        with contextlib.suppress(ValueError):
            value = float(value)  # YAML 1.1 reads 1e-4, with no point in it, as text
    wrong = isinstance(value, bool) or not isinstance(value, numbers.Real)
    if not wrong and not math.isfinite(value):
        wrong = True
    if not wrong and kind == "whole number" and value != int(value):
        wrong = True
    if wrong:
        wanted = f"a {setting.item}" if key else setting.allowed
        raise _error(entry.where, entry.name, f"must be {wanted}", entry.value, None)
    return int(value) if kind == "whole number" else float(value)


def _store(tree: dict[str, Any], setting: Setting, key: str | None, value: Any) -> None:
    """Put a value in its place; null takes an earlier value away."""
    *names, field = setting.name.split(".")
    holder = tree
    for name in names:
        holder = holder.setdefault(name, {})
    if key is not None:
        holder[field] = {**holder.get(field, {}), key: value}
    elif value is None and setting.nullable:
        holder.pop(field, None)
    else:
        holder[field] = value


def _explain(
    problem: ValidationError, places: Mapping[str, str], root: type[Stage]
) -> SettingError:
    """The first thing pydantic found, in one line."""
    first = problem.errors(include_url=False)[0]
    parts = [str(part) for part in first["loc"]]
    for length in range(len(parts), 0, -1):
        name = ".".join(parts[:length])
        if name in settings_table(root):
            setting = settings_table(root)[name]
            where, value = places.get(name, name), first["input"]
            if isinstance(value, float) and value.is_integer():
                value = int(value)  # as it was most likely written
            return _error(where, name, f"must be {setting.allowed}", value, None)
    return SettingError(first["msg"], where=".".join(parts), value=first["input"])


def _error(where: str, name: str, what: str, value: object, fix: str | None) -> SettingError:
    """An error that names the setting once, whether or not its place already does."""
    what = what if where == name else f"{name} {what}"
    return SettingError(what, where=where, value="null" if value is None and not fix else value,
                        fix=fix)  # fmt: skip
