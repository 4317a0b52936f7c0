"""Vectors of texts, in OpenAI's form."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Sequence
from typing import Any

import numpy as np
import orjson
from starlette.responses import Response

from tinyforge.inference.inputs import to_example
from tinyforge.server.asking import Question
from tinyforge.server.jobs import Job
from tinyforge.server.models import Served
from tinyforge.server.problems import Problem
from tinyforge.server.schemas import EmbeddingRequest
from tinyforge.server.spoken import looked_at


async def embedded(
    state: Any, served: Served, texts: Sequence[str], asked: EmbeddingRequest
) -> Response:
    """The answer to a request for vectors.

    Raises:
        Problem: the model has none, a text is empty or refused, or as ``Queue.answer``.
    """
    if not getattr(served.model, "can_embed", False):
        raise Problem(
            400, "this model gives no embeddings; /v1/models tells which do", param="model",
            code="cannot_embed",
        )  # fmt: skip
    if not all(texts):
        raise Problem(400, "an empty text has no embedding", param="input", code="empty")
    question, rulings = await looked_at(state, Question(list(texts), {}))
    if any(ruling is not None and ruling.action == "refused" for ruling in rulings):
        refusal = next(r.text for r in rulings if r is not None and r.action == "refused")
        raise Problem(400, refusal, param="input", code="content_filter")
    job = Job(question.given, {}, "embed")
    (rows,) = await served.queue.answer([job], state.settings.request_seconds)
    vectors = np.stack(rows).astype("<f4")
    if asked.dimensions is not None and asked.dimensions != vectors.shape[1]:
        raise Problem(
            400, f"the vectors of this model have {vectors.shape[1]} numbers, and a part of one "
            "means nothing", param="dimensions", code="wrong_dimensions",
        )  # fmt: skip
    read = await asyncio.to_thread(_tokens, served, question.given)
    state.measured.read.labels(served.name).inc(read)
    return Response(
        await asyncio.to_thread(_body, vectors, served.name, read, asked.encoding_format),
        media_type="application/json",
    )


def _body(vectors: np.ndarray[Any, Any], name: str, read: int, form: str | None) -> bytes:
    as_text = form == "base64"
    data = [
        {
            "object": "embedding", "index": index,
            "embedding": base64.b64encode(row.tobytes()).decode("ascii") if as_text else row,
        }
        for index, row in enumerate(vectors)
    ]  # fmt: skip
    usage = {"prompt_tokens": read, "total_tokens": read}
    answer = {"object": "list", "data": data, "model": name, "usage": usage}
    return orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY)


def _tokens(served: Served, texts: Sequence[str]) -> int:
    """Tokens that the model reads of these texts, those beyond its positions left out."""
    model = getattr(served.model, "base", served.model)
    encoded = model.task.encode([to_example(text) for text in texts])
    most = model.max_positions
    sizes = [len(item.input_ids) for item in encoded]
    return sum(size if most is None else min(size, most) for size in sizes)
