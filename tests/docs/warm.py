"""Starts ``tinyforge`` and ``python`` from a process that has imported what they need.

Importing PyTorch and its company takes seconds, and a page has a dozen commands. Here one process
imports them once; each command is forked from it, with the caller's folder, environment and
streams, and is a process of its own in every other way. Its exit code, and signals to it, go
through ``warm_client.py``, which stands on the PATH under the commands' names. Linux and macOS.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import json
import os
import selectors
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

CLIENT = Path(__file__).with_name("warm_client.py")
SOCKET = "PAGES_WARM_SOCKET"
# Not onnxruntime, which begins threads when it is imported.
IMPORTED = (
    "torch", "transformers.models.auto.modeling_auto", "transformers.models.auto.tokenization_auto",
    "transformers.models.bert.modeling_bert", "transformers.models.distilbert.modeling_distilbert",
    "transformers.models.gpt2.modeling_gpt2", "transformers.models.llama.modeling_llama",
    "transformers.models.t5.modeling_t5", "transformers.generation.utils", "transformers.trainer",
    "peft", "sklearn.linear_model", "sklearn.feature_extraction.text", "sacrebleu", "pyarrow",
    "onnx", "onnxscript", "fastapi", "uvicorn", "openai", "httpx",
    "tinyforge.cli.main", "tinyforge.cli.progress", "tinyforge.trainer",
    "tinyforge.recipes.train", "tinyforge.recipes.export", "tinyforge.recipes.evaluate",
    "tinyforge.recipes.load", "tinyforge.recipes.predict", "tinyforge.recipes.compare",
    "tinyforge.recipes.inspect", "tinyforge.server.run",
)  # fmt: skip


class Warm:
    """A context that gives the environment in which commands start warm."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = dict(environment)

    def __enter__(self) -> dict[str, str]:
        self._folder = Path(tempfile.mkdtemp(prefix="warm-"))
        path = self._folder / "socket"
        for name in ("tinyforge", "python", "python3"):
            words = shlex.join([sys.executable, "-IS", str(CLIENT), name])
            shim = self._folder / "bin" / name
            shim.parent.mkdir(exist_ok=True)
            shim.write_text(f'#!/bin/sh\nexec {words} "$@"\n', encoding="utf-8")
            shim.chmod(0o755)
        self._process = subprocess.Popen(
            [sys.executable, __file__, str(path)], env=self._environment, stdout=subprocess.PIPE,
        )  # fmt: skip
        assert self._process.stdout is not None
        if self._process.stdout.readline() != b"ready\n":
            raise RuntimeError("the warm process did not start")
        bin_folder = os.pathsep.join([str(self._folder / "bin"), self._environment["PATH"]])
        return {**self._environment, "PATH": bin_folder, SOCKET: str(path)}

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()
        shutil.rmtree(self._folder)


def serve(path: str) -> None:
    """Fork a process for each connection, until it is stopped by a signal."""
    for name in IMPORTED:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    gc.freeze()
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen(64)
    woken, wake = socket.socketpair()
    wake.setblocking(False)
    woken.setblocking(False)
    signal.set_wakeup_fd(wake.fileno())
    signal.signal(signal.SIGCHLD, lambda *_: None)
    print("ready", flush=True)
    asking: dict[int, socket.socket] = {}
    with selectors.DefaultSelector() as events:
        events.register(listener, selectors.EVENT_READ)
        events.register(woken, selectors.EVENT_READ)
        while True:
            for key, _ in events.select():
                if key.fileobj is listener:
                    caller, _ = listener.accept()
                    asked, streams = _read(caller)
                    process = os.fork()
                    if process == 0:
                        signal.set_wakeup_fd(-1)
                        for open_socket in (listener, woken, wake, caller, *asking.values()):
                            open_socket.close()
                        _be(asked, streams)
                    for stream in streams:
                        os.close(stream)
                    caller.sendall(process.to_bytes(4, "little"))
                    asking[process] = caller
                    events.register(caller, selectors.EVENT_READ, process)
                elif key.fileobj is woken:
                    with contextlib.suppress(BlockingIOError):
                        woken.recv(4096)
                    _reap(asking, events)
                elif key.data in asking:  # who asked was killed: so is what was asked for
                    with contextlib.suppress(ProcessLookupError):
                        os.killpg(key.data, signal.SIGKILL)
                    events.unregister(key.fileobj)


def _read(caller: socket.socket) -> tuple[dict[str, Any], list[int]]:
    head, streams, _, _ = socket.recv_fds(caller, 4, 3)
    size, data = int.from_bytes(head, "little"), b""
    while len(data) < size:
        data += caller.recv(size - len(data))
    return json.loads(data), streams


def _reap(asking: dict[int, socket.socket], events: selectors.BaseSelector) -> None:
    while asking:
        process, status = os.waitpid(-1, os.WNOHANG)
        if not process:
            return
        caller = asking.pop(process)
        with contextlib.suppress(KeyError):
            events.unregister(caller)
        with contextlib.suppress(OSError):
            caller.sendall(status.to_bytes(4, "little"))
        caller.close()


def _be(asked: Mapping[str, Any], streams: list[int]) -> NoReturn:
    """In the forked process: be the command that was asked for, and end as it ends."""
    code = 1
    try:
        code = _run(asked, streams)
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
        if isinstance(ended.code, str):
            print(ended.code, file=sys.stderr)
    except KeyboardInterrupt:
        traceback.print_exc()
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    except BaseException:
        traceback.print_exc()
    # As at the end of a program, but for the libraries' own last words: some of them wait for
    # threads that the process had before the fork.
    threading._shutdown()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _run(asked: Mapping[str, Any], streams: list[int]) -> int:
    os.setsid()
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.environ.clear()
    os.environ.update(asked["environment"])
    os.chdir(asked["folder"])
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stdout = open(1, "w", 1, encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", 1, encoding="utf-8", closefd=False)  # noqa: SIM115
    module = types.ModuleType("__main__")
    sys.modules["__main__"] = module
    name, *words = asked["words"]
    if name == "tinyforge":
        from tinyforge.cli.main import main

        sys.argv = [name, *words]
        return main()
    if not words or not words[0].endswith(".py") or not Path(words[0]).is_file():
        os.execv(sys.executable, [sys.executable, *words])
    sys.argv = words
    sys.path[0] = str(Path(words[0]).resolve().parent)
    text = Path(words[0]).read_text(encoding="utf-8")
    vars(module).update(__file__=words[0], __builtins__=__builtins__)
    exec(compile(text, words[0], "exec"), vars(module))
    return 0


if __name__ == "__main__":
    serve(sys.argv[1])
