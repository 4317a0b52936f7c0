"""The page of a search for settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tinyforge.artifacts.bars import Bar, bar_chart
from tinyforge.artifacts.html import fill
from tinyforge.artifacts.plots import number
from tinyforge.artifacts.tune_plots import Dot, dots_chart
from tinyforge.artifacts.words import flat, p_text, seconds_text

_TONES = {"better": "good", "not better": "bad", "cannot tell": "unsure"}
_STATES = {"complete": "trained", "pruned": "stopped", "failed": "failed", "running": "unfinished"}


def render_search(content: Mapping[str, Any]) -> str:
    """A search as one HTML page that needs nothing else.

    Args:
        content: of ``tinyforge/tuning.json``; plain JSON.
    """
    trials = list(content["trials"])
    _, _, sentence = content["verdict"]["sentence"].partition(": ")
    page = {
        "content": content,
        "word": content["verdict"]["word"].capitalize(),
        "tone": _TONES.get(content["verdict"]["word"], "unsure"),
        "sentence": sentence[:1].upper() + sentence[1:],
        "glance": _glance(content, trials),
        "way": "higher is better" if content["higher_is_better"] else "lower is better",
        "names": [_plain(part["name"]) for part in content["space"]],
        "rows": [_row(content, trial) for trial in _ordered(content, trials)],
        "trials_svg": _over_time(content, trials),
        "importance_svg": _importance(content),
        "metric_charts": [_over_values(content, trials, part) for part in content["space"]],
        "scores": _scores(content),
        "machine": flat(content["machine"]),
    }
    return fill("tune.html.jinja", page)


def _glance(
    content: Mapping[str, Any], trials: Sequence[Mapping[str, Any]]
) -> list[tuple[str, str]]:
    best = trials[content["best"] - 1]
    states = [trial["state"] for trial in trials]
    counted = [
        f"{states.count(state)} {word}" for state, word in _STATES.items() if state in states
    ]
    found = [
        ("Winner", f"trial {best['number']}" + (" (the default settings)" if best["number"] == 1
                                                 else "") + f": {settings_text(best['values'])}"),
        ("How far to trust the search", content["optimism"]["sentence"]),
        ("Trials", f"{len(trials)}: {', '.join(counted)}; {seconds_text(content['seconds'])} in "
                   f"all. {content['ended']}"),
    ]  # fmt: skip
    verdict = content["verdict"]
    if verdict["interval"]:
        sure = f"; p {_p(verdict['p_value'])}" if verdict["p_value"] is not None else ""
        found.insert(0, ("Against the default settings", f"{verdict['interval']}{sure}"))
    return found


def settings_text(values: Mapping[str, Any]) -> str:
    """Settings in one line: ``learning rate 0.0003, batch size 16``."""
    return ", ".join(f"{_plain(name)} {value_text(value)}" for name, value in values.items())


def value_text(value: Any) -> str:
    """A setting's value; a rate keeps its digits."""
    if value is None:
        return "as the model has it"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, int | float) else str(value)


def _plain(name: str) -> str:
    stage, _, field = name.rpartition(".")
    words = field.replace("_", " ")
    return f"LoRA {words}" if stage == "lora" else words


def _p(value: float) -> str:
    text = p_text(value)
    return text if text.startswith("<") else f"= {text}"


def _ordered(
    content: Mapping[str, Any], trials: Sequence[Mapping[str, Any]]
) -> list[Mapping[str, Any]]:
    """The best first; what was not trained to its end comes last."""
    sign = -1 if content["higher_is_better"] else 1
    ranks = list(_STATES)

    def order(trial: Mapping[str, Any]) -> tuple[bool, int, float, int]:
        value = trial["value"]
        rank = ranks.index(trial["state"])
        known = 0.0 if value is None else sign * value
        return trial["number"] != content["best"], rank, known, trial["number"]

    return sorted(trials, key=order)


