"""Our kernels in C++: compiled once for this machine by the compiler that is there, then kept.

Without a compiler everything runs in plain PyTorch, only slower; ``doctor`` says which it is. The
library is built from two source files beside this one in a few seconds, for the processor at hand,
into the user's cache folder, under a name made of a hash of the sources, the compiler's version,
the flags and the processor.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import logging
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import torch

log = logging.getLogger("tinyforge")

SOURCES = ("attention.cpp", "kernels.cpp")
FLAGS = (
    "-O3", "-std=c++17", "-shared", "-fPIC", "-ffp-contract=fast", "-fno-math-errno", "-Wno-psabi",
)  # fmt: skip
SECONDS = 120
KINDS = {torch.float32: "f32", torch.bfloat16: "bf16"}


@functools.cache
def library() -> ctypes.CDLL | None:
    """The compiled kernels; None where they cannot be compiled or loaded."""
    return _load()[0]


def why_not() -> str:
    """Why there are no compiled kernels; empty where there are."""
    return _load()[1]


def kernel(name: str, dtype: torch.dtype) -> ctypes._NamedFuncPointer:
    """The kernel of this name for numbers of this type. Only where ``library()`` is there."""
    return _function(f"tf_{name}_{KINDS[dtype]}")


def function(name: str) -> ctypes._NamedFuncPointer:
    """The function of this name. Only where ``library()`` is there."""
    return _function(f"tf_{name}")


def address(tensor: torch.Tensor | None) -> ctypes.c_void_p:
    """Where a tensor's numbers begin; a null pointer for None."""
    return ctypes.c_void_p(None if tensor is None else tensor.data_ptr())


def can_take(*tensors: torch.Tensor | None) -> bool:
    """Whether the kernels work on these: on the CPU, all of one type that they know."""
    there = [tensor for tensor in tensors if tensor is not None]
    kinds = {tensor.dtype for tensor in there}
    return len(kinds) == 1 and kinds <= KINDS.keys() and all(t.device.type == "cpu" for t in there)


@functools.cache
def _function(name: str) -> ctypes._NamedFuncPointer:
    loaded = library()
    assert loaded is not None  # callers look before they ask for a kernel
    found = loaded[name]
    found.restype = None
    return found


@functools.cache
def _load() -> tuple[ctypes.CDLL | None, str]:
    if os.environ.get("TINYFORGE_NATIVE") == "0":
        return None, "TINYFORGE_NATIVE=0 is set"
    compiler = next(filter(None, map(shutil.which, ("g++", "clang++", "c++"))), None)
    if sys.platform == "win32" or compiler is None:
        return None, "no C++ compiler (g++ or clang++) was found"
    try:
        path = _cached(compiler)
        return ctypes.CDLL(str(path)), ""
    except (OSError, subprocess.SubprocessError) as error:
        reason = getattr(error, "stderr", None) or str(error)
        log.debug(f"the kernels could not be compiled by {compiler}: {reason}")
        return None, f"{compiler} could not compile the kernels: {str(reason).strip()[:200]}"


def _cached(compiler: str) -> Path:
    """The library's path; compiled where it is not there yet."""
    here = Path(__file__).parent
    version = _run([compiler, "--version"])
    flags = [*FLAGS, *_machine_flags(), *_threads_flags(compiler)]
    parts = [(here / name).read_text(encoding="utf-8") for name in SOURCES]
    key = "\0".join([*parts, version, *flags, _processor(), torch.__version__])
    name = f"kernels-{hashlib.sha256(key.encode()).hexdigest()[:16]}.so"
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tinyforge"
    path = folder / name
    if path.is_file():
        return path
    folder.mkdir(parents=True, exist_ok=True)
    log.info("compiling the training kernels for this machine, once (a few seconds)")
    with tempfile.TemporaryDirectory(dir=folder) as work:
        built = Path(work) / name
        _run([compiler, *flags, "-o", str(built), str(here / SOURCES[0]), *_threads_library()])
        built.replace(path)  # whole or not at all, whoever else compiles it now
    return path


def _run(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=SECONDS)
    return done.stdout


def _machine_flags() -> list[str]:
    if platform.machine() in ("x86_64", "AMD64"):
        return ["-march=native", "-mprefer-vector-width=512"]
    return ["-mcpu=native"]


def _threads_library() -> list[str]:
    """PyTorch's own OpenMP library: a second pool of threads would fight with its pool."""
    return [str(path) for path in (Path(torch.__file__).parent / "lib").glob("libgomp*.so*")][:1]


def _threads_flags(compiler: str) -> list[str]:
    if not _threads_library():
        return []  # one thread
    return ["-fopenmp"] if "clang" not in Path(compiler).name else ["-fopenmp=libgomp"]


def _processor() -> str:
    """What ``-march=native`` depends on."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return "".join(next((x for x in lines if x.startswith(key)), "") for key in ("model", "flags"))
