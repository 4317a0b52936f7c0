"""Settings of serving."""

from __future__ import annotations

from pydantic import Field

from tinyforge.config.base import Stage


class ServeSettings(Stage):
    """How a model is served, and what a client may ask of it."""

    host: str = Field("127.0.0.1", description="Address to listen on; others than this machine's "
                      "own need api_key_file.")  # fmt: skip
    port: int = Field(8000, ge=0, le=65535, description="Port; 0: any free one.")
    api_key_file: str | None = Field(
        None,
        description="File with a key a line, best as NAME sha256:HEX; --new-key writes such a "
        "line. Without it everybody on this machine may ask.",
    )
    allowed_hosts: tuple[str, ...] = Field(
        (), description="Further names by which clients may call this server (Host header)."
    )
    allowed_origins: tuple[str, ...] = Field(
        (), description="Web pages' origins that may ask; default: the server's own page alone."
    )
    max_body_bytes: int = Field(1_000_000, ge=1_000, description="Bytes of a request, at most.")
    max_inputs: int = Field(256, ge=1, description="Texts in one request, at most.")
    max_input_characters: int = Field(
        200_000, ge=1, description="Characters of one text, at most, counted before tokenizing."
    )
    max_new_tokens: int = Field(1_024, ge=1, description="Tokens written for a request, at most.")
    max_waiting: int = Field(
        256, ge=1, description="Requests that wait for a model, at most; then 429 is answered."
    )
    max_connections: int = Field(1_000, ge=1, description="Open connections, at most.")
    requests_per_minute: int | None = Field(
        None, ge=1, description="Requests a minute for each key, at most."
    )
    batch_rows: int = Field(64, ge=1, description="Texts answered together, at most.")
    parallel_texts: int = Field(
        32, ge=1, description="Answers of an exported model written at the same time, at most."
    )
    head_seconds: float = Field(5.0, gt=0, description="For a request's line and headers to come.")
    body_seconds: float = Field(10.0, gt=0, description="For a request's body to come.")
    write_seconds: float = Field(
        10.0, gt=0, description="A client that takes nothing for so long is cut off."
    )
    request_seconds: float = Field(120.0, gt=0, description="For an answer, waiting included.")
    keep_alive_seconds: float = Field(5.0, gt=0, description="For an idle connection.")
    drain_seconds: float = Field(
        30.0, gt=0, description="For running answers to end when the server is stopped."
    )
    verify: bool = Field(
        True, description="Check every file against the manifest before a model is loaded."
    )
