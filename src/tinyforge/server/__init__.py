"""A model as an HTTP service: FastAPI over uvicorn, with one queue for each model."""
