"""Bodies of requests and answers, as they stand in the OpenAPI document."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictFloat, StrictInt

Number = StrictInt | StrictFloat


class Asked(BaseModel):
    """A request's body; an unknown field is refused, since ignoring it would be a lie."""

    model_config = ConfigDict(extra="forbid")


class Sampling(Asked):
    """How text is written; classifiers take none of it."""

    temperature: Annotated[Number, Field(ge=0, le=100)] | None = None
    top_p: Annotated[Number, Field(gt=0, le=1)] | None = None
    seed: Annotated[StrictInt, Field(ge=0, le=2**63 - 1)] | None = None
    stop: str | Annotated[list[str], Field(max_length=16)] | None = None


class Turn(Asked):
    """One turn of a chat."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str
    name: str | None = None


class PredictRequest(Sampling):
    """``input`` is a text, a chat, or a list of texts; a list is answered by a list."""

    input: str | list[str] | list[Turn]
    model: str | None = None
    max_new_tokens: Annotated[StrictInt, Field(ge=1)] | None = None
    top_k: Annotated[StrictInt, Field(ge=0)] | None = None
    scores: StrictBool = False


class Answer(BaseModel):
    """One answer.

    ``model`` is the model's name, ``version`` begins its weights' SHA-256.
    """

    output: str
    confidence: float | None
    model: str
    version: str
    labels: list[str] | None = None
    scores: dict[str, float] | None = None
    finish_reason: str | None = None


class StreamOptions(Asked):
    """``include_usage``: a last piece with the counts."""

    include_usage: StrictBool = False


class OpenAIRequest(Sampling):
    """What the two OpenAI routes share.

    ``user``, ``metadata`` and ``store`` are taken and change nothing. ``n`` and the penalties are
    there for clients that always send them, with the one value that is served.
    """

    model: str
    stream: StrictBool | None = None
    stream_options: StreamOptions | None = None
    n: Annotated[StrictInt, Field(ge=1, le=1)] | None = None
    presence_penalty: Literal[0] | None = None
    frequency_penalty: Literal[0] | None = None
    user: str | None = None
    metadata: dict[str, Any] | None = None
    store: StrictBool | None = None


class CompletionRequest(OpenAIRequest):
    """``POST /v1/completions``."""

    prompt: str | list[str]
    max_tokens: Annotated[StrictInt, Field(ge=1)] | None = None


class ChatRequest(OpenAIRequest):
    """``POST /v1/chat/completions``."""

    messages: Annotated[list[Turn], Field(min_length=1, max_length=1_000)]
    max_tokens: Annotated[StrictInt, Field(ge=1)] | None = None
    max_completion_tokens: Annotated[StrictInt, Field(ge=1)] | None = None


class Usage(BaseModel):
    """Tokens read and written."""

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


class ModelList(BaseModel):
    """``/v1/models``."""

    object: Literal["list"] = "list"
    data: list[ModelCard]


class Message(BaseModel):
    """What the assistant said."""

    role: Literal["assistant"] = "assistant"
    content: str


class ChatChoice(BaseModel):
    """The answer of a chat."""

    index: int
    message: Message
    finish_reason: str
    logprobs: None = None


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
    finish_reason: str
    logprobs: None = None


class Completion(BaseModel):
    """The answers to prompts."""

    id: str
    object: Literal["text_completion"] = "text_completion"
    created: int
    model: str
    system_fingerprint: str
    choices: list[TextChoice]
    usage: Usage


class Fault(BaseModel):
    """What is wrong."""

    message: str
    type: str
    param: str | None
    code: str | None


class Refusal(BaseModel):
    """An error, in OpenAI's form."""

    error: Fault
