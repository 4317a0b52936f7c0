"""The tutorials' import path for training."""
