"""In which unit a setting counts, read from its description and its name."""

from __future__ import annotations

from tinyforge.config.names import Setting

SHARE = "share, 0 to 1"

FIRST_WORDS = {
    # How descriptions begin, and the unit that says.
    "Bytes": "bytes", "Megabytes": "megabytes", "Characters": "characters", "Words": "words",
    "Tokens": "tokens", "Rows": "rows", "Test rows": "rows", "Training rows": "rows",
    "Texts": "texts", "Layers": "layers", "Steps": "steps", "Optimizer steps": "steps",
    "Seconds": "seconds", "Minutes": "minutes", "Passes": "passes", "Share": SHARE,
    "Validations": "validations", "Examples": "rows", "Padded tokens": "tokens",
    "Input tokens": "tokens", "Answer tokens": "tokens", "Requests": "requests",
    "CPU threads": "threads", "Price": "money", "Rent": "money an hour",
}  # fmt: skip

ENDINGS = {
    # Last words of a name, and the unit.
    "per_minute": "a minute", "bytes": "bytes", "minutes": "minutes", "seconds": "seconds",
    "patience": "seconds", "characters": "characters", "contamination_words": "words",
    "contamination_least_words": "words", "passage_words": "words", "tokens": "tokens",
    "vocab_size": "tokens", "sentinels": "tokens", "context": "tokens", "max_length": "tokens",
    "rows": "rows", "few_shot": "rows", "steps": "steps", "every": "steps", "share": SHARE,
    "dropout": SHARE, "epochs": "passes", "watts": "watts", "threads": "threads",
    "workers": "processes", "connections": "connections", "max_waiting": "requests",
    "worker_memory": "bytes",
}  # fmt: skip


def unit_of(setting: Setting) -> str:
    """The unit of a setting's number, for example ``seconds``; empty where it has none."""
    if setting.kind not in ("number", "whole number"):
        return ""
    for words, unit in FIRST_WORDS.items():
        if setting.description.startswith((f"{words} ", f"{words},", f"{words}.")):
            return unit
    name = setting.name.rpartition(".")[2]
    found = [unit for end, unit in ENDINGS.items() if name == end or name.endswith(f"_{end}")]
    return found[0] if found else ""
