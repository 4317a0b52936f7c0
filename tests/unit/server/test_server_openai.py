"""The official client, unchanged, in both its forms, against all that is served."""

from __future__ import annotations

import asyncio
import base64
import json
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pydantic
import pytest
from server_api_fakes import Writer
from server_fakes import Echo, application, listening

openai = pytest.importorskip("openai")

HELLO = [{"role": "user", "content": "one two three"}]


@pytest.fixture(scope="module")
def writer() -> Writer:
    return Writer()


@pytest.fixture(scope="module")
def address(writer: Writer) -> Iterator[str]:
    models = {
        "writer": writer, "torch": Writer(engine=False, name="feedbeef0123"),
        "labels": Echo("classify"), "org/name": Writer("text2text"),
    }  # fmt: skip
    with listening(application(models)) as (host, port):
        yield f"http://{host}:{port}/v1"


@pytest.fixture(scope="module")
def client(address: str) -> Iterator[Any]:
    with openai.OpenAI(base_url=address, api_key="unused", max_retries=0) as found:
        yield found


def test_models_are_listed_and_found_by_any_name(client: Any) -> None:
    listed = list(client.models.list())
    assert [each.id for each in listed] == ["writer", "torch", "labels", "org/name"]
    assert [each.embeddings for each in listed] == [True, True, False, True]
    assert client.models.retrieve("org/name").id == "org/name"
    with pytest.raises(openai.NotFoundError, match="there are: writer"):
        client.models.retrieve("none")


@pytest.mark.parametrize("model", ["writer", "torch"])
def test_a_chat_is_answered_with_exact_usage(client: Any, model: str) -> None:
    found = client.chat.completions.create(model=model, messages=HELLO)
    assert found.choices[0].message.content == "three two one "
    assert found.choices[0].message.refusal is None
    assert found.choices[0].finish_reason == "stop"
    assert (found.usage.prompt_tokens, found.usage.completion_tokens) == (3, 3)
    assert found.usage.total_tokens == 6
    assert found.system_fingerprint in ("abcdef012345", "feedbeef0123")
    cut = client.chat.completions.create(model=model, messages=HELLO, max_completion_tokens=2)
    assert cut.choices[0].finish_reason == "length"
    assert cut.usage.completion_tokens == 2


def test_an_answer_goes_back_into_the_chat_as_it_came(client: Any, writer: Writer) -> None:
    first = client.chat.completions.create(model="writer", messages=HELLO)
    parts = [{"type": "text", "text": "and"}, {"type": "text", "text": "then"}]
    turns = [*HELLO, first.choices[0].message, {"role": "user", "content": parts}]
    second = client.chat.completions.create(model="writer", messages=turns)
    assert second.choices[0].message.content == "then and "


@pytest.mark.parametrize("model", ["writer", "torch"])
def test_a_chat_is_streamed_with_usage(client: Any, model: str) -> None:
    pieces = list(
        client.chat.completions.create(
            model=model, messages=HELLO, stream=True, stream_options={"include_usage": True}
        )
    )
    assert pieces[0].choices[0].delta.role == "assistant"
    assert "".join(p.choices[0].delta.content or "" for p in pieces if p.choices) == (
        "three two one "
    )
    assert [p.choices[0].finish_reason for p in pieces if p.choices][-1] == "stop"
    assert pieces[-1].usage.model_dump(include={"prompt_tokens", "completion_tokens"}) == {
        "prompt_tokens": 3, "completion_tokens": 3
    }  # fmt: skip
    assert all(piece.usage is None for piece in pieces[:-1])
    assert len({piece.id for piece in pieces}) == 1


def test_the_clients_own_stream_helper_gathers_the_answer(client: Any) -> None:
    with client.chat.completions.stream(model="writer", messages=HELLO) as stream:
        kinds = {event.type for event in stream}
        done = stream.get_final_completion()
    assert {"content.delta", "content.done"} <= kinds
    assert done.choices[0].message.content == "three two one "


