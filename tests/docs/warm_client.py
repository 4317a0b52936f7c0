"""Stands for a command that ``warm.py`` runs: passes streams, signals and the exit code on."""

import json
import os
import signal
import socket
import sys

PASSED = ("SIGHUP", "SIGINT", "SIGQUIT", "SIGTERM", "SIGUSR1", "SIGUSR2")


def main() -> None:
    """Ask, wait, and end as the command has ended."""
    caller = socket.socket(socket.AF_UNIX)
    caller.connect(os.environ["PAGES_WARM_SOCKET"])
    folder = os.getcwd()  # noqa: PTH109 - pathlib takes a while to import
    asked = {"words": sys.argv[1:], "folder": folder, "environment": dict(os.environ)}
    data = json.dumps(asked).encode()
    socket.send_fds(caller, [len(data).to_bytes(4, "little")], [0, 1, 2])
    caller.sendall(data)
    process = int.from_bytes(_receive(caller), "little")
    for name in PASSED:
        number = getattr(signal, name)
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, lambda got, _: os.kill(process, got))
    code = os.waitstatus_to_exitcode(int.from_bytes(_receive(caller), "little"))
    if code < 0:
        if code != -signal.SIGKILL:
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code)


def _receive(caller: socket.socket) -> bytes:
    data = b""
    while len(data) < 4:
        piece = caller.recv(4 - len(data))
        if not piece:
            os._exit(70)
        data += piece
    return data


main()
