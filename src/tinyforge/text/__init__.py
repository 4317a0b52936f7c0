"""Tokenizers trained on the user's text, and chat templates."""
