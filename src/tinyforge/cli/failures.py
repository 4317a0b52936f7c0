"""What the user sees when something goes wrong: one line, and an exit code.

0 done; 2 the input or a setting is wrong; 3 a condition does not hold; 130 and 143 stopped by a
signal; 1 a bug in TinyForge. A code in brackets ends the line, for ``tinyforge explain CODE``.
"""

from __future__ import annotations

import errno
import os
import sys
import tempfile
import traceback

import click

from tinyforge.errors import Interrupted, MissingPackageError, TinyForgeError

DEBUG = "TINYFORGE_DEBUG"

EXTRAS = {
    # Package to the extra that brings it.
    "torch": "training", "transformers": "training", "peft": "training",
    "safetensors": "training", "sklearn": "training", "sacrebleu": "training",
    "rouge_score": "training", "scipy": "evaluate", "psutil": "training", "pyarrow": "data",
    "pandas": "data", "polars": "data", "datasets": "data", "tensorboard": "tracking",
    "fastapi": "serve", "uvicorn": "serve", "prometheus_client": "serve",
}  # fmt: skip

MACHINE_FAULTS = {
    # Number of the system's error: what it means, and what to do.
    errno.ENOSPC: ("the disk is full", "Free some space, or name a folder on another disk"),
    errno.EDQUOT: ("the disk quota is used up", "Free some space, or ask for more"),
    errno.EROFS: ("the disk is read-only", "Name a folder on another disk"),
    errno.EACCES: ("no permission", "Name a file or folder that is yours"),
    errno.EPERM: ("no permission", "Name a file or folder that is yours"),
    errno.ENAMETOOLONG: ("the name is too long", "Give a shorter one"),
    errno.EMFILE: ("too many open files", "Close other programs, or raise the limit: ulimit -n"),
    errno.EIO: ("the disk cannot be read or written", "Check the disk, and keep a copy elsewhere"),
}

SMALLER = (
    "Use a smaller model, lower train.micro_batch_tokens or data.max_length, or set "
    "train.gradient_checkpointing=true"
)


def report(problem: BaseException) -> int:
    """Say on standard error what happened; return the exit code."""
    if isinstance(problem, SystemExit):
        return problem.code if isinstance(problem.code, int) else 1
    if isinstance(problem, BrokenPipeError):
        return _reader_has_gone()
    line, code = _line_and_code(problem)
    if os.environ.get(DEBUG):
        traceback.print_exception(problem)
    print(line.replace("\n", " "), file=sys.stderr)
    return code


def _line_and_code(problem: BaseException) -> tuple[str, int]:
    if isinstance(problem, click.Abort | KeyboardInterrupt):
        return "stopped", 130
    if isinstance(problem, Interrupted):
        return f"stopped: {problem}", problem.exit_code
    if isinstance(problem, TinyForgeError):
        return f"error: {problem}{_link(problem)}", problem.exit_code
    if isinstance(problem, click.ClickException):
        return _usage(problem), 2
    if isinstance(problem, ModuleNotFoundError):
        package = (problem.name or "").partition(".")[0]
        if package in EXTRAS:
            missing = MissingPackageError(package, needed_for="this", extra=EXTRAS[package])
            return f"error: {missing}{_link(missing)}", missing.exit_code
    if _is_out_of_memory(problem):
        return f"error: not enough memory. {SMALLER}", 2
    if isinstance(problem, OSError) and problem.errno in MACHINE_FAULTS:
        where = f"{problem.filename}: " if problem.filename else ""
        what, fix = MACHINE_FAULTS[problem.errno]
        return f"error: {where}{what} ({problem.strerror}). {fix}", 2
    return _bug(problem), 1


def _link(problem: TinyForgeError) -> str:
    """The error's code in the catalogue, in brackets; empty where it has none."""
    from tinyforge.recipes.error_catalogue import code_of

    code = code_of(problem)
    return "" if code is None else f" [{code}]"


def _usage(problem: click.ClickException) -> str:
    """Click's message on one line, with the command whose help would tell more."""
    message = " ".join(problem.format_message().split()).rstrip(".")
    context = getattr(problem, "ctx", None)
    if context is None:
        return f"error: {message}"
    end = "" if message.endswith("?") else "."
    return f"error: {message}{end} Try: {context.command_path} --help"


def _is_out_of_memory(problem: BaseException) -> bool:
    if isinstance(problem, MemoryError) or type(problem).__name__ == "OutOfMemoryError":
        return True
    return isinstance(problem, RuntimeError) and "can't allocate memory" in str(problem)


def _bug(problem: BaseException) -> str:
    """Keep the traceback in a file: it is for the bug report, not for the terminal."""
    name, text = type(problem).__name__, str(problem)
    line = f"error: {name}: {text}" if text else f"error: {name}"
    try:
        with tempfile.NamedTemporaryFile(
            "w", prefix="tinyforge-", suffix=".txt", delete=False, encoding="utf-8"
        ) as file:
            file.write("".join(traceback.format_exception(problem)))
        where = f"the traceback is in {file.name}"
    except OSError:
        where = f"set {DEBUG}=1 to see the traceback"
    return f"{line} - this is a bug in TinyForge; {where}"


def _reader_has_gone() -> int:
    """The program that read our output has ended (``| head``); that is no mistake."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 128 + 13
