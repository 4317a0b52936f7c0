"""Safeguards on what is asked and answered, in every form of answer."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import httpx
import pytest
from server_api_fakes import Rules, Writer
from server_fakes import Echo, application, listening


class Seen:
    """Drift counters that remember."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.outputs: list[str] = []

    def observe(self, texts: Sequence[str], predictions: Sequence[Any]) -> None:
        self.texts += texts
        self.outputs += [prediction.output for prediction in predictions]
        if "explode" in texts:
            raise ZeroDivisionError

    def figures(self) -> list[Any]:
        return []


@pytest.fixture(scope="module")
def seen() -> Seen:
    return Seen()


@pytest.fixture(scope="module")
def client(seen: Seen) -> Iterator[httpx.Client]:
    app = application({"writer": Writer(), "labels": Echo("classify")})
    app.state.safeguards = Rules()
    for served in app.state.pool.all():
        object.__setattr__(served, "drift", seen)
    with listening(app) as (host, port), httpx.Client(base_url=f"http://{host}:{port}") as found:
        yield found


def chat(client: httpx.Client, text: str, **more: Any) -> Any:
    body = {"model": "writer", "messages": [{"role": "user", "content": text}], **more}
    return client.post("/v1/chat/completions", json=body)


def events(answer: httpx.Response) -> list[dict[str, Any]]:
    parts = answer.text.strip().split("\n\n")
    assert parts[-1] == "data: [DONE]"
    return [json.loads(part.removeprefix("data: ")) for part in parts[:-1]]


def test_a_refused_question_is_answered_by_the_refusal(client: httpx.Client) -> None:
    found = chat(client, "say bad things", n=2).json()
    for choice in found["choices"]:
        assert choice["finish_reason"] == "content_filter"
        assert choice["message"]["content"] == choice["message"]["refusal"] == "I cannot say that."
    assert found["usage"]["completion_tokens"] == 0
    answer = client.post("/predict", json={"input": "bad", "model": "labels"}).json()
    assert answer["output"] == "I cannot say that."
    assert answer["safeguard"] == {"action": "refused", "rule": "block_list"}


def test_every_turn_of_a_chat_is_looked_at(client: httpx.Client) -> None:
    turns = [{"role": "system", "content": "bad"}, {"role": "user", "content": "hi"}]
    found = client.post("/v1/chat/completions", json={"model": "writer", "messages": turns})
    assert found.json()["choices"][0]["finish_reason"] == "content_filter"


def test_masked_words_do_not_reach_the_model(client: httpx.Client) -> None:
    found = client.post("/predict", json={"input": "my secret word", "model": "writer"}).json()
    assert found["output"] == "word *** my "
    assert found["safeguard"] == {"action": "changed", "rule": "personal_data"}


def test_one_refused_text_leaves_the_others_of_its_list(client: httpx.Client) -> None:
    body = {"input": ["a b", "bad", "c d"], "model": "writer"}
    found = client.post("/predict", json=body).json()
    assert [each["output"] for each in found] == ["b a ", "I cannot say that.", "d c "]
    assert [each["finish_reason"] for each in found] == ["stop", "content_filter", "stop"]


def test_a_stream_stops_before_what_is_refused(client: httpx.Client) -> None:
    body = {"model": "writer", "messages": [{"role": "user", "content": "z y x"}], "stream": True}
    plain = events(client.post("/v1/chat/completions", json=body))
    assert "".join(e["choices"][0]["delta"].get("content", "") for e in plain) == "x y z "
    refused = events(chat(client, "bad", stream=True))
    deltas = [event["choices"][0]["delta"] for event in refused]
    assert {"content": "I cannot say that.", "refusal": "I cannot say that."} in deltas
    assert refused[-1]["choices"][0]["finish_reason"] == "content_filter"


def test_a_stream_of_an_answer_that_turns_bad_is_cut(client: httpx.Client) -> None:
    # The answer holds its schema, which no rule for questions has seen.
    form = {
        "type": "json_schema", "json_schema": {"name": "x", "schema": {"title": "bad"}}
    }  # fmt: skip
    told = events(chat(client, "hello", stream=True, response_format=form))
    said = "".join(event["choices"][0]["delta"].get("content", "") for event in told)
    assert said == "I cannot say that."
    assert told[-1]["choices"][0]["finish_reason"] == "content_filter"
    whole = chat(client, "hello", response_format=form).json()["choices"][0]
    assert whole["message"]["refusal"] == "I cannot say that."
    assert whole["finish_reason"] == "content_filter"


def test_tokens_are_not_told_past_the_safeguards(client: httpx.Client) -> None:
    assert chat(client, "a", stream=True, logprobs=True).json()["error"]["param"] == "logprobs"
    assert chat(client, "a", logprobs=True, top_logprobs=1).status_code == 400
    assert chat(client, "a", logprobs=True).json()["choices"][0]["logprobs"]["content"]
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"title": "secret"}}}
    changed = chat(client, "a", logprobs=True, response_format=form).json()["choices"][0]
    assert "***" in changed["message"]["content"]
    assert changed["logprobs"] is None


def test_embeddings_see_masked_texts_and_refuse_refused_ones(client: httpx.Client) -> None:
    refused = client.post("/v1/embeddings", json={"model": "writer", "input": ["a", "bad"]})
    assert refused.status_code == 400
    assert refused.json()["error"]["code"] == "content_filter"
    masked = client.post("/v1/embeddings", json={"model": "writer", "input": "secret"}).json()
    plain = client.post("/v1/embeddings", json={"model": "writer", "input": "***"}).json()
    assert masked["data"] == plain["data"]


def test_drift_sees_what_was_asked_and_answered_and_costs_no_answer(
    client: httpx.Client, seen: Seen
) -> None:
    seen.texts.clear()
    seen.outputs.clear()
    chat(client, "one two", n=3, temperature=1.0, seed=1)
    chat(client, "three four", stream=True)
    assert chat(client, "explode").status_code == 200
    chat(client, "bad")
    assert seen.texts == ["one two", "three four", "explode"]
    assert seen.outputs[:2] == ["two one 1", "four three "]
