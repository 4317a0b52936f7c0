"""Find the runs below a folder; what is known of them is read from their folders alone."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from tinyforge.artifacts.files import read_json
from tinyforge.artifacts.manifest import files_in
from tinyforge.artifacts.run_folder import RunFolder
from tinyforge.errors import FolderError

State = Literal["finished", "resumable", "running", "damaged"]

NOT_SEARCHED = {"tinyforge", "node_modules", "__pycache__"}
DEEPEST = 6


@dataclass(frozen=True)
class RunRecord:
    """A run in a list. What its folder does not tell is None.

    Attributes:
        folder: where it lies.
        date: when it ended, or was last written to; local time.
        metric: name of the headline metric, ``value`` its value on the test rows.
        verdict: ``better``, ``not better`` or ``cannot tell``.
        state: ``finished``; ``resumable``: ended before its end; ``running``; or ``damaged``: a
            file is missing, has another size or cannot be read (``problem`` says which).
    """

    folder: str
    date: str
    task: str | None
    model: str | None
    metric: str | None
    value: float | None
    verdict: str | None
    state: State
    problem: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


def find_runs(top: Path) -> list[RunRecord]:
    """The runs in ``top`` and in folders below it, the newest first.

    Raises:
        FolderError: there is no such folder.
    """
    if not top.is_dir():
        raise FolderError("no such folder", where=str(top), fix="Give a folder that holds runs")
    found = [describe(folder) for folder in _run_folders(top)]
    return sorted(found, key=lambda run: run.date, reverse=True)


def describe(folder: RunFolder) -> RunRecord:
    """One run's line: settings from ``run.json``, quality from ``report.json``."""
    state, problem = _state(folder)
    record, report = _read(folder.run), _read(folder.report)
    result = _mapping(report.get("result"))
    metric: str | None = result.get("primary_metric")
    return RunRecord(
        folder=str(folder.path),
        date=_date(folder),
        task=result.get("task") or record.get("task"),
        model=result.get("model") or record.get("model"),
        metric=metric,
        value=_mapping(result.get("metrics")).get(metric) if metric else None,
        verdict=result.get("verdict"),
        state=state,
        problem=problem,
    )


def table(runs: Sequence[RunRecord]) -> str:
    """The runs as aligned columns for the terminal."""
    rows = [("date", "task", "model", "metric", "verdict", "state", "folder")]
    rows += [
        (
            run.date.replace("T", " ")[:16],
            run.task or "",
            run.model or "",
            f"{run.metric} {run.value:.4g}" if run.value is not None else "",
            run.verdict or "",
            run.state + (f" ({run.problem})" if run.problem else ""),
            run.folder,
        )
        for run in runs
    ]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
             for row in rows)  # fmt: skip
    return "\n".join(line.rstrip() for line in lines)


def _run_folders(top: Path) -> Iterator[RunFolder]:
    depth = len(top.parts)
    for root, folders, _ in os.walk(top):
        path = Path(root)
        if "tinyforge" in folders and RunFolder(path).state in ("unfinished", "finished"):
            yield RunFolder(path)
        deep = len(path.parts) - depth >= DEEPEST
        folders[:] = [
            name
            for name in sorted(folders)
            if not deep and name not in NOT_SEARCHED and not name.startswith(".")
        ]


def _state(folder: RunFolder) -> tuple[State, str | None]:
    if _is_running(folder):
        return "running", None
    for path in (folder.run, folder.report):
        if path.is_file() and not _read(path):
            return "damaged", f"{path.name} cannot be read"
    if not folder.finished:
        return "resumable", None
    if not folder.manifest.is_file():
        return "resumable", None  # killed in the last moment; --resume writes the manifest
    try:
        listed = files_in(read_json(folder.manifest), folder.manifest)
    except FolderError as problem:
        return "damaged", problem.what
    for name, entry in listed.items():
        path = folder.path / name
        if not path.is_file():
            return "damaged", f"{name} is missing"
        if path.stat().st_size != entry["bytes"]:
            return "damaged", f"{name} has another size"
    return "finished", None


def _is_running(folder: RunFolder) -> bool:
    """Whether the process that wrote the lock is alive; a killed one leaves its lock behind."""
    try:
        process = int((folder.meta / "lock").read_text(encoding="ascii").strip() or 0)
    except (OSError, ValueError):
        return False
    if process <= 0:
        return False
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _date(folder: RunFolder) -> str:
    newest = max(
        (p.stat().st_mtime for p in (folder.report, folder.metrics, folder.run) if p.is_file()),
        default=folder.meta.stat().st_mtime,
    )
    return datetime.fromtimestamp(newest, UTC).astimezone().isoformat(timespec="seconds")


def _read(path: Path) -> dict[str, Any]:
    """A JSON object; empty where the file is missing or damaged."""
    try:
        return _mapping(read_json(path))
    except FolderError:
        return {}


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
