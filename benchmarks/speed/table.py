"""Results as Markdown: for the terminal, and for the page of the documentation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

Result = dict[str, Any]
GIB = 2.0**30
MIB = 2.0**20


def rows_of(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def render(result: Result) -> str:
    """The tables of any case."""
    from benchmarks.speed import answer_table  # which is made of the parts below

    kinds = {
        "gpt_characters": seconds_to_loss, "start": seconds, "memory": memory, "profile": profile,
        "judging": judging, "shakespeare": challenge, "tokenizers": tokenizers,
        "near_duplicates": near_duplicates, "prepare_throughput": prepare_throughput,
        "decode": answer_table.decode, "streams": answer_table.streams,
        "answer_t5": answer_table.rows, "answer_classify": answer_table.rows,
    }  # fmt: skip
    if result["case"] in kinds:
        return kinds[result["case"]](result)
    return accuracy(result) if "setfit" in result["sides"] else speed(result)


def speed(result: Result) -> str:
    """Examples a second of each side."""
    by_peer = {one["peer"]: one for one in result["comparisons"]}
    rows = []
    for name, side in result["sides"].items():
        one = by_peer.get(name)
        rows.append(
            [
                name,
                spread(side["examples_per_second"]),
                f"{side['tokens_per_second']['median']:,.0f}",
                f"{side['share_of_peak']['median']:.0%}",
                f"{side['peak_bytes']['median'] / GIB:.2f}",
                held_out(side),
                times(one["speed"]) if one else "",
                counts(one) if one else "",
            ]
        )
    header = (
        "side", "examples/s", "tokens/s", "of peak", "memory, GiB", "held out", "ours is", "counts",
    )  # fmt: skip
    return heading(result) + rows_of(header, rows) + "\n\n" + curves(result)


def profile(result: Result) -> str:
    """Milliseconds of a step by kind of work."""
    sides = result["sides"]
    kinds = sorted(sides["plain"]["kinds"], key=lambda kind: -sides["plain"]["kinds"][kind])
    rows = [[kind, *(f"{side['kinds'][kind]:.1f}" for side in sides.values())] for kind in kinds]
    whole = [
        "{median:.0f} ({min:.0f} to {max:.0f})".format(**side["milliseconds"])
        for side in sides.values()
    ]
    header = ("milliseconds a step", *sides)
    title = f"**Profile: {result['title']}.**\n\n"
    return title + rows_of(header, [["whole step, unprofiled", *whole], *rows])


def accuracy(result: Result) -> str:
    """Seconds to SetFit's accuracy."""
    one = result["comparisons"][0]
    rows = []
    for name, runs in result["sides"].items():
        told = [run["seconds"] for run in runs]
        shown = ", ".join("not reached" if s is None else f"{s:.1f}" for s in told)
        size = max(run["peak_bytes"] for run in runs) / GIB
        rows.append([name, f"{one['accuracy'][name]:.3f}", shown, f"{size:.2f}"])
    end = f"\n\nOurs is {times(one['speed'])} to that accuracy." if one["speed"] else ""
    header = ("side", "accuracy", "seconds to SetFit's accuracy", "memory, GiB")
    return heading(result) + rows_of(header, rows) + end + f" Counts: {counts(one)}."


def seconds_to_loss(result: Result) -> str:
    """Seconds and end loss."""
    one = result["comparisons"][0]
    rows = [
        [
            name,
            ", ".join(f"{run['seconds']:.1f}" for run in runs),
            str(runs[0]["steps"]),
            f"{one['loss'][name]:.3f}",
            f"{max(run['peak_bytes'] for run in runs) / GIB:.2f}",
        ]
        for name, runs in result["sides"].items()
    ]
    header = ("side", "seconds", "steps", "validation loss", "memory, GiB")
    end = (
        f"\n\nOurs is {times(one['speed'])}; published loss of the recipe: "
        f"{result['published_loss']}. Counts: {counts(one)}."
    )
    return heading(result) + rows_of(header, rows) + end


