"""Bodies of requests, and of refusals, as they stand in the OpenAPI document."""

from __future__ import annotations

from typing import Annotated, Any, Literal, LiteralString, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    StrictBool,
    StrictFloat,
    StrictInt,
    Tag,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import PydanticCustomError, core_schema

Number = StrictInt | StrictFloat
MOST_FIELDS = 64
"""Fields of a body, at most: more than there are, and few enough to be looked at one by one."""
MOST_TOP = 20
"""Alternatives told of each token, at most."""
MOST_STOPS = 16
MOST_TURNS = 1_000


class Asked(BaseModel):
    """A request's body; an unknown field is refused, since ignoring it would be a lie."""

    model_config = ConfigDict(extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _few_fields(cls, data: Any) -> Any:
        if isinstance(data, dict) and len(data) > MOST_FIELDS:
            raise PydanticCustomError("too_many_fields", "there are more fields than are known")
        return data


class Only:
    """Marks a field that OpenAI has, and that is taken here with a few values alone.

    Clients send such fields unasked, with a value that asks for nothing.

    Args:
        why: what stands in the error where anything else is asked for.
        values: taken beside null.
    """

    def __init__(self, why: LiteralString, *values: Any) -> None:
        self._why, self._values = why, (None, *values)

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(self._check)

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {"enum": list(self._values)}

    def _check(self, value: Any) -> Any:
        if any(_is(value, each) for each in self._values):
            return value
        raise PydanticCustomError("not_served", self._why)


def _is(value: Any, other: Any) -> bool:
    """Equal, where true is not 1 and 0.0 is 0, as in JSON."""
    return isinstance(value, bool) == isinstance(other, bool) and bool(value == other)


def _texts(value: Any) -> Any:
    if isinstance(value, str):
        return value
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return value
    if isinstance(value, list) and isinstance(value[0], int | list):
        raise PydanticCustomError(
            "token_ids", "arrays of token ids are not read, since each model has its own; send text"
        )
    raise PydanticCustomError("no_text", "must be a text, or a list of texts")


Texts = Annotated[
    str | list[str],
    BeforeValidator(_texts),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string"},
                {"type": "array", "items": {"type": "string"}, "minItems": 1},
            ]
        }
    ),
]
"""One text or several; token ids are refused with a reason."""

_STOP = {"type": "string", "minLength": 1, "maxLength": 1_000}
Stop = Annotated[str, Field(min_length=1, max_length=1_000)]
Stops = Annotated[
    list[Stop],
    Field(max_length=MOST_STOPS, fail_fast=True),
    BeforeValidator(lambda value: [value] if isinstance(value, str) else value),
    WithJsonSchema({"anyOf": [_STOP, {"type": "array", "items": _STOP, "maxItems": MOST_STOPS}]}),
]
Seed = Annotated[StrictInt, Field(ge=-(2**63), le=2**63 - 1)]


class Sampling(Asked):
    """How text is written; classifiers take none of it."""

    temperature: Annotated[Number, Field(ge=0, le=100)] | None = None
    top_p: Annotated[Number, Field(gt=0, le=1)] | None = None
    seed: Seed | None = None
    stop: Stops | None = None


def _content(value: Any) -> Any:
    """A turn's text, from OpenAI's list of parts too."""
    if not isinstance(value, list):
        return value
    texts = []
    for part in value:
        if not isinstance(part, dict) or not _is(part.get("type"), "text"):
            raise PydanticCustomError("not_served", "only text is read: no images, sound or files")
        if set(part) != {"type", "text"} or not isinstance(part["text"], str):
            raise PydanticCustomError("no_text", "a part has a type and a text, nothing else")
        texts.append(part["text"])
    return "\n".join(texts)


_PART = {
    "type": "object",
    "properties": {"type": {"const": "text"}, "text": {"type": "string"}},
    "required": ["type", "text"],
    "additionalProperties": False,
}
NO_TOOLS: LiteralString = (
    "tools are not served: the model writes text; response_format makes it write JSON"
)


class Turn(Asked):
    """One turn of a chat.

    What an answer of OpenAI's has beside its text is taken, so that it can be sent back as it
    came.
    """

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: Annotated[
        str,
        BeforeValidator(_content),
        WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": _PART}]}),
    ]
    name: str | None = None
    refusal: str | None = None
    tool_call_id: str | None = None
    tool_calls: Annotated[Any, Only(NO_TOOLS, [])] = None
    function_call: Annotated[Any, Only(NO_TOOLS)] = None
    annotations: Annotated[Any, Only("annotations are not read", [])] = None
    audio: Annotated[Any, Only("sound is not read")] = None


def _kind(value: Any) -> str | None:
    """Which of its forms an input has, so that an error speaks of that form alone."""
    if isinstance(value, str):
        return "text"
    if not isinstance(value, list):
        return None
    return "chat" if value and isinstance(value[0], dict) else "texts"


Input = Annotated[
    Annotated[str, Tag("text")]
    | Annotated[list[str], Field(min_length=1, fail_fast=True), Tag("texts")]
    | Annotated[
        list[Turn], Field(min_length=1, max_length=MOST_TURNS, fail_fast=True), Tag("chat")
    ],
    Discriminator(
        _kind,
        custom_error_type="no_text",
        custom_error_message="must be a text, a list of texts, or a chat",
    ),
]


