"""What a run's record says of the machine and the software it ran on."""

from __future__ import annotations

import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from tinyforge.inference.onnx.sessions import allowed_cores

_PACKAGES = (
    "tinyforge", "torch", "transformers", "tokenizers", "peft", "numpy", "scikit-learn",
    "onnxruntime",
)  # fmt: skip


def describe_machine() -> dict[str, Any]:
    """System, processor, cores and package versions; nothing that names its owner."""
    torch = sys.modules.get("torch")  # where it is not loaded, it had no part in the work
    return {
        "system": platform.system(),
        "processor": platform.machine(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads() if torch else allowed_cores(),
        "gpu": torch.cuda.get_device_name(0) if torch and torch.cuda.is_available() else None,
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in _PACKAGES},
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
