"""The Python session of a page: blocks come in as JSON lines, each is run in the same module."""

from __future__ import annotations

import ast
import json
import linecache
import os
import sys
import traceback
import types
from typing import Any


def main() -> None:
    """Answer one line for each block: its exit status, and what a notebook would echo."""
    blocks = os.fdopen(os.dup(0), encoding="utf-8")
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    module = types.ModuleType("__main__")
    sys.modules["__main__"] = module
    sys.argv, sys.path[0] = [""], ""
    for line in blocks:
        asked = json.loads(line)
        _redirect(asked)
        code, echo = _run(asked["code"], asked["name"], module.__dict__)
        sys.stdout.flush()
        sys.stderr.flush()
        print(json.dumps({"code": code, "echo": echo}), file=answers, flush=True)


def _redirect(asked: dict[str, str]) -> None:
    for number, stream in ((1, "out"), (2, "err")):
        file = os.open(asked[stream], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(file, number)
        os.close(file)


def _run(text: str, name: str, names: dict[str, Any]) -> tuple[int, str]:
    linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
    try:
        tree = ast.parse(text, name)
        last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
        exec(compile(tree, name, "exec"), names)
        if last is None:
            return 0, ""
        value = eval(compile(ast.Expression(last.value), name, "eval"), names)
        return 0, "" if value is None else f"{value!r}\n"
    except SystemExit as ended:
        return (0, "") if ended.code in (None, 0) else (1, "")
    except BaseException:
        traceback.print_exc()
        return 1, ""


if __name__ == "__main__":
    main()
