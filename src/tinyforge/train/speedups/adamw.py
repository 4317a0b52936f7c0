"""AdamW (Loshchilov and Hutter 2019, arXiv:1711.05101) in one pass over memory.

The gradient is read as it is, bfloat16 or float32, clipped on the way; the float32 weight and both
moments are updated, and the bfloat16 copy for the next forward pass is written. The state has the
names that ``torch.optim.AdamW`` gives it, so that either can go on from the other's checkpoint.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Iterable, Mapping

import numpy as np
import torch

from tinyforge.config.train import TrainSettings
from tinyforge.train.speedups.embedding import RowGradient
from tinyforge.train.speedups.native import address, function
from tinyforge.train.weights import Weights

_TENSOR = np.dtype(
    [(name, np.uint64) for name in ("master", "copy", "grad", "first", "second")]
    + [(name, np.int64) for name in ("count", "grad_is_bf16")]
    + [(name, np.float32) for name in ("rate", "decay", "inverse_root", "unused")]
)
"""``struct Tensor`` of ``kernels.cpp``."""

State = dict[str, torch.Tensor]


class _Rates(ctypes.Structure):
    _fields_ = tuple(
        (name, ctypes.c_float) for name in ("beta1", "beta2", "rest1", "rest2", "eps", "clip")
    )


class AdamW:
    """Updates the weights named in ``names``.

    Args:
        decays: those of them that have weight decay.
        times: factor of the learning rate.
        row_gradients: weight's name to the gradient of its rows.
    """

    def __init__(
        self,
        weights: Weights,
        names: Iterable[str],
        decays: set[str],
        settings: TrainSettings,
        times: float,
        row_gradients: Mapping[str, RowGradient],
    ) -> None:
        self._weights, self.names, self._decays = weights, list(names), decays
        self._settings, self._times, self._rows = settings, times, row_gradients
        self.state: dict[str, State] = {}
        self._active: dict[str, torch.Tensor] = {}

    def step(self, lr: float, clip: float) -> None:
        """Update every weight that has a gradient, multiplied by ``clip``."""
        settings, gradients = self._settings, self._weights.gradients()
        beta1, beta2 = settings.beta1, settings.beta2
        rates = _Rates(beta1, beta2, 1 - beta1, 1 - beta2, settings.epsilon, clip)
        table = np.zeros(len(self.names), _TENSOR)
        used = 0
        for name in self.names:
            rows = self._rows.get(name)
            if name in gradients:
                self._fill(table[used], name, gradients[name], lr)
                self._active.pop(name, None)
                used += 1
            elif rows is not None and rows.values is not None:
                self._step_rows(name, rows, lr, rates)
        function("adamw")(
            ctypes.c_void_p(table.ctypes.data), ctypes.c_int64(used), ctypes.byref(rates)
        )

    def _fill(self, entry: np.void, name: str, grad: torch.Tensor, lr: float) -> None:
        settings, state = self._settings, self._state_of(name)
        state["step"] += 1
        count = float(state["step"])
        master, copy = self._weights.masters[name], self._weights.parameters[name].data
        lr *= self._times
        entry["master"], entry["grad"] = master.data_ptr(), grad.data_ptr()
        entry["copy"] = copy.data_ptr() if copy.dtype == torch.bfloat16 else 0
        entry["first"] = state["exp_avg"].data_ptr()
        entry["second"] = state["exp_avg_sq"].data_ptr()
        entry["count"], entry["grad_is_bf16"] = master.numel(), grad.dtype == torch.bfloat16
        entry["rate"] = lr / (1 - settings.beta1**count)
        entry["decay"] = lr * settings.weight_decay if name in self._decays else 0.0
        entry["inverse_root"] = 1 / math.sqrt(1 - settings.beta2**count)

    def _step_rows(self, name: str, rows: RowGradient, lr: float, rates: _Rates) -> None:
        assert rows.rows is not None
        assert rows.values is not None
        entry = np.zeros(1, _TENSOR)
        self._fill(entry[0], name, rows.values, lr)
        master, state = self._weights.masters[name], self.state[name]
        active = self._active.get(name)
        if active is None:  # a row without moments has had no gradient that mattered
            moved = (state["exp_avg"] != 0) | (state["exp_avg_sq"] != 0)
            active = self._active[name] = moved.any(1)
        active[rows.rows] = True
        slots = torch.full((len(master),), -1, dtype=torch.int32)
        slots[rows.rows] = torch.arange(len(rows.rows), dtype=torch.int32)
        function("adamw_rows")(
            ctypes.c_void_p(entry.ctypes.data), address(active), address(slots),
            ctypes.c_int64(len(master)), ctypes.c_int64(master.shape[1]), ctypes.byref(rates),
        )  # fmt: skip

    def _state_of(self, name: str) -> State:
        if name not in self.state:
            master = self._weights.masters[name]
            self.state[name] = {
                "step": torch.zeros(()),
                "exp_avg": torch.zeros_like(master),
                "exp_avg_sq": torch.zeros_like(master),
            }
        return self.state[name]

    def tensors(self) -> dict[str, State]:
        """The state by the weight's name."""
        return self.state

    def restore(self, found: Mapping[str, State]) -> None:
        """Take a state back; what is not in it starts anew."""
        self._active.clear()
        self.state = {name: dict(found[name]) for name in self.names if name in found}


def square_sum(gradients: Iterable[torch.Tensor]) -> float:
    """Sum of the squares of all elements; the same for any number of threads."""
    tensors = list(gradients)
    table = np.zeros(len(tensors), _TENSOR)
    for entry, grad in zip(table, tensors, strict=True):
        entry["grad"], entry["count"] = grad.data_ptr(), grad.numel()
        entry["grad_is_bf16"] = grad.dtype == torch.bfloat16
    sum_of = function("square_sum")
    sum_of.restype = ctypes.c_double
    return float(sum_of(ctypes.c_void_p(table.ctypes.data), ctypes.c_int64(len(table))))
