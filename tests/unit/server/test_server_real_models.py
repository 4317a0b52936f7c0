"""The official client against real models: an exported one with its engine, and PyTorch's."""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import random
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import numpy as np
import pytest
from export_runs import graphs_of, model_of
from server_fakes import application, listening, state_of, until

from tinyforge.recipes.load import load
from tinyforge.server.measured import open_files

openai = pytest.importorskip("openai")

TURNS = [{"role": "user", "content": "what is your name"}]
CARD = {
    "type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"],
    "additionalProperties": False,
}  # fmt: skip


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return {
        "engine": load(graphs_of("gpt", tmp_path_factory.mktemp("graphs"))),
        "torch": model_of("gpt"),
        "labels": model_of("bert"),
    }  # fmt: skip


@pytest.fixture(scope="module")
def app(models: dict[str, Any]) -> Any:
    return application(models)


@pytest.fixture(scope="module")
def client(app: Any) -> Iterator[Any]:
    with (
        listening(app) as (host, port),
        openai.OpenAI(base_url=f"http://{host}:{port}/v1", api_key="x", max_retries=0) as found,
    ):
        yield found


@pytest.mark.parametrize("name", ["engine", "torch"])
def test_what_is_served_is_what_the_model_predicts(
    client: Any, models: dict[str, Any], name: str
) -> None:
    asked = {"temperature": 1.0, "seed": 4, "max_tokens": 9}
    wanted = models[name].predict(TURNS, temperature=1.0, seed=4, max_new_tokens=9)
    found = client.chat.completions.create(model=name, messages=TURNS, **asked)
    assert found.choices[0].message.content == wanted.output
    assert found.choices[0].finish_reason == wanted.finish_reason
    assert found.usage.prompt_tokens == wanted.prompt_tokens > 0
    assert found.usage.completion_tokens == wanted.tokens
    assert found.system_fingerprint == models[name].hash
    pieces = list(
        client.chat.completions.create(
            model=name, messages=TURNS, stream=True, stream_options={"include_usage": True},
            **asked,
        )
    )  # fmt: skip
    text = "".join(p.choices[0].delta.content or "" for p in pieces if p.choices)
    assert text == wanted.output
    assert pieces[-1].usage == found.usage


@pytest.mark.parametrize("name", ["engine", "torch"])
def test_tokens_and_their_probabilities_make_up_the_answer(client: Any, name: str) -> None:
    asked = {"temperature": 1.0, "seed": 4, "max_tokens": 9, "logprobs": True, "top_logprobs": 3}
    found = client.chat.completions.create(model=name, messages=TURNS, **asked)
    choice = found.choices[0]
    tokens = choice.logprobs.content
    assert len(tokens) == found.usage.completion_tokens
    said = b"".join(bytes(token.bytes) for token in tokens).decode("utf-8", "replace")
    assert said.strip() == choice.message.content
    for token in tokens:
        assert token.logprob <= 0
        assert len(token.top_logprobs) == 3
        assert sum(math.exp(top.logprob) for top in token.top_logprobs) <= 1 + 1e-6
        assert token.top_logprobs[0].logprob >= token.logprob - 1e-6
    streamed = [
        token
        for piece in client.chat.completions.create(
            model=name, messages=TURNS, stream=True, **asked
        )
        for each in piece.choices
        if each.logprobs
        for token in each.logprobs.content
    ]
    assert [token.token for token in streamed] == [token.token for token in tokens]


@pytest.mark.parametrize("name", ["engine", "torch"])
def test_an_answer_fits_its_schema(client: Any, name: str) -> None:
    form = {"type": "json_schema", "json_schema": {"name": "card", "schema": CARD}}
    found = client.chat.completions.create(
        model=name, messages=TURNS, response_format=form, max_tokens=60
    ).choices[0]
    if found.finish_reason == "stop":
        assert set(json.loads(found.message.content)) == {"ok"}
    else:  # a random model may write white space for ever
        assert found.message.content.startswith("{")
    bad = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "nothing"}}}
    with pytest.raises(openai.BadRequestError):
        client.chat.completions.create(model=name, messages=TURNS, response_format=bad)


