"""``tinyforge prepare`` through the real command line: mistakes, answers, kills at any moment."""

from __future__ import annotations

import hashlib
import json
import os
import random
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest
from command_line import PROGRAM, heed_ctrl_c, refused

from tinyforge.cli.main import main
from tinyforge.cli.prepare import PrepareProgress
from tinyforge.recipes.prepare_result import Step

pytestmark = pytest.mark.usefixtures("empty_folder")

WORDS = str.split(
    "the of and a to in that it was he for on with his at by I this not but had which from they "
    "she you were her all there been one so an said when we who would what their more no if out "
    "river garden window morning letter house father evening winter summer country road village"
)


def passage(rng: random.Random, words: int = 160) -> str:
    lines = [" ".join(rng.choices(WORDS, k=16)).capitalize() + "." for _ in range(words // 16)]
    return "\n".join(lines)


def write_sources(folder: Path, files: int, rows: int) -> None:
    rng = random.Random(5)
    folder.mkdir()
    for i in range(files):
        (folder / f"{i:03d}.txt").write_text(passage(rng), encoding="utf-8")
    repeated = (folder / "000.txt").read_text(encoding="utf-8")
    (folder / "again.txt").write_text(repeated, encoding="utf-8")
    with (folder / "rows.jsonl").open("w", encoding="utf-8") as file:
        for i in range(rows):
            text = passage(rng, 320) if i % 50 else repeated.replace("river", "stream")
            file.write(json.dumps({"text": text, "title": f"row {i}"}) + "\n")


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_a_corpus_and_what_happened_to_a_document(capsys: pytest.CaptureFixture[str]) -> None:
    write_sources(Path("texts"), 12, 5)
    Path("recipe.yaml").write_text("clean: {recipe: none}\nsplit:\n  test_share: 0.1\n")
    words = ["prepare", "texts", "--output", "corpus", "--recipe", "recipe.yaml", "--json"]
    assert main([*words, "--workers", "2", "--seed", "1"]) == 0
    captured = capsys.readouterr()
    result = json.loads(captured.out.splitlines()[-1])
    assert result["documents"]["read"] == 18
    assert {found["reason"] for found in result["dropped"]} == {
        "exact duplicate", "near-duplicate",
    }  # fmt: skip
    assert "Traceback" not in captured.err

    assert main(["verify", "corpus"]) == 0
    capsys.readouterr()
    told = []
    for where in (
        ["--output", "corpus", "--explain", "texts/again.txt"],
        ["corpus", "--explain", "texts/again.txt"],
        ["--explain", "corpus", "texts/again.txt"],
    ):
        assert main(["prepare", *where]) == 0
        told.append(capsys.readouterr().out)
    assert told[0] == told[1] == told[2]
    assert "dropped (duplicates): exact duplicate" in told[0]
    assert "like texts/000.txt" in told[0]
    assert re.search(r"kept in (\w+): \1/00000.parquet, row \d", told[0])
    assert main(["prepare", "--output", "corpus", "--explain", "texts/again.txt", "--json"]) == 0
    entries = json.loads(capsys.readouterr().out)["documents"]
    assert [entry["id"] for entry in entries] == ["texts/again.txt", "texts/000.txt"]
    line = refused(capsys, "prepare", "--output", "corpus", "--explain", "agian.txt")
    assert "no such document" in line
    assert refused(capsys, "prepare", "texts", "--output", "corpus", "--explain", "x", "y")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["absent", "--output", "out"], "absent"),
        (["texts"], "--output"),
        (["--output", "out"], "SOURCE"),
        (["texts", "--output", "out", "--set", "clean.recip=web"], "clean.recipe"),
        (["texts", "--output", "out", "--set", "weights.text=2"], "weights.text"),
        (["texts", "--output", "out", "--workers", "none"], "workers"),
        (["texts", "--output", "out", "--workers", "0"], "workers"),
        (["texts", "--output", "out", "--seed", "-1"], "seed"),
        (["texts", "--output", "out", "--recipe", "absent.yaml"], "absent.yaml"),
        (["texts", "--output", "out", "--resume", "--force"], "--resume"),
        (["texts", "--output", "texts/000.txt"], "is a file"),
        (["texts", "--output", "texts"], "is no prepared corpus"),
        (["texts", "--output", "out", "--explain", "x"], "--explain takes one folder"),
        (["--output", "texts", "--explain", "x"], "has no ledger"),
    ],
)
def test_mistakes_end_in_one_line(
    capsys: pytest.CaptureFixture[str], words: list[str], expected: str
) -> None:
    write_sources(Path("texts"), 2, 0)
    assert expected in refused(capsys, "prepare", *words)
    assert not Path("out").exists()