@pytest.mark.parametrize("model", ["writer", "torch"])
@pytest.mark.parametrize("stream", [False, True])
def test_several_answers_differ_where_chance_has_a_part(
    client: Any, model: str, stream: bool
) -> None:
    def texts(**more: Any) -> list[str]:
        made = client.chat.completions.create(
            model=model, messages=HELLO, n=3, stream=stream, **more
        )
        if not stream:
            return [choice.message.content for choice in made.choices]
        found = ["", "", ""]
        for piece in made:
            for choice in piece.choices:
                found[choice.index] += choice.delta.content or ""
        return found

    assert texts() == ["three two one "] * 3
    drawn = texts(temperature=0.7, seed=5)
    assert drawn[0] == "three two one 5"
    assert len(set(drawn)) == 3
    assert texts(temperature=0.7, seed=5) == drawn
    assert texts(temperature=0.7) == ["three two one drawn"] * 3


def test_usage_counts_a_prompt_once_and_every_choice(client: Any) -> None:
    found = client.completions.create(model="org/name", prompt=["a b", "c"], n=2)
    assert [choice.text for choice in found.choices] == ["b a ", "b a ", "c ", "c "]
    assert [choice.index for choice in found.choices] == [0, 1, 2, 3]
    assert (found.usage.prompt_tokens, found.usage.completion_tokens) == (3, 6)


@pytest.mark.parametrize("model", ["writer", "torch"])
@pytest.mark.parametrize("more", [{}, {"temperature": 0.7, "seed": 5}])
def test_usage_of_a_stream_counts_a_prompt_once_and_every_choice(
    client: Any, model: str, more: dict[str, Any]
) -> None:
    """Greedy choices are written once and sent several times: each of them counts all the same."""
    asked = {"model": model, "messages": HELLO, "n": 3, **more}
    whole = client.chat.completions.create(**asked).usage
    *_, last = client.chat.completions.create(
        **asked, stream=True, stream_options={"include_usage": True}
    )
    assert last.choices == []
    assert (last.usage.prompt_tokens, last.usage.completion_tokens) == (3, 3 * (3 + bool(more)))
    assert last.usage.total_tokens == last.usage.prompt_tokens + last.usage.completion_tokens
    assert last.usage.model_dump(exclude_none=True) == whole.model_dump(exclude_none=True)


def test_seeds_of_any_sign_are_taken_and_stops_handed_on(client: Any, writer: Writer) -> None:
    client.chat.completions.create(
        model="writer", messages=HELLO, seed=-1, temperature=1.0, stop=["x", "y"], top_p=0.5
    )
    assert writer.options[-1] == {
        "temperature": 1.0, "top_p": 0.5, "seed": 2**63 - 1, "stop": ["x", "y"]
    }  # fmt: skip


def test_the_probabilities_of_a_chats_tokens(client: Any) -> None:
    found = client.chat.completions.create(
        model="writer", messages=HELLO, logprobs=True, top_logprobs=2
    )
    tokens = found.choices[0].logprobs.content
    assert [each.token for each in tokens] == ["three ", "two ", "one "]
    assert tokens[0].logprob == pytest.approx(math.log(0.5))
    assert bytes(tokens[0].bytes) == b"three "
    assert [(t.token, t.logprob) for t in tokens[0].top_logprobs] == [
        ("three 0", -2.0), ("three 1", -3.0)
    ]  # fmt: skip
    plain = client.chat.completions.create(model="writer", messages=HELLO, logprobs=True)
    assert plain.choices[0].logprobs.content[0].top_logprobs == []


def test_the_probabilities_of_a_streams_tokens(client: Any) -> None:
    pieces = list(
        client.chat.completions.create(model="writer", messages=HELLO, logprobs=True, stream=True)
    )
    told = [p.choices[0].logprobs.content for p in pieces if p.choices[0].logprobs]
    assert "".join(token.token for some in told for token in some) == "three two one "


@pytest.mark.parametrize("stream", [False, True])
def test_the_older_form_of_probabilities(client: Any, stream: bool) -> None:
    made = client.completions.create(model="org/name", prompt="un deux", logprobs=1, stream=stream)
    parts = [p.choices[0].logprobs for p in made] if stream else [made.choices[0].logprobs]
    parts = [part for part in parts if part]
    assert [token for part in parts for token in part.tokens] == ["deux ", "un "]
    assert [offset for part in parts for offset in part.text_offset] == [0, 5]
    assert parts[0].top_logprobs[0] == {
        "deux 0": -2.0, "deux ": pytest.approx(math.log(0.5))
    }  # fmt: skip


