"""The reference of settings, from the classes that hold them."""

from __future__ import annotations

from dataclasses import dataclass

from page_text import MADE, anchor, cell, code, slug, table

from tinyforge.config.names import SYNONYMS, Setting, settings_table
from tinyforge.config.roots import ROOTS, STAGES_OF, families
from tinyforge.config.units import unit_of
from tinyforge.recipes.explain import shown_default

TITLES = ("Setting", "Takes", "Unit", "Default", "Meaning")


def undescribed() -> list[str]:
    """Settings that say nothing about themselves."""
    return sorted({
        name for root in families() for name, setting in settings_table(root).items()
        if not setting.description.strip()
    })  # fmt: skip


def page() -> str:
    """The page."""
    lines = [
        MADE, "", "# Settings", "",
        "A setting has a stage and a name. Give it as `--set train.learning_rate=1e-4`, as a flag "
        "where there is one, in a file (`--config`), or in Python by its short name "
        "(`learning_rate=1e-4`) or in full (`settings={\"train.clip_norm\": 0.5}`). What is left "
        "open is chosen from task, model and data, and recorded with its reason in "
        "`tinyforge/run.json`. `tinyforge explain NAME` shows the same in the terminal, "
        "`tinyforge new my_data.jsonl` writes a file of them with comments.", "",
    ]  # fmt: skip
    groups = _groups()
    lines += table(("Verb", "Its settings"), (
        (anchor(verb) + code(verb), ", ".join(
            f"[{group.title}](#{group.place})" for group in groups if verb in group.verbs
        ))
        for verb in ROOTS
    ))  # fmt: skip
    placed: set[str] = set()
    for group in groups:
        verbs = ", ".join(map(code, group.verbs))
        lines += ["", f"## {group.title} {{ #{group.place} }}", "", f"For {verbs}.", ""]
        rows = []
        for setting in group.settings:
            place = "" if setting.name in placed else anchor(setting.name)
            placed.add(setting.name)
            rows.append((place + code(setting.name), *_rest(setting)))
        lines += table(TITLES, rows)
    lines += [
        "", "## Other names", "",
        "In Python these short names are taken too, beside the last part of every setting's name "
        "that only one setting has.", "",
        *table(("Name", "Setting"), ((code(word), code(name)) for word, name in SYNONYMS.items())),
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


@dataclass
class _Group:
    """The settings of a stage, and the verbs that take just these."""

    stage: str
    settings: tuple[Setting, ...]
    verbs: list[str]
    title: str = ""
    place: str = ""


def _groups() -> list[_Group]:
    """Each stage once, however many verbs share it; of one name that means several, the verb tells
    which."""
    found: dict[str, _Group] = {}
    for root, verbs in families().items():
        stages: dict[str, list[Setting]] = {}
        for name, setting in settings_table(root).items():
            stages.setdefault(name.rpartition(".")[0], []).append(setting)
        for stage, settings in stages.items():
            own = [
                v
                for v in verbs
                if stage.partition(".")[0] in STAGES_OF.get(v, (stage.partition(".")[0],))
            ]
            if not own:
                continue
            group = _Group(stage, tuple(settings), [])
            group = found.setdefault(repr((stage, settings)), group)
            group.verbs += own
    several = [group.stage for group in found.values()]
    for group in found.values():
        group.title = group.stage or "top level"
        if several.count(group.stage) > 1:
            group.title += f" ({group.verbs[0]})"
        group.place = "settings-" + slug(group.title)
    return list(found.values())


def _rest(setting: Setting) -> tuple[str, str, str, str]:
    default = shown_default(setting)
    return (
        cell(setting.allowed), unit_of(setting), code(default) if default else "chosen or none",
        cell(setting.description),
    )  # fmt: skip
