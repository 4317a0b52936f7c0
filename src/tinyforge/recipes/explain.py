"""What a setting is, in words: for the terminal, and for who looks one up."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from tinyforge.config.names import Setting, keyword_names, settings_table
from tinyforge.config.roots import families, verbs_with
from tinyforge.config.units import unit_of
from tinyforge.registry import suggest


def about_settings(word: str) -> list[str]:
    """What the settings of a name are, each as text; empty where there is none.

    Args:
        word: a dotted name or a short one, such as ``learning_rate``.
    """
    found: dict[tuple[str, str], _About] = {}
    for root in families():
        table = settings_table(root)
        name = word if word in table else keyword_names(root).get(word, "")
        names = [name] if name in table else [n for n in table if n.rpartition(".")[2] == word]
        for each in names:
            setting = table[each]
            about = found.setdefault((each, setting.description), _About(setting))
            about.words += [w for w, full in keyword_names(root).items() if full == each]
            about.verbs += verbs_with(each)[root]
    return [about.render() for about in found.values()]


def setting_names() -> list[str]:
    """The dotted names of all settings of all verbs, each once."""
    return list(dict.fromkeys(name for root in families() for name in settings_table(root)))


def similar(word: str, known: Iterable[str]) -> str:
    """What may have been meant; never the whole list, which is long."""
    hint = suggest(word, known)
    return (
        hint
        if hint.startswith("Did")
        else "The page reference/settings.html of the documentation has all"
    )


def shown_default(setting: Setting) -> str:
    """A setting's default as it is written in a settings file; empty where it is chosen."""
    value: Any = setting.default
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Sequence) and not isinstance(value, str):
        return f"[{', '.join(map(str, value))}]"
    if isinstance(value, float):
        return f"{value:g}"
    return str(value)


@dataclass
class _About:
    """A setting, its short names in Python, and the verbs that take it."""

    setting: Setting
    words: list[str] = field(default_factory=list)
    verbs: list[str] = field(default_factory=list)

    def render(self) -> str:
        setting, unit = self.setting, unit_of(self.setting)
        none = "; null chooses" if setting.nullable else ""
        words = ", ".join(f"{word}=" for word in dict.fromkeys(self.words))
        lines = [
            f"{setting.name}: {setting.description}", "",
            f"takes   {setting.allowed}{none}" + (f" ({unit})" if unit else ""),
            f"default {shown_default(setting) or 'chosen from task, model and data, or not used'}",
            f"give    --set {setting.name}=VALUE, or in a file of settings"
            + (f"; in Python {words}" if words else ""),
            f"for     {', '.join(dict.fromkeys(self.verbs))}",
        ]  # fmt: skip
        return "\n".join(lines)