class PredictRequest(Sampling):
    """``input`` is a text, a chat, or a list of texts; a list is answered by a list."""

    input: Input
    model: str | None = None
    max_new_tokens: Annotated[StrictInt, Field(ge=1)] | None = None
    top_k: Annotated[StrictInt, Field(ge=0)] | None = None
    scores: StrictBool = False


class StreamOptions(Asked):
    """``include_usage``: a last piece with the counts."""

    include_usage: StrictBool | None = None
    include_obfuscation: Annotated[Any, Only("streams are not padded", False)] = None


class NamedSchema(Asked):
    """A JSON Schema that the answer has to fit; without one, any JSON object does."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
    description: str | None = None
    content: dict[str, Any] | None = Field(None, alias="schema")
    strict: StrictBool | None = None


class ResponseFormat(Asked):
    """``json_object``: any JSON object; ``json_schema``: JSON that the schema admits."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: NamedSchema | None = None

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if (self.type == "json_schema") != (self.json_schema is not None):
            raise PydanticCustomError(
                "schema_expected", "json_schema belongs to the type json_schema, and only to it"
            )
        return self

    @property
    def wanted(self) -> dict[str, Any] | None:
        """The schema of the answer; None: any text."""
        if self.type == "text":
            return None
        return (self.json_schema.content or {}) if self.json_schema is not None else {}


class OpenAIRequest(Sampling):
    """What the two routes that write share.

    ``user``, ``metadata``, ``store``, ``safety_identifier`` and ``prompt_cache_key`` are taken and
    change nothing. What is not served is taken with the one value that asks for nothing.
    """

    model: str
    stream: StrictBool | None = None
    stream_options: StreamOptions | None = None
    n: Annotated[StrictInt, Field(ge=1)] | None = None
    max_tokens: Annotated[StrictInt, Field(ge=1)] | None = None
    user: str | None = None
    metadata: dict[str, Any] | None = None
    store: StrictBool | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    presence_penalty: Annotated[Any, Only("penalties are not served", 0)] = None
    frequency_penalty: Annotated[Any, Only("penalties are not served", 0)] = None
    logit_bias: Annotated[Any, Only("biases are not served", {})] = None
    service_tier: Annotated[Any, Only("there is one tier", "auto", "default")] = None

    @model_validator(mode="after")
    def _options_of_streams(self) -> Self:
        if self.stream_options is not None and not self.stream:
            raise PydanticCustomError(
                "stream_expected", "stream_options have an effect with stream=true only"
            )
        return self


class CompletionRequest(OpenAIRequest):
    """``POST /v1/completions``."""

    prompt: Texts
    logprobs: Annotated[StrictInt, Field(ge=0, le=MOST_TOP)] | None = None
    best_of: Annotated[Any, Only("only the answers asked for by n are written", 1)] = None
    echo: Annotated[Any, Only("prompts are not echoed", False)] = None
    suffix: Annotated[Any, Only("the model writes after a prompt, not before a suffix", "")] = None


class ChatRequest(OpenAIRequest):
    """``POST /v1/chat/completions``."""

    messages: Annotated[list[Turn], Field(min_length=1, max_length=MOST_TURNS, fail_fast=True)]
    max_completion_tokens: Annotated[StrictInt, Field(ge=1)] | None = None
    logprobs: StrictBool | None = None
    top_logprobs: Annotated[StrictInt, Field(ge=0, le=MOST_TOP)] | None = None
    response_format: ResponseFormat | None = None
    tools: Annotated[Any, Only(NO_TOOLS, [])] = None
    tool_choice: Annotated[Any, Only(NO_TOOLS, "none", "auto")] = None
    parallel_tool_calls: Annotated[Any, Only(NO_TOOLS, True, False)] = None
    functions: Annotated[Any, Only(NO_TOOLS, [])] = None
    function_call: Annotated[Any, Only(NO_TOOLS, "none", "auto")] = None
    modalities: Annotated[Any, Only("only text is written", ["text"])] = None
    audio: Annotated[Any, Only("only text is written")] = None
    prediction: Annotated[Any, Only("predicted outputs are not served")] = None
    reasoning_effort: Annotated[Any, Only("there is no reasoning to be set")] = None
    verbosity: Annotated[Any, Only("there is no verbosity to be set")] = None
    web_search_options: Annotated[Any, Only("nothing is searched")] = None

    @model_validator(mode="after")
    def _tops_of_logprobs(self) -> Self:
        if self.top_logprobs is not None and not self.logprobs:
            raise PydanticCustomError(
                "logprobs_expected", "top_logprobs have an effect with logprobs=true only"
            )
        return self


class EmbeddingRequest(Asked):
    """``POST /v1/embeddings``. ``dimensions`` is taken where it is what the model has."""

    input: Texts
    model: str
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: Annotated[StrictInt, Field(ge=1)] | None = None
    user: str | None = None


class Fault(BaseModel):
    """What is wrong."""

    message: str
    type: str
    param: str | None
    code: str | None


class Refusal(BaseModel):
    """An error, in OpenAI's form."""

    error: Fault