def test_progress_is_shown_as_a_line_now_and_then(capsys: pytest.CaptureFixture[str]) -> None:
    now = iter(range(0, 1000, 4))
    with PrepareProgress(terminal=False, clock=lambda: next(now)) as progress:
        for done in range(0, 100, 10):
            progress(Step("read", done, 100, done * 7))
        progress(Step("duplicates", 5, 10))
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "reading and cleaning 0%, 0 documents"
    assert lines[-1] == "finding duplicates 50%, 5 documents"
    assert 3 <= len(lines) <= 7


def test_progress_is_a_bar_on_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with PrepareProgress(terminal=True) as progress:
        progress(Step("read", 50, 100, 1234))
        progress(Step("read", 100, 100, 2345))
    assert "reading and cleaning" in capsys.readouterr().err


def command(sources: str, output: Path, *more: str) -> list[str]:
    words = ["prepare", sources, "--output", str(output), "--set", "shard_characters=200000"]
    return [*PROGRAM, *words, *more]


def kill_again_and_again(sources: str, kills: int, seed: int) -> tuple[int, Path, Path]:
    """One corpus made in peace and one under fire; how many kills it took."""
    rng = random.Random(seed)
    whole, killed = Path("whole"), Path("killed")
    started = time.monotonic()
    subprocess.run(command(sources, whole, "--workers", "2"), check=True, capture_output=True)
    seconds = time.monotonic() - started
    done = 0
    for attempt in range(40 * kills):
        more = ["--resume"] if killed.exists() else []
        process = subprocess.Popen(
            command(sources, killed, "--workers", str(rng.choice([1, 2, 3])), *more),
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        patience = rng.uniform(0.3, seconds) if done < kills else 300.0
        try:
            _, told = process.communicate(timeout=patience)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.communicate()
            done += 1
            continue
        assert process.returncode == 0, told
        if done >= kills:
            break
        # It came to its end before enough kills: begin again, in the old one's place.
        subprocess.run(["rm", "-rf", str(killed)], check=True)
        assert attempt < 30 * kills
    return done, whole, killed


def test_killed_at_any_moment_it_ends_with_the_same_bytes() -> None:
    write_sources(Path("texts"), 30, 300)
    done, whole, killed = kill_again_and_again("texts", 2, int(os.environ.get("KILL_SEED", "0")))
    assert done == 2
    assert digests(killed) == digests(whole)


@pytest.mark.slow
def test_killed_many_times_it_ends_with_the_same_bytes() -> None:
    write_sources(Path("texts"), 400, 8_000)
    done, whole, killed = kill_again_and_again("texts", 25, int(os.environ.get("KILL_SEED", "0")))
    assert done == 25
    assert digests(killed) == digests(whole)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_stops_it_in_one_line(number: signal.Signals, code: int) -> None:
    write_sources(Path("texts"), 5, 4_000)
    process = subprocess.Popen(
        command("texts", Path("corpus")), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        preexec_fn=heed_ctrl_c,
    )  # fmt: skip
    plan = Path("corpus/tinyforge/work/plan.zst")
    for _ in range(600):
        if plan.exists() or process.poll() is not None:
            break
        time.sleep(0.05)
    time.sleep(0.3)
    process.send_signal(number)
    out, told = process.communicate(timeout=60)
    assert process.returncode == code, told
    assert out == ""
    assert told.splitlines()[-1].startswith("stopped: ")
    assert "--resume" in told
    assert "Traceback" not in told


def test_workers_end_with_the_process_that_started_them() -> None:
    write_sources(Path("texts"), 5, 4_000)
    process = subprocess.Popen(
        command("texts", Path("corpus")), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    children: list[int] = []
    for _ in range(600):
        children = _children(process.pid)
        if children or process.poll() is not None:
            break
        time.sleep(0.05)
    assert children
    process.kill()
    process.wait()
    for _ in range(100):
        if not any(Path(f"/proc/{child}").exists() for child in children):
            break
        time.sleep(0.1)
    assert not [child for child in children if Path(f"/proc/{child}").exists()]


def _children(parent: int) -> list[int]:
    path = Path(f"/proc/{parent}/task/{parent}/children")
    if not Path("/proc").is_dir():
        pytest.skip("needs /proc")
    try:
        return [int(child) for child in path.read_text().split()]
    except OSError:
        return []
