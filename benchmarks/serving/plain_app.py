"""What one writes first: FastAPI around a transformers pipeline, served by uvicorn."""

import os
from typing import Any

import torch
from fastapi import FastAPI
from pydantic import BaseModel
from transformers import pipeline

torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
pipe = pipeline(os.environ["PLAIN_TASK"], model=os.environ["PLAIN_MODEL"], device="cpu")
app = FastAPI()


class Asked(BaseModel):
    input: str | None = None
    prompt: str | None = None
    max_tokens: int = 64


@app.post("/predict", response_model=None)
def predict(asked: Asked) -> Any:
    return pipe(asked.input)[0]


@app.post("/v1/completions", response_model=None)
def complete(asked: Asked) -> Any:
    found = pipe(asked.prompt, max_new_tokens=asked.max_tokens, do_sample=False)
    return {"choices": [{"text": found[0]["generated_text"]}]}


@app.get("/health", response_model=None)
def health() -> Any:
    return {}