def challenge(result: Result) -> str:
    """Minutes and end loss of each seed, and how the loss fell."""
    wanted = result["published_loss"]
    runs = result["sides"]["ours"]
    rows = [
        [
            str(seed), f"{run['seconds'] / 60:.1f}", f"{run['wall_seconds'] / 60:.1f}",
            f"{run['loss']:.4f}", "yes" if run["loss"] <= wanted else "no",
            f"{run['parameters'] / 1e6:.1f} M",
        ]
        for seed, run in enumerate(runs)
    ]  # fmt: skip
    header = (
        "seed", "minutes of steps", "minutes in all", "validation loss", f"reaches {wanted}",
        "weights",
    )  # fmt: skip
    longer = ", ".join(f"{run['loss_in_longer_windows']:.4f}" for run in runs)
    fell = ", ".join(
        f"{look['loss']:.3f} at {look['seconds'] / 60:.1f}" for look in runs[0]["looks"]
    )
    return (
        heading(result)
        + rows_of(header, rows)
        + (f"\n\nIn windows of 512 instead of 256: {longer}. Seed 0, loss at minute: {fell}.")
    )


def seconds(result: Result) -> str:
    """Seconds alone."""
    one = result["comparisons"][0]
    rows = [[name, spread(side)] for name, side in result["sides"].items()]
    end = f"\n\nOurs is {times(one['speed'])}."
    return heading(result) + rows_of(("side", "seconds"), rows) + end


def judging(result: Result) -> str:
    """Rows a second of an evaluation."""
    by_peer = {one["peer"]: one for one in result["comparisons"]}
    measure = result.get("measure", "accuracy")
    rows = [
        [
            name, spread(rate), f"{result['sides'][name][0][measure]:.4f}",
            times(by_peer[name]["speed"]) if name in by_peer else "",
            counts(by_peer[name]) if name in by_peer else "",
        ]
        for name, rate in result["rates"].items()
    ]  # fmt: skip
    header = ("side", "rows/s", measure, "ours is", "counts")
    return heading(result) + rows_of(header, rows)


def memory(result: Result) -> str:
    """Peak memory by vocabulary."""
    names = list(result["points"][0]["sides"])
    rows = []
    for point in result["points"]:
        sides = [f"{point['sides'][name]['median'] / GIB:.2f}" for name in names]
        ratio = ", ".join(f"{one['memory']['ratio']:.2f}" for one in point["comparisons"])
        words = "; ".join(counts(one) for one in point["comparisons"])
        state = f"{point['state_bytes'] / GIB:.2f}"
        rows.append([f"{point['vocabulary']:,}", state, *sides, ratio, words])
    header = ("vocabulary", "weights, gradients, AdamW, GiB", *names, "ours / peer", "counts")
    return heading(result) + rows_of(header, rows)


def near_duplicates(result: Result) -> str:
    """Seconds, recall, precision and memory by size."""

    def quality(runs: list[dict[str, Any]]) -> list[str]:
        return [f"{min(run[name] for run in runs):.4f}" for name in ("recall", "precision")]

    return by_size(result, ("recall", "precision"), quality)


def prepare_throughput(result: Result) -> str:
    """Seconds and documents kept, by size."""
    return by_size(result, ("kept",), lambda runs: [f"{runs[0]['kept']:,}"])


def by_size(
    result: Result, names: Sequence[str], quality: Callable[[list[dict[str, Any]]], list[str]]
) -> str:
    """Seconds of each side for each size of the corpus, and what ``quality`` says of its runs."""
    rows = []
    for point in result["points"]:
        by_peer = {one["peer"]: one for one in point["comparisons"]}
        for name, runs in point["sides"].items():
            one, seconds = by_peer.get(name), point["seconds"][name]
            rows.append(
                [
                    f"{point['size']}x", f"{point['documents']:,}", name, spread(seconds),
                    f"{point['bytes'] / 1e6 / seconds['median']:.1f}", *quality(runs),
                    f"{max(run['peak_bytes'] for run in runs) / 2**20:,.0f}",
                    times(one["speed"]) if one else "", counts(one) if one else "",
                ]
            )  # fmt: skip
    header = (
        "size", "documents", "side", "seconds", "MB/s", *names, "memory, MiB", "ours is", "counts",
    )  # fmt: skip
    return heading(result) + rows_of(header, rows)


