"""The packages that write graphs."""

from __future__ import annotations

from importlib.util import find_spec

from tinyforge.errors import MissingPackageError

PACKAGES = ("onnx", "onnxscript")


def check_packages() -> None:
    """Raises MissingPackageError where one of them is not installed."""
    for package in PACKAGES:
        if find_spec(package) is None:
            raise MissingPackageError(package, needed_for="Writing a graph", extra="onnx")
