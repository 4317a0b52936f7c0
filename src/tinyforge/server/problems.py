"""What a client is told when something is wrong: errors in OpenAI's form."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.responses import JSONResponse

KINDS = {
    400: "invalid_request_error", 401: "authentication_error", 403: "permission_error",
    404: "not_found_error", 405: "invalid_request_error", 408: "timeout_error",
    413: "invalid_request_error", 421: "invalid_request_error", 422: "invalid_request_error",
    429: "rate_limit_error",
    431: "invalid_request_error", 499: "client_closed_request", 503: "unavailable_error",
    504: "timeout_error",
}  # fmt: skip


class Problem(Exception):  # noqa: N818 - what is answered, not always a mistake of ours
    """A request that is refused.

    Args:
        status: of the answer.
        message: what is wrong and what to do, for the client's developer.
        param: the field of the request that it is about.
        code: a short word that programs can compare.
        retry_after: seconds after which trying again makes sense.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        retry_after: int | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.param, self.code = status, message, param, code
        self.headers = {} if retry_after is None else {"Retry-After": str(retry_after)}

    def body(self) -> dict[str, Any]:
        """``{"error": {"message", "type", "param", "code"}}``."""
        return body_of(self.status, self.message, param=self.param, code=self.code)

    def response(self) -> JSONResponse:
        """The answer."""
        return JSONResponse(self.body(), status_code=self.status, headers=self.headers)


def queue_full(seconds: int) -> Problem:
    """Too many requests wait; after so many seconds it makes sense to ask again."""
    return Problem(
        429, "too many requests wait for this model", code="queue_full", retry_after=seconds
    )


def body_of(
    status: int, message: str, *, param: str | None = None, code: str | None = None
) -> dict[str, Any]:
    """An error in OpenAI's form."""
    kind = KINDS.get(status, "server_error")
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def of_validation(errors: list[Mapping[str, Any]]) -> Problem:
    """The first thing that pydantic found wrong with a body, without the client's text in it."""
    first = errors[0]
    place = [str(part) for part in first["loc"] if part != "body"]
    param = ".".join(place) or None
    if first["type"] == "extra_forbidden":
        message = f"unknown field {param!r}"
    elif first["type"] == "json_invalid":
        return Problem(400, "the body is not JSON", code="invalid_json")
    else:
        message = f"{param or 'the body'}: {first['msg']}"
    return Problem(400, message, param=param, code=str(first["type"]))