def test_an_answer_as_json(client: Any, writer: Writer) -> None:
    class Card(pydantic.BaseModel):
        """What the answer has to be."""

        name: str

    made = client.chat.completions.create(
        model="writer", messages=HELLO, response_format={"type": "json_object"}
    )
    assert json.loads(made.choices[0].message.content) == {"schema": {}}
    asked = {"name": "card", "schema": Card.model_json_schema(), "strict": True}
    made = client.chat.completions.create(
        model="writer", messages=HELLO,
        response_format={"type": "json_schema", "json_schema": asked},
    )  # fmt: skip
    assert writer.options[-1]["json_schema"]["properties"] == {
        "name": {"title": "Name", "type": "string"}
    }
    text = client.chat.completions.create(
        model="writer", messages=HELLO, response_format={"type": "text"}
    )
    assert text.choices[0].message.content == "three two one "


def test_the_clients_parse_hands_its_schema_on(client: Any, writer: Writer) -> None:
    class Whatever(pydantic.BaseModel):
        """Admits the fake's answer."""

        model_config = pydantic.ConfigDict(extra="allow")

    made = client.chat.completions.parse(model="writer", messages=HELLO, response_format=Whatever)
    assert made.choices[0].message.parsed is not None
    assert writer.options[-1]["json_schema"]["type"] == "object"


@pytest.mark.parametrize("more", [{}, {"encoding_format": "float"}])
def test_embeddings_in_both_encodings(client: Any, more: dict[str, Any]) -> None:
    found = client.embeddings.create(model="writer", input=["a", "four"], **more)
    assert [each.index for each in found.data] == [0, 1]
    wanted = Writer().embed(["a", "four"])
    got = np.array([each.embedding for each in found.data], np.float32)
    np.testing.assert_allclose(got, wanted, rtol=1e-6)
    assert found.usage.prompt_tokens == found.usage.total_tokens == 2


def test_base64_is_little_endian_float32(client: Any) -> None:
    raw = client.embeddings.with_raw_response.create(
        model="writer", input="a", encoding_format="base64", dimensions=2
    )
    text = json.loads(raw.content)["data"][0]["embedding"]
    numbers = np.frombuffer(base64.b64decode(text), "<f4")
    np.testing.assert_allclose(numbers, Writer().embed(["a"])[0])
    with pytest.raises(openai.BadRequestError, match="2 numbers"):
        client.embeddings.create(model="writer", input="a", dimensions=1)


def test_what_cannot_be_embedded_is_said(client: Any) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.embeddings.create(model="labels", input="a")
    assert (caught.value.code, caught.value.param) == ("cannot_embed", "model")
    with pytest.raises(openai.BadRequestError, match="empty"):
        client.embeddings.create(model="writer", input=[""])
    with pytest.raises(openai.BadRequestError, match="token ids"):
        client.embeddings.create(model="writer", input=[[1, 2]])


def test_a_label_is_a_completion_but_no_stream_and_no_tokens(client: Any) -> None:
    found = client.chat.completions.create(model="labels", messages=HELLO, temperature=0.3)
    assert found.choices[0].message.content == "yes"
    with pytest.raises(openai.BadRequestError, match="cannot be streamed"):
        client.chat.completions.create(model="labels", messages=HELLO, stream=True)
    with pytest.raises(openai.BadRequestError, match="probability of every label"):
        client.chat.completions.create(model="labels", messages=HELLO, logprobs=True)
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(
            model="labels", messages=HELLO, response_format={"type": "json_object"}
        )
    assert caught.value.param == "response_format"


