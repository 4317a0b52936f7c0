"""Bodies of answers, as they stand in the OpenAPI document."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel

Reason = Literal["stop", "length", "content_filter"]


class Check(BaseModel):
    """What a safeguard did to an answer: ``changed`` or ``refused``, and which rule it was."""

    action: str
    rule: str


class Answer(BaseModel):
    """One answer.

    ``model`` is the model's name, ``version`` begins its weights' SHA-256. ``safeguard`` is there
    where one has changed or refused the text or the answer.
    """

    output: str
    confidence: float | None
    model: str
    version: str
    labels: list[str] | None = None
    scores: dict[str, float] | None = None
    finish_reason: str | None = None
    safeguard: Check | None = None


class Usage(BaseModel):
    """Tokens read and written, as the model counts them."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class ModelCard(BaseModel):
    """One model of ``/v1/models``."""

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str = "tinyforge"
    task: str
    version: str
    embeddings: bool


class ModelList(BaseModel):
    """``/v1/models``."""

    object: Literal["list"] = "list"
    data: list[ModelCard]


class TopLogprob(BaseModel):
    """A token that could have stood there."""

    token: str
    logprob: float
    bytes: list[int]


class TokenLogprob(TopLogprob):
    """A token that was written, and the likeliest in its place."""

    top_logprobs: list[TopLogprob]


class ChatLogprobs(BaseModel):
    """How likely each token was."""

    content: list[TokenLogprob]
    refusal: None = None


class TextLogprobs(BaseModel):
    """How likely each token was, in the older form: lists with a place for each token.

    A token that is only a part of a character is named ``bytes:\\xe2\\x80``.
    """

    tokens: list[str]
    token_logprobs: list[float]
    top_logprobs: list[dict[str, float]] | None
    text_offset: list[int]


class Message(BaseModel):
    """What the assistant said; ``refusal`` says it again where a safeguard refused."""

    role: Literal["assistant"] = "assistant"
    content: str
    refusal: str | None = None


class ChatChoice(BaseModel):
    """The answer of a chat."""

    index: int
    message: Message
    finish_reason: Reason
    logprobs: ChatLogprobs | None = None


class Chat(BaseModel):
    """A chat's answer."""

    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    system_fingerprint: str
    choices: list[ChatChoice]
    usage: Usage


class TextChoice(BaseModel):
    """The answer to one prompt."""

    index: int
    text: str
    finish_reason: Reason
    logprobs: TextLogprobs | None = None


class Completion(BaseModel):
    """The answers to prompts; those to one prompt stand together."""

    id: str
    object: Literal["text_completion"] = "text_completion"
    created: int
    model: str
    system_fingerprint: str
    choices: list[TextChoice]
    usage: Usage


class Embedding(BaseModel):
    """One text's vector, of length 1; as base64: its float32 numbers, little-endian."""

    object: Literal["embedding"] = "embedding"
    index: int
    embedding: list[float] | str


class EmbeddingUsage(BaseModel):
    """Tokens read."""

    prompt_tokens: int
    total_tokens: int


class Embeddings(BaseModel):
    """A vector for each text, in order."""

    object: Literal["list"] = "list"
    data: list[Embedding]
    model: str
    usage: EmbeddingUsage


class Health(BaseModel):
    """The process lives."""

    status: Literal["ok"] = "ok"


class Ready(BaseModel):
    """Whether requests are taken."""

    ready: bool