def test_drawn_choices_of_one_seed_are_many_answers_at_once(client: Any) -> None:
    def texts(**more: Any) -> list[str]:
        made = client.chat.completions.create(
            model="engine", messages=TURNS, n=4, temperature=1.5, max_tokens=9, **more
        )
        return [choice.message.content for choice in made.choices]

    assert texts(seed=3) == texts(seed=3)
    assert len(set(texts(seed=3))) > 1
    assert texts(seed=3)[0] == (
        client.chat.completions.create(
            model="engine", messages=TURNS, temperature=1.5, max_tokens=9, seed=3
        )
        .choices[0]
        .message.content
    )


def test_predict_is_the_models_own_confidence(client: Any, models: dict[str, Any]) -> None:
    root = str(client.base_url).removesuffix("v1/")
    for name in ("engine", "labels"):
        found = httpx.post(f"{root}predict", json={"model": name, "input": ["how are you"]}).json()
        wanted = models[name].predict("how are you")
        assert found[0]["output"] == wanted.output
        assert found[0]["confidence"] == pytest.approx(wanted.confidence, rel=1e-3)
    label = client.completions.create(model="labels", prompt="how are you")
    assert label.usage.prompt_tokens > 0
    assert label.usage.completion_tokens == 0


def test_vectors_are_of_length_one_and_the_same_alone(client: Any) -> None:
    for name in ("torch", "labels"):
        found = client.embeddings.create(model=name, input=["how are you", "the cat"])
        rows = np.array([each.embedding for each in found.data])
        np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, rtol=1e-5)
        alone = client.embeddings.create(model=name, input="the cat", encoding_format="float")
        np.testing.assert_allclose(alone.data[0].embedding, rows[1], atol=1e-5)
        assert found.usage.prompt_tokens > alone.usage.prompt_tokens > 0


def test_a_stream_that_is_left_frees_the_engine(client: Any, app: Any) -> None:
    engine = state_of(app).model.engine
    stream = client.completions.create(
        model="engine", prompt="how are you", stream=True, max_tokens=100, temperature=1.0
    )
    next(iter(stream))
    stream.close()
    until(lambda: engine.stats().running == 0)
    until(lambda: state_of(app).queue.running == 0)


@pytest.mark.slow
def test_500_disconnects_at_random_points_leak_nothing(client: Any, app: Any) -> None:
    engine, queue = state_of(app).model.engine, state_of(app).queue
    root, draw = str(client.base_url).removesuffix("v1/"), random.Random(0)

    def leave(number: int) -> None:
        body = {
            "model": "engine", "prompt": "how are you", "max_tokens": 90, "temperature": 1.0,
            "stream": number % 3 > 0, "n": 1 + number % 4,
        }  # fmt: skip
        with contextlib.suppress(httpx.HTTPError), httpx.Client(timeout=30) as one:
            if number % 3 < 2:  # leaves whenever it likes
                one.timeout = httpx.Timeout(0.002 + draw.random() * 0.3)
                one.post(f"{root}v1/completions", json=body)
            else:  # leaves in the middle of what it reads
                with one.stream("POST", f"{root}v1/completions", json=body) as answer:
                    for _ in zip(range(draw.randrange(20)), answer.iter_lines(), strict=False):
                        pass

    def quiet() -> bool:
        stats = engine.stats()
        return not (stats.running or stats.waiting or queue.running or queue.waiting)

    leave(2)
    until(quiet)
    time.sleep(1)
    tasks, files = len(asyncio.all_tasks(app.loop)), open_files()
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(leave, range(500)))
    until(quiet, 60)
    until(lambda: len(asyncio.all_tasks(app.loop)) <= tasks, 20)
    until(lambda: open_files() <= files, 20)
    assert not queue._begun
    assert not queue._since
