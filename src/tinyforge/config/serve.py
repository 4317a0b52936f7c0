"""Settings of serving."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tinyforge.config.base import Stage
from tinyforge.config.safeguards import SafeguardSettings


class ServeSettings(Stage):
    """How a model is served, and what a client may ask of it."""

    host: str = Field("127.0.0.1", description="Address to listen on; others than this machine's "
                      "own need api_key_file.")  # fmt: skip
    port: int = Field(8000, ge=0, le=65535, description="Port; 0: any free one.")
    workers: int = Field(
        1,
        ge=1,
        le=64,
        description="Processes that answer, which share the processor's cores and whose files are "
        "in memory once.",
    )
    api_key_file: str | None = Field(
        None,
        description="File with a key a line, best as NAME sha256:HEX; --new-key writes such a "
        "line. Keys may also stand so in the environment, in TINYFORGE_API_KEYS. Without any, "
        "everybody on this machine may ask.",
    )
    allowed_hosts: tuple[str, ...] = Field(
        (), description="Further names by which clients may call this server (Host header)."
    )
    allowed_origins: tuple[str, ...] = Field(
        (), description="Web pages' origins that may ask; default: the server's own page alone."
    )
    max_header_bytes: int = Field(
        16_384, ge=1_000, description="Bytes of a request's line and headers, at most."
    )
    max_body_bytes: int = Field(1_000_000, ge=1_000, description="Bytes of a request, at most.")
    max_json_depth: int = Field(
        64, ge=4, le=500, description="Lists and objects within each other in a body, at most."
    )
    max_json_items: int = Field(
        20_000, ge=100, description="Values in a body, at most; both are counted before it is read."
    )
    max_inputs: int = Field(256, ge=1, description="Texts in one request, at most.")
    max_input_characters: int = Field(
        200_000, ge=1, description="Characters of one text, at most, counted before tokenizing."
    )
    max_new_tokens: int = Field(1_024, ge=1, description="Tokens written for an answer, at most.")
    max_choices: int = Field(
        8, ge=1, description="Answers to one text that a request may ask for (n), at most."
    )
    max_waiting: int = Field(
        256,
        ge=1,
        description="Requests that wait for a model in a worker, at most; then 429 is answered.",
    )
    max_connections: int = Field(
        1_000, ge=1, description="Open connections of a worker, at most; then 503 is answered."
    )
    requests_per_minute: int | None = Field(
        None,
        ge=1,
        le=100_000,
        description="Requests a minute for each key, at most, all workers together; without keys "
        "for all clients together.",
    )
    batch_rows: int = Field(64, ge=1, description="Texts answered together, at most.")
    parallel_texts: int = Field(
        32, ge=1, description="Answers of an exported model written at the same time, at most."
    )
    head_seconds: float = Field(5.0, gt=0, description="For a request's line and headers to come.")
    body_seconds: float = Field(8.0, gt=0, description="For a request's body to come.")
    write_seconds: float = Field(
        6.0, gt=0, description="A client that takes next to nothing for so long is cut off."
    )
    request_seconds: float = Field(120.0, gt=0, description="For an answer, waiting included.")
    keep_alive_seconds: float = Field(5.0, gt=0, description="For an idle connection.")
    notice_seconds: float = Field(
        0.5,
        ge=0,
        description="Between no longer being ready and taking no more requests, when the server "
        "is stopped, for a load balancer to notice.",
    )
    drain_seconds: float = Field(
        30.0, gt=0, description="For running answers to end when the server is stopped."
    )
    verify: bool = Field(
        True, description="Check every file against the manifest before a model is loaded."
    )
    keep_versions: bool = Field(
        True,
        description="Serve from a private copy of each model's files, and keep that of the version "
        "before: for going back, and so that changed files harm nothing.",
    )
    log_format: Literal["text", "json"] = Field(
        "text", description="Lines for people, or an object a line for programs."
    )
    log_requests: bool = Field(
        True, description="A line for each request; never its text, its key or its path."
    )
    traces: bool = Field(
        False,
        description="Send an OpenTelemetry trace of each request to where the environment says "
        "(OTEL_EXPORTER_OTLP_ENDPOINT).",
    )
    safeguards: SafeguardSettings = SafeguardSettings()
