"""Tasks of the lm-evaluation-harness: with a stand-in for the package, and with the package."""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

import tinyforge
from tinyforge.config.load import load_settings
from tinyforge.errors import DataError, ModelError, SettingError
from tinyforge.recipes import lm_eval as recipe
from tinyforge.recipes.evaluate import evaluate

CONTEXT = "Question: where did Tom go?\nAnswer:"
GOOD, BAD = " to the park", " zq xv"


class Manager:
    """Stands for ``lm_eval.tasks.TaskManager``."""

    all_tasks = ("colours", "absent", "broken", "needy", "unsafe", "seen")

    def load(self, names: list[str]) -> dict[str, Any]:
        (name,) = names
        if name == "absent":
            raise ConnectionError("Couldn't reach 'some/rows' on the Hub (OfflineModeIsEnabled)")
        if name == "broken":
            raise RuntimeError("Dataset scripts are no longer supported\nmore")
        if name == "needy":
            raise ModuleNotFoundError("No module named 'langdetect'", name="langdetect")
        assert os.environ["HF_DATASETS_OFFLINE"] == "1"
        return {"tasks": {name: SimpleNamespace(name=name, UNSAFE_CODE=name == "unsafe")}}


class LM:
    """Stands for ``lm_eval.api.model.LM``."""

    def __init__(self) -> None:
        self.rank = 0


def simple_evaluate(*, model: Any, tasks: list[Any], limit: int | None, **more: Any) -> Any:
    """Stands for ``lm_eval.evaluator.simple_evaluate``: asks one question."""
    assert isinstance(model, LM)
    assert model.rank == 0
    assert more["bootstrap_iters"] == 2000
    print("the harness talks")
    asked = [SimpleNamespace(args=(CONTEXT, answer)) for answer in (GOOD, BAD)]
    (good, _), (bad, _) = model.loglikelihood(asked)
    return {
        "results": {
            tasks[0].name: {
                "alias": "x", "acc,none": float(good > bad), "acc_stderr,none": 0.25,
                "exact_match,strict": 0.5, "exact_match_stderr,strict": "N/A", "sample_len": 1,
            }
        },
        "versions": {"colours": 2.0}, "n-shot": {"colours": 0},
        "n-samples": {"colours": {"original": 9, "effective": limit or 9}},
        "higher_is_better": {"colours": {"acc": True}},
    }  # fmt: skip


@pytest.fixture
def package(monkeypatch: pytest.MonkeyPatch) -> None:
    """The few names of ``lm_eval`` that are used."""
    for name, members in {
        "lm_eval": {"__path__": []},
        "lm_eval.api": {"__path__": []},
        "lm_eval.api.model": {"LM": LM},
        "lm_eval.evaluator": {"simple_evaluate": simple_evaluate},
        "lm_eval.tasks": {"TaskManager": Manager},
        "datasets": {"__path__": []},
        "datasets.config": {"HF_HUB_OFFLINE": False, "HF_DATASETS_OFFLINE": False},
    }.items():
        module = ModuleType(name)
        vars(module).update(members)
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr(recipe.metadata, "version", lambda name: "0.0.1")


@pytest.fixture
def stories(shared_folder: Path) -> str:
    return str(shared_folder / "models" / "stories260K")


@pytest.mark.usefixtures("package")
def test_a_task_s_figures(stories: str, capsys: pytest.CaptureFixture[str]) -> None:
    before = {name: os.environ.get(name) for name in recipe._OFFLINE}
    found = tinyforge.evaluate(stories, "lm-eval:colours", settings={"evaluate.max_rows": 5})
    assert isinstance(found, recipe.Benchmarks)
    assert {name: os.environ.get(name) for name in before} == before
    assert sys.modules["datasets.config"].HF_DATASETS_OFFLINE is False
    assert capsys.readouterr().out == "", "the standard output is the result's alone"
    plain = json.loads(json.dumps(found.to_json()))
    assert plain["lm_eval"] == "0.0.1"
    assert plain["tasks"]["colours"] == {
        "version": "2.0", "shots": 0, "rows": 5,
        "metrics": {
            "acc": {"value": 1.0, "stderr": 0.25, "higher_is_better": True},
            "exact_match,strict": {"value": 0.5, "stderr": None, "higher_is_better": None},
        },
    }  # fmt: skip
    text = found.summary()
    assert "colours (version 2.0, 0 shots, 5 rows):" in text
    assert "standard error 0.2500" in text
    assert "note: only the first 5 rows of each task were asked" in text