@pytest.mark.parametrize(
    ("more", "param", "code"),
    [
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools", "not_served"),
        ({"tool_choice": "required"}, "tool_choice", "not_served"),
        ({"functions": [{"name": "f"}]}, "functions", "not_served"),
        ({"n": 9}, "n", "too_many_choices"),
        ({"logit_bias": {"5": 3}}, "logit_bias", "not_served"),
        ({"presence_penalty": 0.5}, "presence_penalty", "not_served"),
        ({"modalities": ["text", "audio"]}, "modalities", "not_served"),
        ({"top_logprobs": 2}, None, "logprobs_expected"),
        ({"stream_options": {"include_usage": True}}, None, "stream_expected"),
        ({"response_format": {"type": "json_schema"}}, "response_format", "schema_expected"),
        ({"stop": [""]}, "stop", "string_too_short"),
        ({"max_completion_tokens": 10**6}, "max_completion_tokens", "too_many_tokens"),
        ({"extra_body": {"guided_choice": ["a"]}}, "guided_choice", "extra_forbidden"),
    ],
)  # fmt: skip
def test_what_is_not_served_is_refused_by_name(
    client: Any, more: dict[str, Any], param: str | None, code: str
) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model="writer", messages=HELLO, **more)
    assert caught.value.code == code
    assert caught.value.type == "invalid_request_error"
    assert (caught.value.param or "").startswith(param or "")


def test_what_asks_for_nothing_is_taken(client: Any) -> None:
    made = client.chat.completions.create(
        model="writer", messages=HELLO, tools=[], tool_choice="none", parallel_tool_calls=True,
        logit_bias={}, presence_penalty=0.0, frequency_penalty=0, modalities=["text"],
        service_tier="auto", store=False, metadata={"a": "b"}, user="me", n=1, stop=[],
    )  # fmt: skip
    assert made.choices[0].message.content == "three two one "


@pytest.mark.parametrize("prompt", [[1, 2, 3], [[1, 2], [3]]])
def test_token_ids_are_refused_with_the_reason(client: Any, prompt: Any) -> None:
    with pytest.raises(openai.BadRequestError, match="send text") as caught:
        client.completions.create(model="org/name", prompt=prompt)
    assert (caught.value.param, caught.value.code) == ("prompt", "token_ids")


@pytest.mark.parametrize(
    "content",
    [
        [{"type": "image_url", "image_url": {"url": "data:,"}}],
        [{"type": ["text"], "text": "a"}],
        [{"type": "text", "text": 5}],
        ["text"],
        [[]],
    ],
)
def test_what_is_no_text_in_a_turn_is_refused(client: Any, content: Any) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(
            model="writer", messages=[{"role": "user", "content": content}]
        )
    assert caught.value.param == "messages.0.content"
    assert caught.value.code in ("not_served", "no_text")


def test_several_prompts_are_streamed_side_by_side(client: Any) -> None:
    found = ["", "", "", ""]
    for piece in client.completions.create(
        model="org/name", prompt=["a b", "c d"], n=2, stream=True
    ):
        for choice in piece.choices:
            found[choice.index] += choice.text
    assert found == ["b a ", "b a ", "d c ", "d c "]


def test_what_goes_wrong_in_a_stream_ends_it_with_an_error(client: Any) -> None:
    turns = [{"role": "user", "content": "break it now"}]
    with pytest.raises(openai.APIError, match="the model failed") as caught:
        list(client.chat.completions.create(model="writer", messages=turns, stream=True))
    assert "secret" not in str(caught.value.body)
    refused = [{"role": "user", "content": "refuse"}]
    with pytest.raises(openai.BadRequestError, match="this text is refused"):
        client.chat.completions.create(model="torch", messages=refused, stream=True)


def test_the_asynchronous_client_does_all_of_it_too(address: str) -> None:
    async def ask() -> None:
        async with openai.AsyncOpenAI(base_url=address, api_key="x", max_retries=0) as client:
            chats = client.chat.completions
            many = await asyncio.gather(
                *(
                    chats.create(model="writer", messages=[{"role": "user", "content": f"a {i}"}])
                    for i in range(20)
                )
            )
            assert [m.choices[0].message.content for m in many] == [f"{i} a " for i in range(20)]
            text = ""
            async for piece in await chats.create(model="torch", messages=HELLO, stream=True):
                text += piece.choices[0].delta.content or ""
            assert text == "three two one "
            found = await client.embeddings.create(model="writer", input=["a", "b"])
            assert len(found.data) == 2
            done = await client.completions.create(model="org/name", prompt="a b", logprobs=0)
            assert done.choices[0].logprobs.token_logprobs == pytest.approx([math.log(0.5)] * 2)
            with pytest.raises(openai.NotFoundError):
                await client.completions.create(model="none", prompt="a")

    asyncio.run(ask())
