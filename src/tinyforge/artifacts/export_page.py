"""What an export says of itself: a page, a README, and a few lines for the terminal."""

from __future__ import annotations

import shlex
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from tinyforge.artifacts.bars import Bar, bar_chart
from tinyforge.artifacts.html import fill
from tinyforge.artifacts.words import bytes_text, count_text, flat

TITLES = {
    "files": "It opens",
    "reading": "It reads the same",
    "weights": "It holds the same numbers",
    "logits": "It computes the same",
    "answers": "It answers the same",
    "fresh": "It answers elsewhere",
    "metric": "It is as good",
}
"""Check to its heading."""

MEANINGS = {
    "files": "files are safe to load, and the graphs have the inputs and outputs they should have",
    "reading": "labels, settings, template, vocabulary and tokens of real rows and made-up texts "
    "are compared to the last id",
    "weights": "the numbers in the graphs are compared with the source's: bit for bit, or within "
    "what rounding makes of them",
    "logits": "what is said of every label or token is compared with PyTorch: in batches, alone, "
    "in one go and token by token",
    "answers": "answers that do not hang by a thread have to be the source's, in a batch and alone",
    "fresh": "a process in which nothing can be imported that training brings gives the golden "
    "answers again",
    "metric": "the headline metric on rows that training never saw, paired with the source's, with "
    "the 95 % interval of the difference",
}


def render_export(gate: Mapping[str, Any]) -> str:
    """What the gate found as one HTML page that needs nothing else.

    Args:
        gate: the content of ``tinyforge/gate.json``.
    """
    metric = next((c for c in gate["checks"] if c["name"] == "metric"), None)
    word = _word(gate, metric)
    _, _, rest = gate["sentence"].partition("Ready: ")
    page = {
        "gate": gate,
        "word": word,
        "tone": "bad" if not gate["ready"] else "unsure" if word != "Ready" else "good",
        "sentence": rest or gate["sentence"],
        "glance": _glance(gate),
        "checks": [
            {**check, "title": TITLES.get(check["name"], check["name"])} for check in gate["checks"]
        ],
        "figures": [
            (TITLES.get(check["name"], check["name"]), flat(check["figures"]))
            for check in gate["checks"] if check["figures"]
        ],
        "meanings": [(TITLES[name], text) for name, text in MEANINGS.items()],
        "tried": [
            {**each, "size": bytes_text(each["size_bytes"]), "left": ", ".join(each["keep"]) or "–"}
            for each in gate["tried"]
        ],
        "tried_svg": bar_chart(
            [Bar(each["scheme"], each["size_bytes"], bytes_text(each["size_bytes"]))
             for each in gate["tried"]] if len(gate["tried"]) > 1 else [],
            title="Size of every form that was tried",
        ),
        "versions": flat(gate["versions"]),
    }  # fmt: skip
    return fill("export.html.jinja", page)


def summary(gate: Mapping[str, Any], where: str, *, width: int = 100) -> str:
    """The few lines for the terminal: what came of it, each check, where it is."""
    lines = textwrap.wrap(gate["sentence"], width)
    if not gate["ready"]:
        lines = textwrap.wrap(f"Not exported: {gate['sentence']}", width)
    lines.append("")
    for check in gate["checks"]:
        mark = "passed " if check["passed"] else "REFUSED"
        head = f"  {mark}  {TITLES.get(check['name'], check['name'])}: "
        lines += textwrap.wrap(head + check["sentence"], width, subsequent_indent=" " * 11)
    refused = [each for each in gate["tried"] if each["problem"]]
    if refused and gate["ready"]:
        lines += ["", *_refused(refused, width)]
    if gate["ready"]:
        lines += ["", f"Export: {where} ({bytes_text(gate['size_bytes'])})", *_next(gate, where)]
    return "\n".join(lines)


def readme(gate: Mapping[str, Any], name: str) -> str:
    """The folder's README: what it is, what was checked, and lines that work.

    Args:
        name: of the folder.
    """
    source = gate["source"]
    parts = [
        f"# {_plain(name)}",
        f"`{_plain(source['name'])}`, a model for the task {source['task']} "
        f"({count_text(source['parameters'])} parameters), exported by TinyForge: "
        f"{gate['kind']}, {gate['precision']}.",
        "## Use it\n\n" + _usage(gate),
        "## What was checked before it was called ready\n\n"
        + "\n".join(f"- {TITLES.get(c['name'], c['name'])}: {_plain(c['sentence'])}."
                    for c in gate["checks"])
        + f"\n\nJudged on {_plain(gate['judged_on'])}. All figures: `tinyforge/gate.json` and "
        "`tinyforge/report.html`.",
        "## Check it again\n\n```\ntinyforge verify .\n```\n\n" + _again(gate),
    ]  # fmt: skip
    return "\n\n".join(parts) + "\n"


