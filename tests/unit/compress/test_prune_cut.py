"""The smaller model: plain, really smaller, and without exactly what matters least."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from prune_models import ALL, READERS, WRITERS, answers, batches, make, rows
from safetensors.torch import load_file
from task_models import language_model

from tinyforge.compress.prune.cut import keep_heads, keep_layers, keep_units
from tinyforge.compress.prune.distil import Distilled
from tinyforge.compress.prune.importance import least_needed_layers, mean_loss, measure
from tinyforge.compress.prune.shapes import Attention, architecture_of, groups_of, heads_of
from tinyforge.compress.prune.shrink import Wish, best, best_heads, shrink, units_to_keep
from tinyforge.errors import ModelError, SettingError
from tinyforge.models.quiet import quiet
from tinyforge.models.sizes import parameters

HEADED = [name for name in WRITERS if name != "gpt2"]


def parts(model: Any, task: Any) -> Any:
    return measure(model, task, batches(task, rows(task)))


def same_weights(one: Any, other: Any) -> bool:
    first, second = one.state_dict(), other.state_dict()
    return first.keys() == second.keys() and all(
        torch.equal(first[name], second[name]) for name in first
    )


@pytest.mark.parametrize("name", ALL)
def test_to_keep_everything_changes_nothing(name: str) -> None:
    model, task = make(name)
    counts = architecture_of(model.config).layers(model.config)
    found = parts(model, task)
    whole = keep_layers(model, [list(range(count)) for count in counts])
    whole = keep_units(whole, {key: best(value, len(value)) for key, value in found.units.items()})
    if name in HEADED:
        every = {key: best(value, len(value)) for key, value in found.heads.items()}
        whole = keep_heads(whole, every)
    assert same_weights(model, whole)
    assert torch.equal(answers(model, task), answers(whole, task))


@pytest.mark.parametrize("name", ALL)
def test_to_wish_for_nothing_gives_the_model_itself(name: str) -> None:
    model, task = make(name)
    found, cuts = shrink(model, task, batches(task, rows(task)), Wish())
    assert found is model
    assert cuts.nothing


@pytest.mark.parametrize("name", ALL)
def test_a_cut_model_is_plain_and_smaller(name: str, tmp_path: Path) -> None:
    model, task = make(name)
    before = answers(model, task)
    found, cuts = shrink(model, task, batches(task, rows(task)), Wish(units=0.5, layers=1))
    assert torch.equal(before, answers(model, task)), "the given model is left as it is"
    assert parameters(found) < 0.8 * parameters(model)
    assert cuts.units["kept"] < cuts.units["had"]
    assert all(len(stack["kept"]) == 1 for stack in cuts.layers.values())
    with quiet():
        found.save_pretrained(tmp_path)
        back, info = type(model).from_pretrained(tmp_path, output_loading_info=True)
    assert not info["missing_keys"]
    assert not info["mismatched_keys"]
    assert not info["unexpected_keys"]
    assert torch.allclose(answers(found, task), answers(back.eval(), task), atol=1e-6)
    stored = sum(weight.numel() for weight in load_file(tmp_path / "model.safetensors").values())
    assert stored == parameters(found)


def silence(weight: torch.Tensor, columns: list[int], dim: int) -> None:
    with torch.no_grad():
        weight.index_fill_(dim, torch.tensor(columns), 0.0)


@pytest.mark.parametrize("name", ALL)
def test_planted_useless_units_are_those_that_go(name: str) -> None:
    model, task = make(name)
    architecture = architecture_of(model.config)
    random = np.random.default_rng(0)
    width = next(iter(parts(model, task).units.values())).size
    planted = {}
    for spot, module in architecture.unit_outputs(model):
        columns = random.choice(width, width // 2, replace=False)
        planted[spot.stack, spot.layer] = set(columns.tolist())
        silence(module.weight, sorted(columns), 0 if name == "gpt2" else 1)
    scores = parts(model, task).units
    for place, useless in planted.items():
        kept = set(best(scores[place], width - width // 2).tolist())
        assert not kept & useless
    expected = answers(model, task)
    found, cuts = shrink(
        model, task, batches(task, rows(task)), Wish(units=0.5, heads=0.0, passes=3)
    )
    assert cuts.units == {"had": width, "kept": width // 2}
    assert torch.allclose(expected, answers(found, task), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", HEADED)
def test_planted_useless_heads_are_those_that_go(name: str) -> None:
    model, task = make(name)
    architecture = architecture_of(model.config)
    shape = heads_of(architecture, model.config)
    assert shape is not None
    groups, shared, size = groups_of(shape, model.config)
    width = shared * size
    random = np.random.default_rng(1)
    tied = [int(random.integers(groups)) for _ in architecture.stacks]
    planted = {}
    for place, module in architecture.head_outputs(model):
        alone = name.startswith("t5") and "SelfAttention" in place.name
        group = tied[place.stack] if alone else int(random.integers(groups))
        planted[place] = group
        silence(module.weight, list(range(group * width, (group + 1) * width)), 1)
    scores = parts(model, task).heads
    assert {place: int(scores[place].argmin()) for place in scores} == planted
    expected = answers(model, task)
    found, cuts = shrink(model, task, batches(task, rows(task)), Wish(heads=1 / groups, passes=1))
    assert cuts.heads == {"had": groups, "kept": groups - 1}
    assert not cuts.units
    assert torch.allclose(expected, answers(found, task), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", WRITERS)
def test_a_planted_useless_layer_is_the_one_that_goes(name: str) -> None:
    """Norms behind a silenced sub-layer scale zero, which stays zero."""
    model, task = make(name)
    outputs = ("o_proj.weight", "down_proj.weight", "c_proj.weight", "c_proj.bias", "o.weight",
               "wo.weight")  # fmt: skip
    architecture = architecture_of(model.config)
    for key, weight in model.state_dict().items():
        spot = architecture.spot(key)
        silenced = key.endswith(outputs)
        if spot is not None and spot.layer == spot.stack and silenced:
            weight.zero_()
    expected = answers(model, task)
    # Of a random model any layer may do harm; so the loss is how far it is from its own answers.
    own = Distilled(task, copy.deepcopy(model), share=1.0, temperature=1.0)
    found, cuts = shrink(model, own, batches(task, rows(task)), Wish(layers=1))
    # The first stack has lost its first layer, the second (a decoder's) its second one.
    wanted = [[1], [0]][: len(architecture.stacks)]
    assert [stack["kept"] for stack in cuts.layers.values()] == wanted
    assert torch.allclose(expected, answers(found, task), rtol=1e-4, atol=1e-4)


def test_t5_keeps_its_relative_positions_without_its_first_layer() -> None:
    model, task = make("t5-tied")
    name = "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight"
    found = keep_layers(model, [[1], [0, 1]])
    assert torch.equal(found.state_dict()[name], model.state_dict()[name])
    second = "encoder.block.{}.layer.0.SelfAttention.q.weight"
    assert torch.equal(found.state_dict()[second.format(0)], model.state_dict()[second.format(1)])
    assert answers(found, task).isfinite().all()


def test_lists_by_layer_in_a_config_follow() -> None:
    model, _ = make("gemma2")
    found = keep_layers(model, [[1]])
    assert found.config.layer_types == ["full_attention"]


def test_an_untied_head_stays_untied() -> None:
    model, _ = make("t5-untied")
    with torch.no_grad():
        model.lm_head.weight.add_(1.0)
    found = keep_layers(model, [[0], [1]])
    assert torch.equal(found.lm_head.weight, model.lm_head.weight)
    assert torch.equal(found.shared.weight, model.shared.weight)


@pytest.mark.parametrize("name", ["bert", "t5-tied", "gpt2", "llama"])
def test_importance_is_the_slope_of_a_gate_on_each_part(name: str) -> None:
    """By definition: the derivative of a row's loss by a factor on a unit's output, at one."""
    model, task = make(name)
    examples = rows(task, 3)
    found = measure(model, task, batches(task, examples, size=3))
    architecture = architecture_of(model.config)
    spot, module = next(iter(architecture.unit_outputs(model)))
    gate = torch.ones(found.units[spot.stack, spot.layer].size, requires_grad=True)
    handle = module.register_forward_pre_hook(lambda _, args: (args[0] * gate, *args[1:]))
    slopes = [
        torch.autograd.grad(task.loss(model, batch.tensors), gate)[0].abs().numpy()
        for batch in batches(task, examples, size=1)
    ]
    handle.remove()
    wanted = np.mean(slopes, axis=0)
    assert np.allclose(found.units[spot.stack, spot.layer], wanted, rtol=1e-3, atol=1e-6)


def test_measuring_leaves_no_trace() -> None:
    model, task = make("bert")
    model.train()
    measure(model, task, batches(task, rows(task)))
    assert model.training
    assert all(weight.grad is None for weight in model.parameters())
    assert not any(module._forward_pre_hooks for module in model.modules())


def test_layers_go_one_by_one_where_the_loss_is_lowest() -> None:
    model, task = make("bert")
    found = batches(task, rows(task))
    kept = least_needed_layers(model, task, found, 1)
    losses = [mean_loss(keep_layers(model, [[number]]), task, found) for number in range(2)]
    assert kept == [[int(np.argmin(losses))]]


def test_kept_units_suit_the_kernels() -> None:
    assert units_to_keep(1536, 0.3) == 1088
    assert units_to_keep(1536, 0.0) == 1536
    assert units_to_keep(1536, 0.999) == 32
    assert units_to_keep(64, 0.5) == 32
    assert units_to_keep(48, 0.5) == 24
    assert units_to_keep(10, 0.99) == 1


def test_heads_that_a_config_refuses_stay() -> None:
    model, task = make("llama")  # 2 key-value heads with 2 query heads each, width 32
    _, cuts = shrink(model, task, batches(task, rows(task)), Wish(heads=0.4))
    assert not cuts.heads, "0.4 of two heads is less than one"
    _, cuts = shrink(model, task, batches(task, rows(task)), Wish(heads=0.5))
    assert cuts.heads == {"had": 2, "kept": 1}


@pytest.mark.parametrize("name", READERS)
def test_heads_that_no_config_can_miss_are_named(name: str) -> None:
    model, task = make(name)
    found = batches(task, rows(task))
    _, cuts = shrink(model, task, found, Wish(units=0.5))
    assert "attention heads stay" in cuts.notes[0]
    with pytest.raises(SettingError, match=r"prune.heads"):
        shrink(model, task, found, Wish(heads=0.5))


def test_mistakes_are_one_line() -> None:
    model, task = make("bert")
    with pytest.raises(SettingError, match="no more than 2 layers"):
        shrink(model, task, batches(task, rows(task)), Wish(layers=2))
    with pytest.raises(ModelError, match="only its vocabulary"):
        shrink(language_model("opt"), task, [], Wish(units=0.5))


def test_the_same_rows_give_the_same_cut() -> None:
    model, task = make("gpt2")
    wish = Wish(units=0.5, layers=1)
    found = [shrink(model, task, batches(task, rows(task)), wish)[0] for _ in range(2)]
    assert same_weights(*found)


def test_t5s_self_attentions_keep_the_same_heads() -> None:
    """They share the relative positions of the first layer, head by head."""
    model, _ = make("t5-tied")
    places = [place for place, _ in architecture_of(model.config).head_outputs(model)]
    scores = {place: np.roll(np.array([9.0, 5.0, 1.0, 0.0]), place.layer) for place in places}
    kept = best_heads(model, scores, 2)
    own = [kept[place].tolist() for place in places if "SelfAttention" in place.name]
    assert own == [[0, 1]] * 4, "by the sum over the layers: 9, 14, 6, 1"
    across = [kept[place].tolist() for place in places if "EncDec" in place.name]
    assert across == [[0, 1], [1, 2]], "these share nothing"


def test_an_attention_of_another_name_is_not_mistaken() -> None:
    model, _ = make("t5-tied")
    places = [place for place, _ in architecture_of(model.config).head_outputs(model)]
    assert len(places) == 2 + 2 * 2
    assert Attention(1, 0, "layer.1.EncDecAttention") in places
