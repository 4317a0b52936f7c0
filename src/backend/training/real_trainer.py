"""``from backend.training.real_trainer import RealTrainer, TrainingConfig``, as tutorials say."""

from tinyforge.trainer import Trainer as RealTrainer
from tinyforge.trainer import TrainingConfig

__all__ = ["RealTrainer", "TrainingConfig"]
