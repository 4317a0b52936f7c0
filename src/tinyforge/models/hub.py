"""The Hugging Face cache and hub, asked so that a dead network never costs more than seconds."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tinyforge.errors import ModelError
from tinyforge.models import folder as folders
from tinyforge.models.quiet import quiet

log = logging.getLogger("tinyforge")

ANSWER_SECONDS = 4.0
"""How long the hub may take to say that it is there."""

FIRST_OWNERS = ("google-bert", "google-t5", "distilbert", "openai-community", "FacebookAI")
"""Owners that the hub later gave to ids which had none: bert-base-uncased, t5-small, gpt2."""

TAKEN = (".json", ".txt", ".model", ".jinja", ".safetensors")


class HubUnreachable(Exception):  # noqa: N818 - a state of the network, not a fault
    """The hub did not answer in time, or offline mode is on."""


def cached_folder(repo_id: str, revision: str | None = None) -> Path | None:
    """The newest whole copy of a model in the Hugging Face cache, or None.

    Whole means: its config, all weights as safetensors, and a tokenizer (or an adapter's two
    files). ``revision`` is a branch, tag or commit; without one ``main`` is looked for, then the
    newest snapshot. The cache's place follows ``HF_HOME`` and ``HF_HUB_CACHE``.
    """
    for known in _same_model(repo_id):
        for snapshot in _snapshots(known, revision):
            if missing_part(snapshot) is None:
                return snapshot
    return None


def cached_part(repo_id: str, revision: str | None = None) -> tuple[Path, str] | None:
    """A cached copy that is not whole, and what it lacks; None where nothing is cached."""
    for known in _same_model(repo_id):
        for snapshot in _snapshots(known, revision):
            reason = missing_part(snapshot)
            if reason is not None:
                return snapshot, reason
    return None


def _same_model(repo_id: str) -> list[str]:
    owner, _, name = repo_id.rpartition("/")
    if not owner:
        return [repo_id, *(f"{first}/{name}" for first in FIRST_OWNERS)]
    return [repo_id, name] if owner in FIRST_OWNERS else [repo_id]


def _snapshots(repo_id: str, revision: str | None) -> list[Path]:
    from huggingface_hub import constants

    root = Path(constants.HF_HUB_CACHE) / ("models--" + repo_id.replace("/", "--"))
    branch = root / "refs" / (revision or "main")
    commit = revision
    if branch.is_file():
        commit = branch.read_text().strip()
    if commit is not None:
        found = root / "snapshots" / commit
        return [found] if found.is_dir() else []
    if not (root / "snapshots").is_dir():
        return []
    return sorted((root / "snapshots").iterdir(), key=lambda p: p.stat().st_mtime, reverse=True)


def missing_part(folder: Path) -> str | None:
    """Why a folder is not a whole model, or None where it is."""
    if not folders.is_adapter(folder):
        if not (folder / "config.json").is_file():
            return "config.json is missing"
        if not any((folder / name).is_file() for name in folders.TOKENIZER_FILES):
            return "the tokenizer's files are missing"
    try:
        folders.weight_files(folder)
    except ModelError as error:
        return error.what
    return None


def offline() -> bool:
    """Whether the user switched the hub off (``HF_HUB_OFFLINE=1``)."""
    from huggingface_hub import constants

    return bool(constants.HF_HUB_OFFLINE)


def fetch(repo_id: str, revision: str | None = None, *, code: bool = False) -> Path:
    """Downloads a model into the cache and returns its folder.

    Args:
        code: download the model's Python files too (only for a trusted model).

    Raises:
        HubUnreachable: within ``ANSWER_SECONDS``, where the hub does not answer.
        ModelError: the hub answers that there is no such model, or that it may not be read, or
            the model has no safetensors.
    """
    from huggingface_hub import model_info, snapshot_download

    if offline():
        raise HubUnreachable("offline mode is on (HF_HUB_OFFLINE)")
    info = _in_time(
        lambda: model_info(
            repo_id, revision=revision, timeout=ANSWER_SECONDS - 1, files_metadata=True
        )
    )
    files = {s.rfilename: s.size or 0 for s in info.siblings or () if "/" not in s.rfilename}
    if not any(name.endswith(".safetensors") for name in files):
        raise ModelError(
            f"the hub model {repo_id} has no safetensors weights, and pickled ones can run code "
            "when they are opened",
            fix=folders.CONVERT.replace("FOLDER", repo_id),
        )
    wanted = [name for name in files if name.endswith((*TAKEN, ".py") if code else TAKEN)]
    if folders.WEIGHTS in wanted:
        wanted = [n for n in wanted if not n.endswith(".safetensors") or n == folders.WEIGHTS]
    megabytes = sum(files[name] for name in wanted) / 1e6
    log.info("downloading %s from the Hugging Face hub (%.0f MB)", repo_id, megabytes)
    with quiet():
        try:
            return Path(snapshot_download(repo_id, revision=revision, allow_patterns=wanted))
        except Exception as error:
            raise ModelError(
                f"the download of {repo_id} broke off",
                value=str(error).split("\n")[0],
                fix="Run it again; what was downloaded is kept",
            ) from error


def _in_time(ask: Callable[[], Any]) -> Any:
    """The answer of ``ask``, in a thread: a name server that hangs cannot be timed out."""
    from huggingface_hub import errors

    answer: list[Any] = []
    failure: list[Exception] = []

    def run() -> None:
        try:
            answer.append(ask())
        except Exception as error:
            failure.append(error)

    thread = threading.Thread(target=run, daemon=True, name="tinyforge-hub")
    with quiet():
        thread.start()
        thread.join(ANSWER_SECONDS)
    if answer:
        return answer[0]
    if not failure:
        raise HubUnreachable(f"no answer in {ANSWER_SECONDS:.0f} s")
    error = failure[0]
    if isinstance(error, errors.GatedRepoError):
        raise ModelError(
            "the hub model is behind terms that you have not accepted",
            fix="Accept them on its page and run: hf auth login",
        ) from error
    if isinstance(error, errors.RevisionNotFoundError):
        raise ModelError("the hub model has no such revision", where="model.revision") from error
    if isinstance(error, errors.RepositoryNotFoundError | errors.HFValidationError):
        raise ModelError("the hub has no such model, or it is private") from error
    raise HubUnreachable(str(error)) from error
