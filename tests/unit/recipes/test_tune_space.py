"""What a search for settings varies, and that the default settings stay what they are."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from transformers import BertConfig, DistilBertConfig, LlamaConfig, T5Config

from tinyforge.config.defaults import Facts, resolve
from tinyforge.config.load import load_settings, load_tree
from tinyforge.config.tune import TuneRunSettings, TuneSettings
from tinyforge.errors import SettingError
from tinyforge.recipes.tune_space import (
    Parameter,
    asked_parameters,
    check_space,
    choose_space,
    default_values,
    fixed_settings,
    settings_of,
    usual_parameters,
)

CONFIGS = {"encoder": BertConfig, "encoder-decoder": T5Config, "decoder": LlamaConfig}
TASKS = {"encoder": "classify", "encoder-decoder": "text2text", "decoder": "instruct"}


def situation(
    family: str = "encoder", *, pretrained: bool = True, rows: int = 800, config: Any = None,
    **given: Any,
) -> Any:  # fmt: skip
    """A set-up run without rows and weights."""
    settings = load_settings(None, (), given)
    facts = Facts(
        task=TASKS[family], family=family, parameters=22_000_000, pretrained=pretrained,
        lora=settings.lora.enabled, train_rows=rows, mean_tokens=20.0, max_length=64, labels=4,
    )  # fmt: skip
    resolved, reasons = resolve(settings, facts)
    config = config or CONFIGS[family]()
    return SimpleNamespace(
        settings=resolved, reasons=["task: …", *reasons], facts=facts, given=settings,
        loaded=SimpleNamespace(
            name="some/model" if pretrained else "scratch:x", family=family,
            pretrained=pretrained, model=SimpleNamespace(config=config),
        ),
        task=SimpleNamespace(name=TASKS[family]), dataset=SimpleNamespace(multi_label=False),
    )  # fmt: skip


def space_of(here: Any, **tune: Any) -> Any:
    return choose_space(here, here.given, TuneSettings(**tune))


def limits(here: Any, **tune: Any) -> dict[str, Any]:
    return {
        p.name: p.values or (p.low, p.high) for p in space_of(here, **tune).parameters
    }  # fmt: skip


def test_usual_limits_are_around_the_defaults() -> None:
    found = limits(situation())
    assert found == {
        "train.learning_rate": (4e-5, 1e-3), "train.batch_size": (8, 16, 32),
        "train.epochs": (3, 12), "train.warmup_share": (0.0, 0.2),
        "train.weight_decay": (0.0, 0.01, 0.1), "model.dropout": (None, 0.0, 0.2),
    }  # fmt: skip
    by_name = {p.name: p for p in space_of(situation()).parameters}
    assert by_name["train.learning_rate"].log
    assert not by_name["train.warmup_share"].log
    assert "usual for a pretrained encoder of 22 M weights" in by_name["train.learning_rate"].why


def test_adapters_have_a_rank_and_no_decay() -> None:
    found = limits(situation("decoder", **{"lora.enabled": True, "lora.r": 4}))
    assert "lora.r" not in found  # it was set
    found = limits(situation("decoder", **{"lora.enabled": True}))
    assert found["lora.r"] == (8, 16, 32, 64)
    assert "train.weight_decay" not in found
    assert "model.dropout" not in found


def test_mixed_dropout_rates_are_one_choice() -> None:
    config = DistilBertConfig()  # its head has a rate of its own
    assert limits(situation(config=config))["model.dropout"] == (None, 0.0, 0.1, 0.2)


def test_few_rows_want_no_large_batches() -> None:
    assert limits(situation(rows=60))["train.batch_size"] == (4, 8)


def test_what_is_set_is_not_searched() -> None:
    here = situation(**{"train.batch_size": 16, "train.max_steps": 30})
    space = space_of(here)
    assert {"train.batch_size", "train.epochs"}.isdisjoint(p.name for p in space.parameters)
    assert "train.batch_size is not searched: you set it" in space.notes
    assert any(n.startswith("train.epochs is not searched: train.max_steps") for n in space.notes)


@pytest.mark.parametrize("family", CONFIGS)
@pytest.mark.parametrize("pretrained", [True, False])
@pytest.mark.parametrize("rows", [40, 900, 30_000])
def test_the_default_settings_lie_within_and_stay_what_they_are(
    family: str, pretrained: bool, rows: int
) -> None:
    """The first trial is what plain training would do, also after everything is written out."""
    here = situation(family, pretrained=pretrained, rows=rows)
    for parameter in usual_parameters(here):
        value = default_values(SimpleNamespace(parameters=[parameter]), here)[parameter.name]
        assert parameter.contains(value), (parameter, value)
    space = space_of(here)
    fixed = fixed_settings(here, here.given)
    check_space(space, fixed, here)
    again, _ = resolve(settings_of(fixed, default_values(space, here)), here.facts)
    assert again.train.model_dump() == here.settings.train.model_dump()
    assert again.model.dropout is None
    # Another rate must not change what is not searched, such as the optimizer.
    other = {**default_values(space, here), "train.learning_rate": 1e-3}
    changed, _ = resolve(settings_of(fixed, other), here.facts)
    differing = {
        name for name, value in changed.train if value != getattr(here.settings.train, name)
    }  # fmt: skip
    assert differing <= {"learning_rate"}


def test_the_scale_of_adapters_grows_with_their_rank() -> None:
    here = situation("decoder", **{"lora.enabled": True})
    fixed = fixed_settings(here, here.given)
    assert settings_of(fixed, {"lora.r": 16}).lora.alpha == 32
    assert settings_of(fixed, {"lora.r": 64}).lora.alpha == 128
    own = situation("decoder", **{"lora.enabled": True, "lora.alpha": 8})
    assert settings_of(fixed_settings(own, own.given), {"lora.r": 64}).lora.alpha == 8


def test_limits_of_the_users_own() -> None:
    rate, batch, schedule = asked_parameters(
        {"lr": "1e-5..1e-3", "train.batch_size": "8, 16", "schedule": "linear,cosine"}
    )
    assert (rate.name, rate.low, rate.high, rate.log) == ("train.learning_rate", 1e-5, 1e-3, True)
    assert batch.values == (8, 16)
    assert schedule.values == ("linear", "cosine")
    (narrow,) = asked_parameters({"train.warmup_share": "0.0..0.1"})
    assert not narrow.log
    (epochs,) = asked_parameters({"early_stopping": "2..5"})
    assert epochs.whole
    assert epochs.tidy(3.0) == 3
    found = limits(situation(), search={"learning_rate": "1e-5..2e-5"}, usual=False)
    assert found == {"train.learning_rate": (1e-5, 2e-5)}


@pytest.mark.parametrize(
    ("search", "expected"),
    [
        ({"learning_rat": "1..2"}, "Did you mean 'train.learning_rate'"),
        ({"data.max_length": "8,16"}, "cannot be searched"),
        ({"train.seed": "1,2"}, "cannot be searched"),
        ({"train.batch_size": "16"}, "one value is nothing to search"),
        ({"train.batch_size": "16,16"}, "one value is nothing to search"),
        ({"train.learning_rate": "1e-3..1e-5"}, "low end must be below"),
        ({"train.learning_rate": "-1..1"}, "must be a number above 0"),
        ({"train.batch_size": "1.5..3"}, "must be a whole number"),
        ({"train.schedule": "a..b"}, "has no range"),
        ({"train.schedule": "linear,sawtooth"}, "must be one of linear"),
        ({"lr": "1..2", "train.learning_rate": "1..2"}, "searched twice"),
        ({"train.learning_rate": "fast"}, "must be a number"),
    ],
)
def test_limits_that_make_no_sense(search: dict[str, str], expected: str) -> None:
    with pytest.raises(SettingError, match=expected):
        asked_parameters(search)


def test_searched_and_set_at_once() -> None:
    here = situation(**{"train.learning_rate": 1e-4})
    with pytest.raises(SettingError, match=r"train\.learning_rate: is set and searched at once"):
        space_of(here, search={"lr": "1e-5..1e-3"})


def test_what_has_no_effect_is_refused_before_a_trial() -> None:
    here = situation()
    space = space_of(here, search={"train.rest_learning_rate": "0.01,0.1"})
    with pytest.raises(SettingError, match="only Muon leaves some weights"):
        check_space(space, fixed_settings(here, here.given), here)


def test_nothing_left_to_search() -> None:
    with pytest.raises(SettingError, match="nothing is left to search"):
        space_of(situation(), usual=False)


def test_values_are_tidied_within_their_limits() -> None:
    rate = Parameter("train.learning_rate", "", 1.23e-5, 1e-3, log=True)
    assert rate.tidy(3.14159e-4) == 3.1e-4
    assert rate.tidy(1.2301e-5) == 1.23e-5  # two digits would lie outside
    assert rate.contains(rate.tidy(1.2301e-5))
    assert Parameter.from_json(rate.to_json()) == rate


def test_settings_of_the_search_are_read_from_everywhere(tmp_path: Any) -> None:
    file = tmp_path / "tune.yaml"
    file.write_text(
        "tune:\n  trials: 7\n  search: {train.learning_rate: 1e-5..1e-3}\ntrain:\n  seed: 3\n"
    )
    direct = {"tune.search.train.batch_size": "8,16", "tune.max_minutes": "2.5"}
    found = load_tree(TuneRunSettings, file, ("tune.prune=false",), direct)
    assert (found.tune.trials, found.tune.max_minutes, found.tune.prune) == (7, 2.5, False)
    assert found.tune.search == {
        "train.learning_rate": "1e-5..1e-3", "train.batch_size": "8,16",
    }  # fmt: skip
    assert found.train.seed == 3
    with pytest.raises(SettingError, match="at least 2"):
        load_tree(TuneRunSettings, None, ("tune.trials=1",))