def tokenizers(result: Result) -> str:
    """Seconds of learning and encoding, and whether the output is the same."""
    rows = []
    for point in result["points"]:
        words = {True: "same", False: "NOT THE SAME", None: "ties or algorithm differ"}
        same = words[point["same"]]
        if "tokens" in point:
            same += "; tokens: " + ", ".join(f"{n} {t:,}" for n, t in point["tokens"].items())
        sides = []
        for name in ("ours", "plain"):
            seconds = point["seconds"][name]
            rate = result["bytes"] / 1e6 / seconds["median"]
            memory = point["peak_bytes"][name] / 2**20
            sides.append(f"{spread(seconds)}, {rate:.1f} MB/s, {memory:,.0f} MiB")
        rows.append([f"{point['job']} {point['kind']}", *sides, times(point["speed"]), same])
    header = ("job", "ours: seconds", "plain: seconds", "ours is", "output")
    return heading(result) + rows_of(header, rows)


def heading(result: Result) -> str:
    """What was measured, and on what."""
    about = [f"**{result['title']}**"]
    if "parameters" in result.get("model", {}):
        about.append(f"{result['model']['parameters'] / 1e6:.1f} M weights")
    if "rows" in result and "tokens" in result["rows"]:
        about.append(f"{result['rows']['count']:,} rows, {result['rows']['tokens']:,} tokens")
    if "learning" in result:
        about.append(f"batch {result['learning']['batch']}, {result['learning']['steps']} steps")
    about.append(f"{result['repeat']} runs a side")
    warning = "\n\nA quick run: it measures nothing." if result["quick"] else ""
    return ", ".join(about) + "." + warning + "\n\n"


def machine(result: Result) -> str:
    """The machine and the programs in a sentence."""
    found = result["machine"]
    peak = result.get("peak_operations_per_second", {})
    rates = ", ".join(f"{rate / 1e9:,.0f} GFLOP/s in {name}" for name, rate in peak.items())
    versions = ", ".join(f"{name} {number}" for name, number in found["versions"].items())
    return (
        f"{found['processor']}, {found['cores']} cores, {found['threads']} threads, "
        f"{found['memory_bytes'] / GIB:.0f} GiB, {found['system']}, Python {found['python']}"
        + (f"; matrix products: {rates}" if rates else "")
        + f". {versions}. {found['date']}."
    )


def spread(found: dict[str, float]) -> str:
    """A median with the smallest and largest value."""
    median, low, high = (
        f"{found[name]:,.0f}" if found[name] >= 1_000 else f"{found[name]:.3g}"
        for name in ("median", "min", "max")
    )
    return f"{median} ({low} to {high})"


def times(found: dict[str, float]) -> str:
    """A ratio with that of the worst and the best pair of runs."""
    return f"{found['ratio']:.2f}x ({found['low']:.2f} to {found['high']:.2f})"


def held_out(side: dict[str, Any]) -> str:
    """The median run's values on the held-out rows."""
    runs = sorted(side["held_out"], key=lambda run: float(run["loss"]))
    run = runs[len(runs) // 2]
    return ", ".join(f"{name} {value:.3f}" for name, value in run.items())


def counts(one: dict[str, Any]) -> str:
    """Whether the comparison counts, or why not."""
    return "yes" if one["valid"] else "no: " + "; ".join(one["why_not"])


def curves(result: Result) -> str:
    """Each side's training loss at five points of its first run."""
    lines = []
    for name, side in result["sides"].items():
        curve = side["loss_curves"][0]
        points = sorted({round(i * (len(curve) - 1) / 4) for i in range(5)})
        shown = ", ".join(f"{curve[i]:.3f} at {i + 1}" for i in points)
        lines.append(f"Training loss, {name}: {shown}.")
    return "\n".join(lines)
