"""A program with no limits but uvicorn's own, for ``slow_sockets`` to be held against."""

from typing import Any

from fastapi import FastAPI, Request

app = FastAPI()


@app.post("/predict", response_model=None)
async def predict(request: Request) -> Any:
    return {"output": (await request.json())["input"]}


@app.get("/health", response_model=None)
async def health() -> Any:
    return {}
