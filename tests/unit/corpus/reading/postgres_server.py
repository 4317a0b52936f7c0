"""A PostgreSQL server of its own for the tests: private port, temporary folder, no privileges.

Debian's package is installed where it is absent and the tests may do so (as root, with
``apt-get``); where it cannot be had, the tests that need it are skipped with the reason.
"""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

USER = "tinyforge"


@dataclass(frozen=True)
class Server:
    """Where the server listens, and its one account."""

    port: int
    password: str

    @property
    def url(self) -> str:
        """The address with its password, without table or query."""
        return f"postgresql://{USER}:{self.password}@127.0.0.1:{self.port}/postgres"

    @property
    def open_url(self) -> str:
        """The address without the password."""
        return f"postgresql://{USER}@127.0.0.1:{self.port}/postgres"


def programs() -> Path | None:
    """The folder of ``initdb`` and ``pg_ctl``, newest version first."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), reverse=True)
    if found:
        return found[0].parent
    on_path = shutil.which("initdb")
    return Path(on_path).resolve().parent if on_path else None


def install() -> None:
    """Debian's package, where this is allowed."""
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        return
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for words in (["update", "-qq"], ["install", "-qq", "-y", "postgresql"]):
        subprocess.run(["apt-get", *words], env=environment, capture_output=True, timeout=300)


@contextmanager
def server() -> Iterator[Server]:
    """A running server; stopped and removed at the end."""
    folder = programs()
    if folder is None:
        install()
        folder = programs()
    if folder is None:
        pytest.skip("PostgreSQL is not installed and cannot be installed here")
    with tempfile.TemporaryDirectory(prefix="tinyforge-pg-", ignore_cleanup_errors=True) as base:
        account = _account(Path(base))
        data = Path(base) / "data"
        password = secrets.token_hex(12)
        secret = Path(base) / "secret"
        secret.write_text(password)
        if account:
            shutil.chown(secret, account["user"])
        options = ["-A", "scram-sha-256", "-U", USER, f"--pwfile={secret}", "-E", "UTF8"]
        _run([folder / "initdb", "-D", data, *options, "--locale=C", "--no-sync"], base, account)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        settings = f"-p {port} -k {base} -c listen_addresses=127.0.0.1 -c fsync=off"
        start = ["-D", data, "-o", settings, "-l", Path(base) / "log", "-w", "-t", "60", "start"]
        _run([folder / "pg_ctl", *start], base, account)
        try:
            yield Server(port, password)
        finally:
            _run([folder / "pg_ctl", "-D", data, "-m", "immediate", "stop"], base, account)


def _account(base: Path) -> dict[str, Any]:
    """The account that the server runs as, since it refuses to be root."""
    if os.geteuid() != 0:
        return {}
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        os.chown(base, entry.pw_uid, entry.pw_gid)
        return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
    pytest.skip("no unprivileged account to run PostgreSQL as")


def _run(words: list[Any], folder: str, account: dict[str, Any]) -> None:
    done = subprocess.run(
        [str(word) for word in words],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
        **account,
    )
    assert done.returncode == 0, done.stdout
