"""Keeps a training's work: checkpoints on disk, and a good state to go back to after trouble.

The good state is taken at steps that depend on the settings alone (``aligned``), never on the
clock, so that a run that gets into trouble and one that was killed and resumed before it go back
to the same weights. A checkpoint between two such steps carries the good state with it.
"""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinyforge.artifacts.checkpoint import (
    all_checkpoints,
    clean_up,
    copy_checkpoint,
    folder_name,
    latest_good,
    problems,
    prune,
    read_tensors,
    save_checkpoint,
)
from tinyforge.artifacts.run_folder import RunFolder
from tinyforge.train.journal import Journal
from tinyforge.train.loop import Training
from tinyforge.train.recovery import Trouble
from tinyforge.train.resume import capture, check_identity, restore

if TYPE_CHECKING:
    import torch

log = logging.getLogger("tinyforge")

SECONDS_BETWEEN = 120.0
"""Between checkpoints, where the settings say nothing; twice that between aligned steps."""
PART = "good"
"""Subfolder of a checkpoint that holds the good state to go back to."""


class Keeper:
    """Saves, prunes, resumes and goes back.

    Args:
        identity: what must be the same for a resume.
        aligned_to: steps of which every multiple is aligned, such as those of validations.
    """

    def __init__(
        self,
        folder: RunFolder,
        training: Training,
        identity: Mapping[str, Any],
        aligned_to: tuple[int, ...],
    ) -> None:
        self.folder, self.training, self.identity = folder, training, identity
        between = max(10, min(100, training.total_steps // 20))
        every = training.settings.checkpoint_every
        self._aligned_to = (between, *aligned_to, *((every,) if every else ()))
        self._good = folder.checkpoints / "good"
        self._good_step = -1
        self._saved: dict[str, Any] | None = None
        self._saved_at = time.monotonic()
        self.journal: Journal | None = None

    def resume(self) -> Path | None:
        """Put the newest intact checkpoint into the training; None where there is none.

        Raises:
            SettingError: it belongs to other settings, data or weights.
        """
        clean_up(self.folder.checkpoints)
        there = all_checkpoints(self.folder.checkpoints)
        found = latest_good(self.folder.checkpoints)
        if found is None:
            if there:
                log.warning("no checkpoint is intact; the run starts from the beginning")
            return None
        check_identity(self.training, found, self.identity)
        restore(self.training, found)
        if (found / PART).is_dir():
            copy_checkpoint(found / PART, self._good)
            self._good_step = -2  # of an earlier step than this one
        else:
            copy_checkpoint(found, self._good)
            self._good_step = self.training.progress.step
        self._saved = self.training.progress.position()
        return found

    def best_is_intact(self) -> bool:
        """Whether the best weights so far, if any, can still be read."""
        best = self.training.progress.best_step
        if best is None or best == self.training.progress.step:
            return True
        return not problems(self.folder.checkpoints / folder_name(best))

    def start(self) -> None:
        """Begin anew: forget what an earlier run left, keep the start as the first good state."""
        shutil.rmtree(self.folder.checkpoints, ignore_errors=True)
        self._keep_good()

    def after_step(self, *, best: bool) -> None:
        """Save what is due after a step and its validation."""
        step = self.training.progress.step
        aligned = any(step % every == 0 for every in self._aligned_to)
        if best or self._due(step, aligned):
            self.save(aligned=aligned)
        if aligned:
            self._keep_good()

    def save(self, *, aligned: bool = False) -> None:
        """Write a checkpoint, then prune; does nothing where this very state is saved already.

        Raises:
            FolderError: the disk is full or refuses; the last checkpoint is untouched.
        """
        progress = self.training.progress
        if self._saved == progress.position():
            return
        if self.journal is not None:
            progress.metrics_bytes = self.journal.sync()
        self.training.tick()
        newest = self.folder.checkpoints / folder_name(progress.step)
        parts = {} if aligned or self._good_step == progress.step else {PART: self._good}
        save_checkpoint(newest, *self._capture(), parts=parts)
        self._saved, self._saved_at = progress.position(), time.monotonic()
        self.folder.drop_replaced()
        keep = self.training.settings.keep_checkpoints
        prune(self.folder.checkpoints, newest=newest, keep=keep, best=progress.best_step)

    def go_back(self, trouble: Trouble) -> int:
        """Return to the last good state with half the learning rate; returns its step."""
        progress = self.training.progress
        kept = (progress.halvings, progress.events, progress.forgiven, progress.metrics_bytes)
        returns, scale = progress.returns + 1, progress.lr_scale / 2
        restore(self.training, self._good)
        progress.halvings, progress.events, progress.forgiven, progress.metrics_bytes = kept
        progress.returns, progress.lr_scale = returns, scale
        if trouble.kind == "spike":
            progress.forgiven.append(trouble.step)
        self._good_step = progress.step
        self.training.tick()
        return progress.step

    def good_weights(self) -> dict[str, torch.Tensor]:
        """The weights of the last good state, from the disk."""
        return read_tensors(self._good, "model")

    def load_best(self) -> bool:
        """Put the weights of the best validation into the model; False where they are damaged."""
        progress = self.training.progress
        if progress.best_step is None or progress.best_step == progress.step:
            return True
        folder = self.folder.checkpoints / folder_name(progress.best_step)
        if found := problems(folder):
            for line in found:
                log.warning(f"damaged checkpoint: {line}")
            return False
        self.training.weights.restore(read_tensors(folder, "model"), folder)
        return True

    def _due(self, step: int, aligned: bool) -> bool:
        every = self.training.settings.checkpoint_every
        if every is not None:
            return step % every == 0
        since = time.monotonic() - self._saved_at
        return since >= SECONDS_BETWEEN * (1 if aligned else 2)

    def _keep_good(self) -> None:
        step = self.training.progress.step
        newest = self.folder.checkpoints / folder_name(step)
        if self._saved == self.training.progress.position() and newest.is_dir():
            copy_checkpoint(newest, self._good)
        else:
            save_checkpoint(self._good, *self._capture(), durable=False)
        self._good_step = step

    def _capture(self) -> tuple[Any, Any]:
        return capture(self.training, self.identity)
