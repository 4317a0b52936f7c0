"""All settings of a run."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tinyforge.config.base import Stage
from tinyforge.config.data import DataSettings
from tinyforge.config.evaluate import EvaluateSettings, GenerateSettings
from tinyforge.config.model import LoraSettings, ModelSettings
from tinyforge.config.preference import PreferenceSettings
from tinyforge.config.train import TrainSettings

TaskName = Literal["auto", "classify", "text2text", "instruct", "language-model", "preference"]


class Settings(Stage):
    """Everything a user can set, by stage: ``train.learning_rate``, ``data.input`` and so on."""

    task: TaskName = Field("auto", description="What is learnt; auto decides from the data.")
    data: DataSettings = DataSettings()
    model: ModelSettings = ModelSettings()
    lora: LoraSettings = LoraSettings()
    preference: PreferenceSettings = PreferenceSettings()
    train: TrainSettings = TrainSettings()
    evaluate: EvaluateSettings = EvaluateSettings()
    generate: GenerateSettings = GenerateSettings()