def _word(gate: Mapping[str, Any], metric: Mapping[str, Any] | None) -> str:
    if not gate["ready"]:
        return "Refused"
    shown = metric is None or metric["figures"].get("word") != "not shown"
    return "Ready" if shown else "Ready, as far as the rows can tell"


def _glance(gate: Mapping[str, Any]) -> list[tuple[str, str]]:
    source = gate["source"]
    found = [
        ("Source", f"{source['name']}, {source['task']}, {count_text(source['parameters'])} "
         f"parameters, weights {source['model']}"),
        ("Export", f"{gate['kind']}, {gate['precision']}"
         + (f" ({bytes_text(gate['size_bytes'])})" if gate.get("size_bytes") else "")),
        ("Judged on", gate["judged_on"]),
        ("Allowed", f"a loss of {100 * gate['max_drop']:g} % of the metric's scale"
         + ("; it has to be ruled out" if gate["strict"] else "")),
    ]  # fmt: skip
    kept = gate["scheme"].get("keep") if gate["scheme"] else None
    if kept:
        found.append(("Left in full precision", ", ".join(kept)))
    if gate["advice"]:
        found.append(("What to do", gate["advice"]))
    return found


def _refused(tried: list[Mapping[str, Any]], width: int) -> Iterator[str]:
    yield "Refused on the way:"
    for each in tried:
        kept = f" ({len(each['keep'])} layers left as they are)" if each["keep"] else ""
        yield from textwrap.wrap(
            f"  {each['scheme']}{kept}: {each['problem']}", width, subsequent_indent="    "
        )


def _next(gate: Mapping[str, Any], where: str) -> Iterator[str]:
    named = shlex.quote(where)
    yield f"Page: {where}/tinyforge/report.html"
    if gate["kind"] != "gguf":
        yield f'Try it: tinyforge predict {named} "some text"'
    yield f"Check it anywhere: tinyforge verify {named}"
    if count := gate.get("golden_rows"):
        yield f"{count:,} of the rows that it was judged on lie in it, as golden texts"
        yield "(--set export.golden_rows=0 leaves them out)"


def _usage(gate: Mapping[str, Any]) -> str:
    if gate["kind"] == "gguf":
        return (
            'With llama.cpp, from this folder:\n\n```\nllama-cli -m model.gguf -p "some text"\n'
            "```\n\nWith Ollama, write `FROM ./model.gguf` into a file called `Modelfile`, then:"
            "\n\n```\nollama create my-model -f Modelfile\n```"
        )
    extra = "" if gate["kind"] == "onnx" else "[training]"
    note = " PyTorch is not needed." if gate["kind"] == "onnx" else ""
    text = (  # another project has the name on PyPI
        f"With TinyForge, installed from its repository by `pip install '.{extra}'`.{note} "
        "From this folder:\n\n```\n"
        'tinyforge predict . "some text"\n```\n\nIn Python:\n\n```python\nimport tinyforge\n\n'
        'model = tinyforge.load(".")\nprint(model.predict("some text").output)\n```'
    )
    if gate["kind"] == "safetensors":
        text += "\n\nAny program that reads Hugging Face folders loads it as well."
    return text


def _again(gate: Mapping[str, Any]) -> str:
    again = "compares every byte with the manifest"
    if gate["kind"] == "onnx":
        again += (
            f", then asks the model {gate['golden']} golden texts in a fresh process and compares "
            "the answers with those it gave when it passed"
        )
    told = again[:1].upper() + again[1:] + ". It ends with exit code 3 where anything differs."
    if count := gate.get("golden_rows"):
        told += f" `tinyforge/golden.jsonl` holds {count:,} of the rows that it was judged on."
    return told


def _plain(text: str) -> str:
    """Text that Markdown leaves as it is."""
    return " ".join(str(text).replace("`", "'").replace("<", "‹").replace(">", "›").split())
