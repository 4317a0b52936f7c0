"""Learning: the loop, and all that keeps its work safe.

- ``fit.fit`` runs a training to its end; ``loop.steps`` is the bare loop, a generator of steps.
- ``hooks.Listener`` is what a bar or a tracker implements; it is told with the frozen records
  ``Start``, ``Estimate``, ``StepResult``, ``Validation``, ``Event`` and ``Outcome``.

Everything exported here is light; the loop itself imports torch.
"""

from tinyforge.train.hooks import (
    Estimate,
    Event,
    Listener,
    Outcome,
    Start,
    StepResult,
    Validation,
)

__all__ = ["Estimate", "Event", "Listener", "Outcome", "Start", "StepResult", "Validation"]