@pytest.mark.usefixtures("package")
@pytest.mark.parametrize(
    ("named", "kind", "message"),
    [
        ("lm-eval:colour", SettingError, "no such task .*Did you mean 'colours'"),
        ("lm-eval:zzzz", SettingError, "no such task .*lm-eval ls tasks"),
        ("lm-eval:no/such.yaml", SettingError, "no such task"),
        ("lm-eval: ,", SettingError, "no task is named"),
        ("lm-eval:absent", DataError, r"^absent: .*not cached.*TaskManager\(\).load\('absent'\)"),
        ("lm-eval:broken", DataError, "cannot load the task: Dataset scripts.*supported$"),
        ("lm-eval:needy", DataError, "pip install langdetect"),
        ("lm-eval:colours,unsafe", DataError, "^unsafe: the task runs code"),
    ],
)
def test_mistakes_in_one_line(
    stories: str, named: str, kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match=message) as caught:
        tinyforge.evaluate(stories, named)
    assert "\n" not in str(caught.value)


def test_without_the_package(stories: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lm_eval", None)
    with pytest.raises(SettingError, match=r"'lm-eval', which is not.*Run: pip install lm-eval"):
        tinyforge.evaluate(stories, "lm-eval:colours")


@pytest.mark.parametrize("option", [{"baseline": "x"}, {"prompt": "x"}, {"report": Path("x")}])
def test_what_has_no_effect_is_refused(option: dict[str, Any]) -> None:
    with pytest.raises(SettingError, match=f"^{next(iter(option))}: has no effect"):
        evaluate("model", "lm-eval:colours", settings=load_settings(None, ()), **option)


@pytest.mark.parametrize("name", ["data.max_rows", "generate.num_beams", "evaluate.few_shot"])
def test_a_setting_without_effect_is_refused(name: str) -> None:
    with pytest.raises(SettingError, match=f"^{name}: has no effect on tasks of lm-eval"):
        tinyforge.evaluate("model", "lm-eval:colours", settings={name: 5})


@pytest.mark.usefixtures("package")
def test_a_classifier_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    config = SimpleNamespace(config=None)
    task = SimpleNamespace(name="classify", family="encoder")
    model = SimpleNamespace(task=task, name="sorter", tokenizer=None, model=config)
    monkeypatch.setattr(recipe, "open_model", lambda *_: model)
    with pytest.raises(ModelError, match="a classifier cannot tell"):
        tinyforge.evaluate("sorter", "lm-eval:colours")


TASK = """
task: where_did_they_go
dataset_path: json
dataset_kwargs: {{data_files: {{test: {file}}}}}
test_split: test
output_type: multiple_choice
doc_to_text: "Question: {{{{question}}}}\\nAnswer:"
doc_to_choice: choices
doc_to_target: answer
metric_list: [{{metric: acc}}, {{metric: acc_norm}}]
metadata: {{version: 1.0}}
"""


@pytest.mark.slow
@pytest.mark.skipif(
    importlib.util.find_spec("lm_eval") is None,
    reason="the package lm-eval is not installed (pip install lm-eval)",
)
@pytest.mark.filterwarnings("default")  # what the harness and datasets warn of is theirs
def test_the_package_agrees_with_our_own_multiple_choice(
    stories: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = ["park", "kitchen", "forest", "old house"]
    rows = [
        {
            "question": f"{name} took the {thing} to the {places[i % 4]}. Where did {name} go?",
            "choices": [f"to the {place}" if i % 3 else place for place in places],
            "answer": i % 4,
        }
        for i, (name, thing) in enumerate(
            (name, thing)
            for name in ("Lily", "Tom", "Ben", "Sue", "Max")
            for thing in ("ball", "cat", "dog", "tree", "cake", "car", "bird", "hat")
        )
    ]
    file, task = tmp_path / "rows.jsonl", tmp_path / "task.yaml"
    file.write_text("\n".join(map(json.dumps, rows)))
    task.write_text(TASK.format(file=file))
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    found: Any = tinyforge.evaluate(stories, f"lm-eval:{task}")
    ours: Any = tinyforge.evaluate(stories, file)
    (benchmark,) = found.tasks
    assert benchmark.rows == len(rows)
    metrics, scores = benchmark.metrics, ours.evaluation.scores
    assert 0.0 < metrics["acc"].value < 1.0
    assert metrics["acc"].value == pytest.approx(scores["choice_accuracy"].value)
    assert metrics["acc_norm"].value == pytest.approx(scores["choice_accuracy_norm"].value)
    assert metrics["acc"].stderr is not None
