"""Models: found, read safely, made from nothing, adapted with LoRA, and saved as plain folders."""
