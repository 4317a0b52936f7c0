"""What one writes first: FastAPI around a transformers pipeline, served by uvicorn."""

import os

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


@app.post("/predict")
def predict(asked: Asked):
    return pipe(asked.input)[0]


@app.post("/v1/completions")
def complete(asked: Asked):
    found = pipe(asked.prompt, max_new_tokens=asked.max_tokens, do_sample=False)
    return {"choices": [{"text": found[0]["generated_text"]}]}


@app.get("/health")
def health():
    return {}
