"""From a trained model to files that run anywhere: graphs, safetensors, GGUF, and the gate."""
