"""Measurements of TinyForge against other tools."""
