"""What the routes answer, and what they refuse."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from server_fakes import Echo, application, listening, state_of

from tinyforge.server.keys import Key, Keys, _digest


@pytest.fixture(scope="module")
def app() -> Any:
    return application({"echo": Echo(), "labels": Echo("classify"), "chat": Echo("instruct")})


@pytest.fixture(scope="module")
def client(app: Any) -> Iterator[httpx.Client]:
    with listening(app) as (host, port), httpx.Client(base_url=f"http://{host}:{port}") as found:
        yield found


def test_one_text_is_answered(client: httpx.Client) -> None:
    answer = client.post("/predict", json={"input": "how are you"})
    assert answer.status_code == 200
    assert answer.json() == {
        "output": "you are how", "confidence": 0.5, "model": "echo", "version": "abcdef012345",
        "labels": None, "scores": None, "finish_reason": "stop", "safeguard": None,
    }  # fmt: skip


def test_a_list_is_answered_by_a_list_in_order(client: httpx.Client) -> None:
    answer = client.post("/predict", json={"input": ["a b", "c d"]}).json()
    assert [each["output"] for each in answer] == ["b a", "d c"]


def test_a_classifier_gives_labels_and_scores_when_asked(client: httpx.Client) -> None:
    body = {"input": "a", "model": "labels", "scores": True}
    answer = client.post("/predict", json=body).json()
    assert (answer["output"], answer["labels"]) == ("yes", ["yes"])
    assert answer["scores"] == {"yes": 0.75, "no": 0.25}


def test_a_chat_is_given_whole_to_a_model_that_chats(client: httpx.Client, app: Any) -> None:
    turns = [{"role": "developer", "content": "be brief"}, {"role": "user", "content": "x y"}]
    answer = client.post("/v1/chat/completions", json={"model": "chat", "messages": turns})
    assert answer.json()["choices"][0]["message"] == {
        "role": "assistant", "content": "y x", "refusal": None
    }  # fmt: skip
    assert answer.json()["usage"] == {
        "prompt_tokens": 2, "completion_tokens": 2, "total_tokens": 4
    }  # fmt: skip


def test_openai_clients_work_unchanged(client: httpx.Client) -> None:
    openai = pytest.importorskip("openai")
    with openai.OpenAI(base_url=f"{client.base_url}/v1", api_key="unused") as official:
        assert [m.id for m in official.models.list()] == ["echo", "labels", "chat"]
        asked = [{"role": "user", "content": "one two three"}]
        found = official.chat.completions.create(model="chat", messages=asked, max_tokens=9)
        assert found.choices[0].message.content == "three two one"
        pieces = list(
            official.chat.completions.create(
                model="chat", messages=asked, stream=True, stream_options={"include_usage": True}
            )
        )
        text = "".join(p.choices[0].delta.content or "" for p in pieces if p.choices)
        assert text == "three two one "
        assert pieces[-1].usage.completion_tokens == 3
        assert [p.choices[0].finish_reason for p in pieces if p.choices][-1] == "stop"
        done = official.completions.create(model="echo", prompt=["a b", "c d"])
        assert [c.text for c in done.choices] == ["b a", "d c"]
        with pytest.raises(openai.NotFoundError, match="there are: echo, labels, chat"):
            official.completions.create(model="none", prompt="a")


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"input": 5}, "input"),
        ({"input": []}, "input"),
        ({"input": "a", "temperature": -1}, "temperature"),
        ({"input": "a", "temperature": True}, "temperature"),
        ({"input": "a", "maximum": 3}, "maximum"),
        ({"input": "a", "max_new_tokens": 10**9}, "max_new_tokens"),
        ({"input": ["a"] * 300}, "input"),
        ({"input": "a" * 300_000}, "input"),
        ({}, "input"),
    ],
)
def test_wrong_bodies_are_named(client: httpx.Client, body: Any, param: str) -> None:
    answer = client.post("/predict", json=body)
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert error["type"] == "invalid_request_error"
    assert (error["param"] or "").startswith(param)


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b'{"input": "a", "\\ud800": 1}', "string_unicode"),
        (json.dumps({f"f{i}": 1 for i in range(5_000)}).encode(), "too_many_fields"),
        (json.dumps({"input": [1] * 5_000}).encode(), "string_type"),
        (b'{"input": [{"role": "x", "content": "a"}]}', "literal_error"),
        (b'{"input": {}}', "no_text"),
        (b'{"input": "a", "temperature": NaN}', "greater_than_equal"),
        (b'{"input": "a", "temperature": 1e999}', "less_than_equal"),
        (b'{"input": "a", "top_k": ' + b"9" * 5_000 + b"}", None),
        (b"[]", "model_attributes_type"),
    ],
)  # fmt: skip
def test_hostile_bodies_are_refused_by_their_first_mistake(
    client: httpx.Client, content: bytes, code: str | None
) -> None:
    answer = client.post("/predict", content=content, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, code)


@pytest.mark.parametrize(
    "content", [b"", b"{", b"\xff", b"[" * 100_000, b'{"input": NaN}', b'{"input": "\\ud800"}']
)
def test_what_is_no_json_is_a_plain_error(client: httpx.Client, content: bytes) -> None:
    answer = client.post("/predict", content=content, headers={"Content-Type": "application/json"})
    assert answer.status_code in (200, 400)  # a lone surrogate is JSON, and is read as \ufffd
    assert answer.json().keys() & {"error", "output"}
    if answer.status_code == 200:
        assert b"ud800" in content


def test_what_the_model_refuses_is_the_clients_and_harms_no_other(client: httpx.Client) -> None:
    answer = client.post("/predict", json={"input": "refuse"})
    assert answer.status_code == 400
    assert answer.json()["error"]["message"] == "this text is refused. Give another"


def test_a_failing_model_says_nothing_of_itself(client: httpx.Client) -> None:
    answer = client.post("/predict", json={"input": "break"})
    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert client.post("/predict", json={"input": "a b"}).status_code == 200


def test_greedy_answers_take_no_options_of_chance(client: httpx.Client, app: Any) -> None:
    client.post("/predict", json={"input": "a", "top_p": 0.9, "seed": 1, "temperature": 0})
    assert state_of(app).model.options[-1] == {"temperature": 0}


def test_a_body_that_is_too_large_is_refused(client: httpx.Client) -> None:
    assert client.post("/predict", content=b"x" * 1_100_000).status_code == 413

    def pieces() -> Iterator[bytes]:
        yield from [b"x" * 100_000] * 12

    assert client.post("/predict", content=pieces()).status_code == 413


def test_unknown_routes_and_methods_have_the_same_form(client: httpx.Client) -> None:
    assert client.get("/nothing").json()["error"]["type"] == "not_found_error"
    assert client.get("/predict").status_code == 405
    assert "error" in client.get("/predict").json()


def test_metrics_count_without_naming_texts(client: httpx.Client) -> None:
    client.post("/predict", json={"input": "unmistakable"})
    text = client.get("/metrics").text
    assert 'tinyforge_requests_total{route="/predict",status="200"}' in text
    assert "unmistakable" not in text
    assert text.endswith("# EOF\n")


def test_the_page_is_there_and_may_run_only_its_own_script(client: httpx.Client) -> None:
    answer = client.get("/")
    assert "Try the model" in answer.text
    assert "script-src 'self'" in answer.headers["content-security-policy"]
    assert client.get("/page.js").status_code == client.get("/page.css").status_code == 200


def test_other_hosts_and_origins_are_refused(client: httpx.Client) -> None:
    assert client.get("/v1/models", headers={"Host": "evil.example"}).status_code == 421
    refused = client.get("/v1/models", headers={"Origin": "http://evil.example"})
    assert refused.status_code == 403
    own = str(client.base_url).rstrip("/")
    assert client.get("/v1/models", headers={"Origin": own}).status_code == 200


def test_every_route_but_health_asks_for_the_key() -> None:
    app = application(keys=Keys((Key("me", _digest("right-key")),)))
    with listening(app) as (host, port), httpx.Client(base_url=f"http://{host}:{port}") as client:
        for route in ("/", "/page.js", "/metrics", "/v1/models", "/openapi.json", "/nothing"):
            assert client.get(route).status_code == 401, route
        assert client.post("/predict", json={"input": "a"}).status_code == 401
        assert client.get("/health").status_code == client.get("/ready").status_code == 200
        for header in ("Bearer wrong-key", "Basic right-key", "Bearer", "right-key"):
            assert client.get("/v1/models", headers={"Authorization": header}).status_code == 401
        good = {"Authorization": "Bearer right-key"}
        assert client.get("/v1/models", headers=good).status_code == 200
        assert client.get("/v1/models", headers={"X-API-Key": "right-key"}).status_code == 200


def test_a_key_may_ask_only_so_often() -> None:
    keys = Keys((Key("a", _digest("key-of-a")), Key("b", _digest("key-of-b"))))
    app = application(keys=keys, requests_per_minute=3)
    with listening(app) as (host, port), httpx.Client(base_url=f"http://{host}:{port}") as client:
        a, b = ({"Authorization": f"Bearer key-of-{name}"} for name in "ab")
        codes = [client.get("/v1/models", headers=a).status_code for _ in range(4)]
        assert codes == [200, 200, 200, 429]
        refused = client.get("/v1/models", headers=a)
        assert 1 <= int(refused.headers["retry-after"]) <= 60
        assert client.get("/v1/models", headers=b).status_code == 200


def test_the_document_describes_what_is_answered(client: httpx.Client) -> None:
    document = client.get("/openapi.json").json()
    assert {"/predict", "/v1/chat/completions", "/v1/completions", "/health"} <= set(
        document["paths"]
    )
    refusal = document["paths"]["/predict"]["post"]["responses"]["429"]
    assert "Refusal" in json.dumps(refusal)