def _row(content: Mapping[str, Any], trial: Mapping[str, Any]) -> dict[str, Any]:
    stopped = {"early_stopping": "stopped early", "max_minutes": "stopped by the clock"}
    how = trial["reason"] or stopped.get(trial["stopped_because"] or "", "")
    return {
        "number": trial["number"],
        "best": trial["number"] == content["best"],
        "default": trial["number"] == 1,
        "value": "–" if trial["value"] is None else number(trial["value"]),
        "state": _STATES[trial["state"]],
        "how": how,
        "seconds": seconds_text(trial["seconds"]),
        "steps": f"{trial['steps']:,}",
        "values": [value_text(trial["values"].get(part["name"])) for part in content["space"]],
    }


def _dot(content: Mapping[str, Any], trial: Mapping[str, Any], x: float) -> Dot:
    best = trial["number"] == content["best"]
    colour = "good" if best else "second" if trial["number"] == 1 else "accent"
    name = f"trial {trial['number']}" + (" (default)" if trial["number"] == 1 else "")
    if trial["state"] == "pruned":
        name, colour = f"{name} (stopped at {number(trial['value'])})", "muted"
    low, high = _shown_range(content)
    return Dot(
        x,
        min(max(trial["value"], low), high),
        name,
        colour,
        hollow=trial["state"] != "complete",
        large=best,
    )


def _shown_range(content: Mapping[str, Any]) -> tuple[float, float]:
    """Values that a plot shows in their place: those of stopped trials may be far off, and would
    press all others into one line; they stand at its edge."""
    whole = [trial["value"] for trial in content["trials"] if trial["state"] == "complete"]
    spread = max(whole) - min(whole)
    room = spread if spread > 0 else abs(max(whole)) or 1.0
    return min(whole) - room, max(whole) + room


def _over_time(content: Mapping[str, Any], trials: Sequence[Mapping[str, Any]]) -> str:
    """Every trial's value in the order of the trials, and the best one so far."""
    sign = 1 if content["higher_is_better"] else -1
    dots, stairs = [], []
    best: float | None = None
    for trial in trials:
        if trial["value"] is None:
            continue
        dots.append(_dot(content, trial, float(trial["number"])))
        if trial["state"] == "complete" and (best is None or sign * trial["value"] > sign * best):
            best = trial["value"]
        if best is not None:
            stairs.append((float(trial["number"]), best))
    return dots_chart(
        dots, x_title="trial", y_title=f"{content['title']} on the validation rows",
        whole_x=True, stairs=stairs,
    )  # fmt: skip


def _over_values(
    content: Mapping[str, Any], trials: Sequence[Mapping[str, Any]], part: Mapping[str, Any]
) -> dict[str, str]:
    """Every trial's value over one setting."""
    known = [trial for trial in trials if trial["value"] is not None]
    values = [trial["values"].get(part["name"]) for trial in known]
    names: list[str] = []
    if part["low"] is None:
        choices = list(dict.fromkeys([*part["values"], *values]))
        names = [value_text(choice) for choice in choices]
        places = [float(choices.index(value)) for value in values]
    else:
        pairs = [(t, v) for t, v in zip(known, values, strict=True) if v is not None]
        known, places = [trial for trial, _ in pairs], [float(value) for _, value in pairs]
    dots = [_dot(content, trial, x) for trial, x in zip(known, places, strict=True)]
    return {
        "title": part["name"],
        "chart_svg": dots_chart(
            dots, x_title=_plain(part["name"]), y_title=content["title"], height=190,
            log_x=bool(part["log"]), whole_x=bool(part["whole"]), x_names=names,
        ),
    }  # fmt: skip


def _importance(content: Mapping[str, Any]) -> str:
    shares = content["importance"]["shares"]
    bars = [Bar(name, share, f"{share:.0%}") for name, share in shares.items()]
    return bar_chart(bars, title="Share of the difference between trials that a setting explains")


def _scores(content: Mapping[str, Any]) -> list[dict[str, str]]:
    """Every metric on the test rows, of the winner and of the default settings."""
    ours, theirs = content["scores"]["best"] or {}, content["scores"]["default"] or {}
    return [
        {
            "title": kind["title"],
            "best": _score(ours.get(name)),
            "default": _score(theirs.get(name)),
        }
        for name, kind in content["metrics"].items()
    ]


def _score(score: Mapping[str, Any] | None) -> str:
    return f"{score['text']} ({score['interval']})" if score else "–"
