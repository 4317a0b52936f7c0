"""The reference of the HTTP interface, from its OpenAPI description."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from page_text import MADE, cell, code, slug, table

Schema = Mapping[str, Any]

MEANINGS = {
    # Fields of requests that the description itself leaves to OpenAI's.
    "audio": "Refused: models here write text.",
    "best_of": "Only 1, or as many as n.",
    "dimensions": "Length of the vectors, where it is the model's own.",
    "echo": "Whether the prompt stands before its answer; only false.",
    "encoding_format": "float, or base64 of little-endian float32.",
    "frequency_penalty": "Only 0.",
    "function_call": "Refused, as tools are.",
    "functions": "Refused, as tools are.",
    "input": "The text, the texts, or for /predict a chat.",
    "logit_bias": "Only empty.",
    "logprobs": "Whether, or for completions how many, log-probabilities of tokens are told.",
    "max_completion_tokens": "Tokens that are written, at most; another name of max_tokens.",
    "max_new_tokens": "Tokens that are written, at most.",
    "max_tokens": "Tokens that are written, at most.",
    "messages": "The chat: turns with a role and a content.",
    "metadata": "Taken, and not used.",
    "modalities": "Only text.",
    "model": "Which of the server's models; where it may be left out, the first.",
    "n": "How many answers to each prompt.",
    "parallel_tool_calls": "Taken, and not used: there are no tools.",
    "prediction": "Refused.",
    "presence_penalty": "Only 0.",
    "prompt": "The text to go on with, or several; token ids are refused.",
    "prompt_cache_key": "Taken, and not used.",
    "reasoning_effort": "Only none.",
    "response_format": "text, json_object, or json_schema with the answer's schema.",
    "safety_identifier": "Taken, and not used.",
    "scores": "Whether the probability of every label is told.",
    "seed": "Makes chance repeatable.",
    "service_tier": "Only auto or default.",
    "stop": "A text, or several, that end the answer and do not stand in it.",
    "store": "Only false: nothing is kept.",
    "stream": "Whether the answer comes in pieces, as server-sent events.",
    "stream_options": "include_usage: whether the last piece counts the tokens.",
    "suffix": "Refused.",
    "temperature": "0 takes the likeliest token each time; higher is more random.",
    "tool_choice": "Only none: there are no tools.",
    "tools": "Refused where there are any.",
    "top_k": "Sample among the likeliest tokens, so many; 0: all.",
    "top_logprobs": "How many alternatives are told of each token.",
    "top_p": "Sample within this probability mass.",
    "user": "Taken, and not used.",
    "verbosity": "Only medium.",
    "web_search_options": "Refused.",
}

ANSWERS = {
    # Fields of answers, likewise.
    "confidence": "Of a label its probability; of a text the geometric mean of its tokens'; null "
    "where the model cannot tell.",
    "choices": "The answers: index, text or message, logprobs, finish_reason.",
    "created": "Seconds since 1970: of an answer when it was given, of a model when it was loaded.",
    "data": "The list.",
    "embeddings": "Whether the model gives vectors.",
    "finish_reason": "label, stop, length (cut off), or content_filter.",
    "id": "The answer's own name; of a model, what clients call it.",
    "labels": "The labels that were chosen.",
    "model": "Which model answered.",
    "object": "What this is.",
    "output": "The label, or the text.",
    "owned_by": "Always tinyforge.",
    "ready": "Whether requests are taken.",
    "safeguard": "The rule that changed or refused something, and how often.",
    "scores": "The probability of every label, where it was asked for.",
    "status": "Always ok.",
    "system_fingerprint": "Which weights answered, as version does.",
    "task": "What the model does: classify, text2text and so on.",
    "usage": "Tokens that were read and written.",
    "version": "Which weights answered: the beginning of their SHA-256.",
}


@cache
def description() -> dict[str, Any]:
    """The OpenAPI description that a server gives at ``/openapi.json``."""
    import httpx

    from tinyforge.config.serve import ServeSettings
    from tinyforge.server.app import make_app
    from tinyforge.server.keys import Keys
    from tinyforge.server.models import Pool

    settings = ServeSettings()

    async def ask() -> httpx.Response:
        app: Any = make_app(Pool({}, settings), settings, Keys())
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return await client.get("/openapi.json")

    found: dict[str, Any] = asyncio.run(ask()).json()
    return found


def routes() -> Iterator[tuple[str, str, Schema]]:
    """Every route as method, path and what is said of it."""
    for path, methods in description()["paths"].items():
        for method, about in methods.items():
            yield method.upper(), path, about


def undescribed() -> list[str]:
    """Routes, and fields of requests, that say nothing about themselves."""
    found = [f"{method} {path}" for method, path, about in routes() if not about.get("description")]
    for method, path, about in routes():
        for name, field in _fields(_body(about)):
            if not _meaning(name, field, MEANINGS):
                found.append(f"{method} {path}: {name}")
        for name, field in _fields(_answer(about)):
            if not _meaning(name, field, ANSWERS):
                found.append(f"{method} {path} answers {name}")
    return found


def page() -> str:
    """The page."""
    lines = [
        MADE, "", "# HTTP", "",
        "What `tinyforge serve` answers. `/openapi.json` of a running server says the same for "
        "programs. Errors have [OpenAI's form](errors.md#refusals-over-http). Where keys are "
        "needed, each route but `/health` and `/ready` wants `Authorization: Bearer KEY`.", "",
        *table(("Route", "What it does"), (
            (f"[`{method} {path}`](#{slug(f'{method} {path}')})", cell(_first(about)))
            for method, path, about in routes()
        )),
    ]  # fmt: skip
    for method, path, about in routes():
        lines += ["", f"## {method} {path} {{ #{slug(f'{method} {path}')} }}", ""]
        lines += [cell(paragraph) + "\n" for paragraph in _about(about).split("\n\n")]
        body, answer = _body(about), _answer(about)
        if body:
            lines += ["", "Asked with:", *_table(body, MEANINGS)]
        if any(True for _ in _fields(answer)):
            lines += ["", "Answered with:", *_table(answer, ANSWERS)]
        codes = ", ".join(
            f"`{status}`" for status in about["responses"] if status.isdigit() and status != "422"
        )
        lines += ["", f"Statuses: {codes}.", ""]
    return "\n".join(lines) + "\n"


def _about(about: Schema) -> str:
    return str(about.get("description") or about.get("summary") or "")


def _first(about: Schema) -> str:
    return _about(about).partition("\n\n")[0]


WIDEST = 2**53
"""A limit beyond it is that of the number format, which says nothing to people."""


def _body(about: Schema) -> Schema:
    content = about.get("requestBody", {}).get("content", {})
    return _resolved(content.get("application/json", {}).get("schema", {}))


def _answer(about: Schema) -> Schema:
    content = about["responses"].get("200", {}).get("content", {})
    return _resolved(content.get("application/json", {}).get("schema", {}))


def _resolved(schema: Schema) -> Schema:
    """The schema itself: a reference is followed; of several forms it is the first object."""
    if "$ref" in schema:
        found: Any = description()
        for part in schema["$ref"].lstrip("#/").split("/"):
            found = found[part]
        return _resolved(found)
    for form in schema.get("anyOf", ()):
        inner = _resolved(form)
        if "properties" in inner:
            return inner
    return schema


def _fields(schema: Schema) -> Iterator[tuple[str, Schema]]:
    yield from schema.get("properties", {}).items()


def _table(schema: Schema, meanings: Mapping[str, str]) -> list[str]:
    required = set(schema.get("required", ()))
    return table(("Field", "Takes", "Default", "Meaning"), (
        (
            code(name), cell(_kind(field)),
            "needed" if name in required else code(json.dumps(field.get("default"))),
            cell(_meaning(name, field, meanings)),
        )
        for name, field in _fields(schema)
    ))  # fmt: skip


def _meaning(name: str, field: Schema, meanings: Mapping[str, str]) -> str:
    return str(field.get("description") or meanings.get(name, ""))


def _kind(field: Schema) -> str:
    """What a field takes, in words."""
    if "$ref" in field:
        return str(field["$ref"].rpartition("/")[2])
    forms = [*field.get("anyOf", ()), *field.get("oneOf", ())]
    if forms:
        kinds = [_kind(form) for form in forms if form.get("type") != "null"]
        if "number" in kinds and "integer" in kinds:
            kinds.remove("integer")
        return " or ".join(dict.fromkeys(kinds))
    if "const" in field:
        return json.dumps(field["const"])
    if "enum" in field:
        return " or ".join(map(json.dumps, field["enum"]))
    kind = str(field.get("type", "anything"))
    if kind == "array":
        return f"list of {_kind(field.get('items', {}))}"
    least, most = field.get("minimum"), field.get("maximum")
    limits = [f"{words} {limit:,.12g}" for words, limit in (("at least", least), ("at most", most))
              if limit is not None and abs(limit) < WIDEST]  # fmt: skip
    return ", ".join([kind, *limits])
