"""Trackers: TensorBoard, Weights & Biases and MLflow, as listeners."""

from __future__ import annotations

import importlib.util
from abc import abstractmethod
from typing import Any

from tinyforge.artifacts.run_folder import RunFolder
from tinyforge.config.train import TrainSettings
from tinyforge.errors import MissingPackageError
from tinyforge.registry import Registry
from tinyforge.train.hooks import Listener, Outcome, Start, StepResult, Validation

TRACKERS = Registry(
    "tracker",
    {
        "tensorboard": "tinyforge.train.trackers:TensorBoard",
        "wandb": "tinyforge.train.trackers:WeightsAndBiases",
        "mlflow": "tinyforge.train.trackers:MLflow",
    },
)


def trackers(settings: TrainSettings, folder: RunFolder) -> list[Listener]:
    """The trackers that the settings name.

    Raises:
        MissingPackageError: one is not installed.
    """
    for name in settings.trackers:
        if importlib.util.find_spec(name) is None:
            raise MissingPackageError(name, needed_for=f"train.trackers={name}", extra="tracking")
    return [TRACKERS.get(name)(folder) for name in settings.trackers]


class _Tracker(Listener):
    """Turns steps and validations into named numbers."""

    @abstractmethod
    def log(self, values: dict[str, float], step: int) -> None:
        """Send numbers to the tracker."""

    def on_step(self, result: StepResult) -> None:
        """Loss, learning rate, gradient norm and rate."""
        values = {
            "train/loss": result.loss, "train/lr": result.lr, "train/grad_norm": result.grad_norm,
            "train/tokens_per_second": result.tokens / max(result.seconds, 1e-9),
        }  # fmt: skip
        self.log(values, result.step)

    def on_validation(self, validation: Validation) -> None:
        """All validation values."""
        values = {f"validation/{name}": value for name, value in validation.values.items()}
        self.log(values, validation.step)


class TensorBoard(_Tracker):
    """Writes event files into ``tinyforge/tensorboard`` of the run."""

    def __init__(self, folder: RunFolder) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer: Any = SummaryWriter(str(folder.meta / "tensorboard"))

    def log(self, values: dict[str, float], step: int) -> None:
        """One scalar for each value."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def on_end(self, outcome: Outcome | None) -> None:
        """Close the files."""
        self._writer.close()


class WeightsAndBiases(_Tracker):
    """Reports to Weights & Biases; project and mode come from its own environment variables."""

    def __init__(self, folder: RunFolder) -> None:
        self._folder = folder
        self._run: Any = None

    def on_start(self, start: Start) -> None:
        """Begin a run, or go on with it: its id is the folder's name."""
        import wandb

        self._run = wandb.init(
            name=self._folder.path.name, dir=str(self._folder.meta), config=dict(start.settings),
            resume="allow",
        )  # fmt: skip

    def log(self, values: dict[str, float], step: int) -> None:
        """One call for all values."""
        self._run.log(values, step=step)

    def on_end(self, outcome: Outcome | None) -> None:
        """Close the run, as failed where training did not end."""
        self._run.finish(exit_code=0 if outcome is not None else 1)


class MLflow(_Tracker):
    """Reports to MLflow; the server comes from its own environment variables."""

    def __init__(self, folder: RunFolder) -> None:
        self._folder = folder

    def on_start(self, start: Start) -> None:
        """Begin a run with the settings as its parameters."""
        import mlflow

        mlflow.start_run(run_name=self._folder.path.name)
        mlflow.log_params({f"train.{name}": value for name, value in start.settings.items()})

    def log(self, values: dict[str, float], step: int) -> None:
        """One call for all values."""
        import mlflow

        mlflow.log_metrics(values, step=step)

    def on_end(self, outcome: Outcome | None) -> None:
        """Close the run, as failed where training did not end."""
        import mlflow

        mlflow.end_run(status="FINISHED" if outcome is not None else "FAILED")
