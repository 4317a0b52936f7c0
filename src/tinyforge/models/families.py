"""Which kind of model a config describes, and which tasks it can learn."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tinyforge.errors import ModelError

FITS: dict[str, tuple[str, ...]] = {
    "classify": ("encoder", "decoder"),
    "text2text": ("encoder-decoder", "decoder"),
    "instruct": ("decoder",),
    "preference": ("decoder",),
    "language-model": ("decoder",),
}
"""Task to the families that can learn it."""

EXAMPLES = {
    "encoder": "BERT, DistilBERT, MiniLM; scratch:bert-tiny",
    "encoder-decoder": "T5, flan-T5; scratch:t5-tiny",
    "decoder": "GPT-2, Llama, SmolLM; scratch:gpt-tiny",
}


def family_of_config(config: Mapping[str, Any], *, name: str) -> str:
    """``encoder``, ``encoder-decoder`` or ``decoder``, from the content of a config.json.

    Raises:
        ModelError: it is no model that reads and writes text, or transformers does not know it.
    """
    from transformers import CONFIG_MAPPING
    from transformers.models.auto import modeling_auto as auto

    kind = config["model_type"]
    architecture = next(iter(config.get("architectures") or ()), "")
    if kind not in CONFIG_MAPPING and not config.get("auto_map"):
        raise ModelError(
            "the installed transformers does not know this model type",
            where=name,
            value=kind,
            fix="Update transformers, or choose another model",
        )
    if kind in auto.MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES and config.get(
        "is_encoder_decoder", _default(kind, "is_encoder_decoder")
    ):
        return "encoder-decoder"
    if kind in auto.MODEL_FOR_MASKED_LM_MAPPING_NAMES:
        is_decoder = architecture.endswith(("LMHeadModel", "ForCausalLM"))
        return "decoder" if is_decoder else "encoder"
    speech = auto.MODEL_FOR_SPEECH_SEQ_2_SEQ_MAPPING_NAMES
    if kind in auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES and kind not in speech:
        return "decoder"
    if kind in auto.MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES:
        return "encoder"
    if config.get("auto_map"):
        return "decoder" if architecture.endswith("ForCausalLM") else "encoder"
    raise ModelError(
        "this is not a text model that TinyForge can use",
        where=name,
        value=kind,
        fix="Choose an encoder (BERT), an encoder-decoder (T5) or a decoder (GPT, Llama)",
    )


def _default(kind: str, field: str) -> Any:
    from transformers import CONFIG_MAPPING

    return getattr(CONFIG_MAPPING[kind](), field, None)


def check_fit(task: str, family: str, *, name: str) -> None:
    """Raises ModelError where a family cannot learn the task; says what can, for both."""
    if family in FITS[task]:
        return
    article = {"encoder": "an", "encoder-decoder": "an", "decoder": "a"}
    fitting = " or ".join(f"{article[f]} {f} ({EXAMPLES[f]})" for f in FITS[task])
    tasks = " or ".join(t for t, families in FITS.items() if family in families)
    raise ModelError(
        f"the task {task} cannot be learnt by {article[family]} {family} model",
        where="model.name",
        value=name,
        fix=f"Choose {fitting}, or keep this model with --task {tasks}",
    )


def training_class(task: str, family: str) -> Any:
    """The Auto class whose models learn the task."""
    import transformers

    if task == "classify":
        return transformers.AutoModelForSequenceClassification
    if family == "encoder-decoder":
        return transformers.AutoModelForSeq2SeqLM
    return transformers.AutoModelForCausalLM


def answering_class(config: Mapping[str, Any], family: str, *, name: str) -> Any:
    """The Auto class with the head that a config names.

    Raises:
        ModelError: it is an encoder without a head, such as a sentence encoder.
    """
    import transformers

    architecture = next(iter(config.get("architectures") or ()), "")
    if architecture.endswith("ForSequenceClassification"):
        return transformers.AutoModelForSequenceClassification
    if family != "encoder":
        return training_class("", family)
    raise ModelError(
        f"this model ({architecture or config['model_type']}) has no head to answer with",
        value=name,
        fix=f"Train it first: tinyforge train DATA --model {name} --output DIR",
    )
