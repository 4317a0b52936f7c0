"""A program with no limits but uvicorn's own, for ``slow_sockets`` to be held against."""

from fastapi import FastAPI, Request

app = FastAPI()


@app.post("/predict")
async def predict(request: Request):
    return {"output": (await request.json())["input"]}


@app.get("/health")
async def health():
    return {}
