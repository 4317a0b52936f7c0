"""From dirty raw text to a corpus: read, clean, drop what is there twice, split, write, account."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from tinyforge.artifacts.corpus_folder import open_corpus
from tinyforge.artifacts.files import read_json
from tinyforge.config.prepare import PrepareSettings
from tinyforge.corpus import identity as same
from tinyforge.corpus.reading import Unit, find_units
from tinyforge.corpus.reading.unit import local_path
from tinyforge.errors import Interrupted, SettingError
from tinyforge.recipes.prepare_result import Preparation, Tell
from tinyforge.recipes.prepare_work import Work
from tinyforge.registry import suggest

log = logging.getLogger("tinyforge")

FORMAT = 1


def prepare(
    sources: Sequence[str | Path],
    *,
    settings: PrepareSettings,
    output_dir: Path,
    resume: bool = False,
    force: bool = False,
    tell: Tell | None = None,
) -> Preparation:
    """Read, mend, filter, deduplicate and split raw text into a corpus on disk.

    The same sources and settings give the same bytes, whatever the number of workers, and however
    often the work was killed and resumed.

    Args:
        sources: files, folders, database queries or data sets; see ``corpus.reading``.
        output_dir: a new folder, or with ``resume`` one that unfinished work left.
        force: replace the corpus that lies in ``output_dir``.
        tell: told how far the work is.

    Raises:
        TinyForgeError: a mistake in sources, settings or folder, in one line.
        Interrupted: a signal came; the work can be resumed.
    """
    _check(settings)
    with open_corpus(output_dir, resume=resume, force=force) as folder:
        units = _find_units([str(source) for source in sources], settings, output_dir)
        made_from = same.identity(settings, units)
        if folder.state == "finished" and not force:
            same.check_settings_are_the_same(folder.identity(), made_from)
            same.check_sources_are_the_same(folder.identity(), made_from)
            log.info(f"{output_dir} is finished already; nothing was done")
            return Preparation(output_dir, read_json(folder.report))
        stamps = same.stamps(units)
        plan = {"format": FORMAT, "identity": made_from, "units": stamps}
        if folder.state == "unfinished" and resume:
            before = folder.plan()
            same.check_settings_are_the_same(before["identity"], made_from)
            same.check_units_are_the_same(before["units"], stamps)
        else:
            _check_weights(settings, units)
            folder.begin(plan)
        work = Work(folder, settings, units, made_from, tell or (lambda step: None))
        try:
            return work.run()
        except KeyboardInterrupt:
            raise _interrupted(2) from None
        except Interrupted as stop:
            raise _interrupted(stop.exit_code - 128) from None


def _interrupted(number: int) -> Interrupted:
    return Interrupted(
        "what was prepared so far is kept", signal_number=number, fix="Go on with --resume"
    )


def _check(settings: PrepareSettings) -> None:
    split = settings.split
    if split.validation_share + split.test_share >= 1:
        raise SettingError(
            "with split.validation_share nothing is left to train on", where="split.test_share",
            value=split.test_share, fix="Lower one of the two",
        )  # fmt: skip
    for name, weight in settings.weights.items():
        if weight < 0:
            raise SettingError("must be at least 0", where=f"weights.{name}", value=weight)


def _check_weights(settings: PrepareSettings, units: Sequence[Unit]) -> None:
    names = dict.fromkeys(unit.source for unit in units)
    for name in settings.weights:
        if name not in names:
            raise SettingError("no such source", where=f"weights.{name}", fix=suggest(name, names))


def _find_units(sources: Sequence[str], settings: PrepareSettings, output: Path) -> list[Unit]:
    """All units but those in the output folder, which may lie within a source."""
    units = find_units(sources, settings.read)
    own = output.resolve()
    around = [s for s in sources if Path(s).is_dir() and own.is_relative_to(Path(s).resolve())]
    if not around:
        return units
    return [unit for unit in units if not local_path(unit).resolve().is_relative_to(own)]
