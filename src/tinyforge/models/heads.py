"""The classification head: labels in the config, and weights of the last layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tinyforge.errors import ModelError
from tinyforge.models.weights import Read, refuse_missing

KEPT = "the model's head for these labels is kept"
"""The note of a classifier that already knows the labels."""


def set_labels(config: Any, labels: Sequence[str], *, multi_label: bool) -> None:
    """Writes the labels and the kind of problem into a config."""
    if not labels:
        raise ModelError("classification needs labels, and there are none")
    config.id2label = dict(enumerate(labels))
    config.label2id = {label: i for i, label in enumerate(labels)}
    kind = "multi_label" if multi_label else "single_label"
    config.problem_type = f"{kind}_classification"


def trained_labels(config: Mapping[str, Any]) -> list[str] | None:
    """The labels that the head of a fine-tuned model stands for; None without such a head.

    Args:
        config: the content of the model's config.json.
    """
    architecture = next(iter(config.get("architectures") or ()), "")
    if not architecture.endswith("ForSequenceClassification"):
        return None
    names = config.get("id2label") or {}
    return [str(names[key]) for key in sorted(names, key=int)]


def head_names(model: Any) -> list[str]:
    """Top-level parts of a classifier that are not the pretrained body, ``classifier`` and such."""
    return [
        name
        for name, part in model.named_children()
        if name != model.base_model_prefix and any(True for _ in part.parameters())
    ]


def label_layer(model: Any) -> Any:
    """The linear layer whose outputs are the labels' logits.

    Raises:
        ModelError: the architecture has none that is a plain linear layer.
    """
    import torch

    layers = [
        layer
        for name in head_names(model)
        for layer in getattr(model, name).modules()
        if isinstance(layer, torch.nn.Linear) and layer.out_features == model.config.num_labels
    ]
    if not layers:
        raise ModelError(
            "the model has no linear classification layer",
            value=type(model).__name__,
            fix="Choose another model",
        )
    return layers[-1]


def renew(model: Any) -> None:
    """Draws the label layer's weights anew from PyTorch's generator."""
    import torch

    layer = label_layer(model)
    spread = getattr(model.config.get_text_config(), "initializer_range", None) or 0.02
    with torch.no_grad():
        layer.weight.normal_(mean=0.0, std=spread)
        if layer.bias is not None:
            layer.bias.zero_()


def start_from_shares(model: Any, shares: Sequence[float], *, multi_label: bool) -> None:
    """Sets the label layer's bias so that a new head begins with each label's share of the rows.

    Without it, several rare labels are first learnt by pushing the whole representation to one
    side, from which it hardly comes back (the prior of Lin et al. 2017, arXiv:1708.02002, sec.
    3.3). A layer without bias is left as it is.

    Args:
        shares: of each label among the training rows, in the order of the outputs.
        multi_label: sigmoid outputs; else softmax.
    """
    import torch

    layer = label_layer(model.get_base_model() if hasattr(model, "get_base_model") else model)
    if layer.bias is None:
        return
    share = torch.tensor(shares).clamp(1e-4, 1 - 1e-4)
    with torch.no_grad():
        layer.bias.copy_(torch.logit(share) if multi_label else share.log())


def reorder(model: Any, old: Sequence[str], new: Sequence[str]) -> None:
    """Moves the label layer's rows from the old order of the same labels to the new one."""
    import torch

    layer = label_layer(model)
    rows = torch.tensor([list(old).index(label) for label in new])
    with torch.no_grad():
        layer.weight.copy_(layer.weight[rows].clone())
        if layer.bias is not None:
            layer.bias.copy_(layer.bias[rows].clone())


def settle(
    read: Read, raw: dict[str, Any], labels: Sequence[str], folder: Path
) -> tuple[list[str], list[str]]:
    """Keeps, reorders or renews the head of a classifier that was just read.

    Draws from PyTorch's generator; call it under a fixed seed.

    Args:
        raw: the content of the folder's config.json, with the labels trained before.

    Returns:
        Newly initialised modules inside the body (a pooler), and notes for the user.

    Raises:
        ModelError: the file lacks weights of the body.
    """
    model = read.model
    body = [key for key in read.missing if key.startswith(model.base_model_prefix + ".")]
    lost = [key for key in body if "pooler" not in key]
    refuse_missing([*lost, *(k for k in read.mismatched if _in_body(k, model))], folder)
    new = sorted({key.rsplit(".", 2)[0].partition(".")[2] for key in body})
    before = trained_labels(raw)
    missing_head = [key for key in read.missing if key not in body]
    if before is not None and not missing_head and sorted(before) == sorted(labels):
        if before != list(labels):
            reorder(model, before, labels)
        notes = [KEPT]
    else:
        renew(model)
        names = sorted({key.rsplit(".", 1)[0] for key in missing_head}) or head_names(model)
        notes = ["new weights: " + ", ".join(names)]
        if before is not None:
            notes.append(
                f"the model was trained for {len(before)} other labels ({', '.join(before[:3])}"
                f"{', …' if len(before) > 3 else ''}): its last layer is new"
            )
    return new, notes + ([f"new weights: {', '.join(new)}"] if new else [])


def _in_body(key: str, model: Any) -> bool:
    return key.startswith(model.base_model_prefix + ".")
