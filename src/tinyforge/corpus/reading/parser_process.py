"""The process in which hostile formats are parsed: one document in, its text or a reason out."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any, BinaryIO

import orjson

from tinyforge.corpus.reading.isolated import LENGTH, OUT_OF_MEMORY
from tinyforge.corpus.reading.item import Unreadable

PARSERS = {
    "pdf": "tinyforge.corpus.reading.pdf:parse_pdf",
    "docx": "tinyforge.corpus.reading.docx:parse_docx",
    "html": "tinyforge.corpus.reading.html:parse_html",
    "rst": "tinyforge.corpus.reading.markup:parse_rst",
}
"""Each takes a document's bytes and options and gives its text and what to note of it."""


def main() -> None:
    """Answer until nobody asks: arguments are processor seconds per document, and memory."""
    seconds, memory = int(sys.argv[1]), int(sys.argv[2])
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the one who asks decides when to stop
    limit_memory(memory)
    # What a parser prints must not get between the answers.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    questions = sys.stdin.buffer
    while header := questions.read(LENGTH.size):
        size, payload = LENGTH.unpack(header)
        question = orjson.loads(questions.read(size))
        data = questions.read(payload)
        limit_seconds(seconds)
        answer = orjson.dumps(answer_to(question["kind"], data, question["options"]))
        del data
        _send(answers, answer)


def _send(answers: BinaryIO, answer: bytes) -> None:
    answers.write(LENGTH.pack(len(answer), 0))
    answers.write(answer)
    answers.flush()


def answer_to(kind: str, data: bytes, options: dict[str, Any]) -> dict[str, Any]:
    """The text and notes of a document, or why there are none."""
    try:
        module, _, name = PARSERS[kind].partition(":")
        parse: Callable[[bytes, dict[str, Any]], tuple[str, dict[str, Any]]]
        parse = getattr(import_module(module), name)
        text, meta = parse(data, options)
        text = text.encode("utf-8", "surrogatepass").decode("utf-8", "replace")
        return {"text": text, "meta": meta}
    except Unreadable as refusal:
        return {"reason": refusal.reason, "detail": refusal.detail}
    except ImportError as error:
        return {"missing": (error.name or str(error)).partition(".")[0]}
    except MemoryError:
        return {"reason": OUT_OF_MEMORY, "detail": ""}
    except RecursionError:
        return {"reason": "nested too deeply", "detail": ""}
    except Exception as error:  # a parser meets bytes that its author did not think of
        return {"reason": "damaged", "detail": f"{type(error).__name__}: {str(error)[:200]}"}


def limit_memory(size: int) -> None:
    """Let no allocation take this process beyond ``size`` bytes, where the system can."""
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (size, size))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        # A limit on the process that asks is not one on this: what is refused here must not
        # depend on how many such processes share the machine.
        hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
        resource.setrlimit(resource.RLIMIT_DATA, (hard, hard))


def limit_seconds(seconds: int) -> None:
    """End this process after so many more seconds of processor time, where the system can."""
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        used = resource.getrusage(resource.RUSAGE_SELF)
        end = int(used.ru_utime + used.ru_stime) + seconds + 1
        _, hard = resource.getrlimit(resource.RLIMIT_CPU)
        resource.setrlimit(resource.RLIMIT_CPU, (end, hard))


if __name__ == "__main__":
    main()
