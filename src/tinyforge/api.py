"""The Python verbs: keywords become settings, a recipe does the work."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinyforge.config.load import keyword_settings, load_settings

if TYPE_CHECKING:
    from tinyforge.data.inspect import Inspection
    from tinyforge.inference.answering import AnsweringModel
    from tinyforge.inference.prompted import PromptedModel
    from tinyforge.recipes.compare import Compared
    from tinyforge.recipes.compress_result import Compressed
    from tinyforge.recipes.evaluate import Judgement
    from tinyforge.recipes.export import Export
    from tinyforge.recipes.lm_eval import Benchmarks
    from tinyforge.recipes.prepare_result import Preparation, Step
    from tinyforge.recipes.train import Run
    from tinyforge.recipes.tune import Tuned
    from tinyforge.recipes.tune_trial import News
    from tinyforge.recipes.verify import Verification
    from tinyforge.train.hooks import Listener


def train(
    data: Any,
    model: str | None = None,
    *,
    output_dir: str | Path,
    config: str | Path | None = None,
    settings: Mapping[str, Any] | None = None,
    resume: bool = False,
    force: bool = False,
    require_better: bool = False,
    listeners: Sequence[Listener] = (),
    **keywords: Any,
) -> Run:
    """Train on your rows, judge the result on unseen ones, and save both.

    Args:
        data: a path, a hub id, a pandas or polars frame, a ``datasets.Dataset`` or a list of rows.
        model: a hub id, a local folder, ``scratch:PRESET`` or ``auto`` (the default).
        output_dir: where the model and its report go; a folder that does not exist yet.
        config: a YAML file of settings.
        settings: settings by dotted name or nested by stage; they win over ``config``.
        resume: continue what an unfinished run left in ``output_dir``.
        force: replace what is in ``output_dir``.
        require_better: raise ConditionError where the verdict is not "better".
        listeners: told of every step, validation and event.
        **keywords: settings by their short name (``epochs=3``, ``lora=True``) or, in a
            dictionary, by their dotted one; they win over ``settings``.

    Raises:
        TinyForgeError: a mistake in data, settings or folder, in one line.
    """
    from tinyforge.recipes.train import train as recipe

    return recipe(
        data,
        settings=_settings(config, settings, {"model.name": model, **keywords}),
        output_dir=Path(output_dir),
        resume=resume,
        force=force,
        require_better=require_better,
        listeners=listeners,
    )


def pretrain(
    corpus: str | Path | Sequence[str | Path],
    *,
    output_dir: str | Path,
    config: str | Path | None = None,
    settings: Mapping[str, Any] | None = None,
    resume: bool = False,
    force: bool = False,
    listeners: Sequence[Listener] = (),
    **keywords: Any,
) -> Run:
    """Train a model from nothing on raw text, and judge it on text that it has not seen.

    Args:
        corpus: a folder that ``prepare`` made, or raw files and folders, which are prepared first.
        output_dir: where the model and its report go; a folder that does not exist yet.
        config: a YAML file of settings.
        settings: settings by dotted name or nested by stage; they win over ``config``.
        resume: continue what an unfinished run left in ``output_dir``.
        force: replace what is in ``output_dir``.
        listeners: told of every step, validation and event.
        **keywords: settings by their short name (``size="tiny"``, ``max_minutes=30``) or, in a
            dictionary, by their dotted one; they win over ``settings``.

    Raises:
        TinyForgeError: a mistake in corpus, settings or folder, in one line.
    """
    from tinyforge.config.load import load_tree
    from tinyforge.config.pretrain import PretrainRunSettings

    direct = keyword_settings(settings or {}, PretrainRunSettings)
    more = keyword_settings(keywords, PretrainRunSettings)
    direct |= {name: value for name, value in more.items() if value is not None}
    chosen = load_tree(PretrainRunSettings, config, (), direct)

    from tinyforge.recipes.pretrain import pretrain as recipe

    return recipe(
        [corpus] if isinstance(corpus, str | Path) else corpus,
        settings=chosen, output_dir=Path(output_dir), resume=resume, force=force,
        listeners=listeners,
    )  # fmt: skip


def tune(
    data: Any,
    model: str | None = None,
    *,
    output_dir: str | Path,
    trials: int | None = None,
    max_minutes: float | None = None,
    search: Mapping[str, str | Sequence[Any]] | None = None,
    config: str | Path | None = None,
    settings: Mapping[str, Any] | None = None,
    resume: bool = False,
    force: bool = False,
    listeners: Sequence[Listener] = (),
    tell: Callable[[News], None] | None = None,
    **keywords: Any,
) -> Tuned:
    """Search for settings; the best trial becomes a run folder, judged beside the default ones.

    Args:
        trials: how many settings are tried; the first are the default ones.
        max_minutes: minutes for all trials together.
        search: settings to search by name: ``"1e-5..1e-3"``, ``"8,16,32"`` or a list of values.
        tell: told when a trial begins and when it has ended.
        data, model, output_dir, config, settings, resume, force, listeners, **keywords: as for
            ``train``; all trials share the settings.

    Raises:
        TinyForgeError: a mistake in data, settings or folder, in one line.
    """
    from tinyforge.config.load import load_tree
    from tinyforge.config.tune import TuneRunSettings

    direct = keyword_settings(settings or {}, TuneRunSettings)
    given = keyword_settings({"model.name": model, **keywords})
    direct |= {name: value for name, value in given.items() if value is not None}
    direct |= {"tune.trials": trials, "tune.max_minutes": max_minutes}
    for name, limits in (search or {}).items():
        text = limits if isinstance(limits, str) else ",".join(map(str, limits))
        direct[f"tune.search.{name}"] = text
    chosen = load_tree(TuneRunSettings, config, (), direct)

    from tinyforge.recipes.tune import tune as recipe

    return recipe(
        data, settings=chosen, output_dir=Path(output_dir), resume=resume, force=force,
        listeners=listeners, tell=tell,
    )  # fmt: skip


def prepare(
    sources: str | Path | Sequence[str | Path],
    output_dir: str | Path,
    *,
    recipe: str | Path | None = None,
    resume: bool = False,
    force: bool = False,
    tell: Callable[[Step], None] | None = None,
    **settings: Any,
) -> Preparation:
    """Turn raw text into a corpus: read, mend, filter, deduplicate, mask, split, account.

    Args:
        sources: files, folders, archives, database URLs with a query, hub data sets; one or many.
        output_dir: a folder that does not exist yet.
        recipe: a YAML file of settings.
        resume: go on with the unfinished corpus in ``output_dir``.
        force: replace the corpus in ``output_dir``.
        tell: told how far the work is.
        **settings: settings by their short name (``seed=1``, ``languages=["en"]``), by stage
            (``split={"test_share": 0}``) or, in a dictionary, by their dotted one; they win over
            ``recipe``.

    Raises:
        TinyForgeError: a mistake in sources, settings or folder, in one line.
    """
    from tinyforge.config.load import load_tree
    from tinyforge.config.prepare import PrepareSettings
    from tinyforge.recipes.prepare import prepare as run

    chosen = load_tree(PrepareSettings, recipe, (), keyword_settings(settings, PrepareSettings))
    named = [sources] if isinstance(sources, str | Path) else list(sources)
    return run(
        named, settings=chosen, output_dir=Path(output_dir), resume=resume, force=force, tell=tell
    )


def inspect(
    data: Any,
    model: str | None = None,
    *,
    settings: Mapping[str, Any] | None = None,
    **keywords: Any,
) -> Inspection:
    """What a model would see of these rows: columns, rejects, lengths, leaks, tokens.

    Args:
        data: as for ``train``.
        model: whose tokens to count; None counts characters and words.
        settings: as for ``train``.
        **keywords: settings by their short name, as for ``train``.
    """
    from tinyforge.recipes.inspect import inspect_data

    chosen = {**keywords, "model.name": model} if model is not None else keywords
    return inspect_data(data, settings=_settings(None, settings, chosen), model=model is not None)


def load(
    model: str | Path,
    *,
    prompt: Any = None,
    trust_remote_code: bool = False,
    revision: str | None = None,
) -> AnsweringModel | PromptedModel:
    """A model that answers: a run folder, any Hugging Face folder, a hub id, or an exported folder.

    ``load("my-model").predict("how are you")`` gives a ``Prediction``; a list gives a list.

    Args:
        prompt: how to ask a model that was not trained for the job: a ready-made prompt's name, a
            YAML or JSON file, a template with ``{input}``, a mapping, or a ``Prompt``. The
            result's ``save(folder)`` keeps model and prompt together.
        trust_remote_code: run Python code that comes with the model.
        revision: branch, tag or commit of a hub model.
    """
    from tinyforge.recipes.load import load as recipe

    return recipe(model, prompt=prompt, trust_remote_code=trust_remote_code, revision=revision)


def evaluate(
    model: str | Path,
    data: Any,
    *,
    baseline: str | Path | Sequence[str | Path] | None = None,
    prompt: Any = None,
    report: str | Path | None = None,
    settings: Mapping[str, Any] | None = None,
    **keywords: Any,
) -> Judgement | Benchmarks:
    """Score a model on rows, with 95 % intervals; with ``baseline``, next to other models.

    Args:
        model: a run folder, any Hugging Face folder, or a hub id.
        data: as for ``train``; or ``lm-eval:TASK``, public benchmarks by the package ``lm-eval``.
        baseline: another model, or several.
        prompt: how to put the rows to the model, as for ``load``.
        report: an HTML file to write.
        settings: as for ``train``.
        **keywords: settings by their short name, as for ``train``.
    """
    from tinyforge.recipes.evaluate import evaluate as recipe

    return recipe(
        model, data, settings=_settings(None, settings, keywords), baseline=baseline,
        prompt=prompt, report=None if report is None else Path(report),
    )  # fmt: skip


def compare(
    models: Sequence[str | Path],
    data: Any,
    *,
    report: str | Path | None = None,
    changes: str | Path | None = None,
    settings: Mapping[str, Any] | None = None,
    **keywords: Any,
) -> Compared:
    """Which of several models is better on rows, how sure that is, and which rows changed.

    Args:
        models: two or more; the first is what the others are shown against.
        data: as for ``train``.
        report: an HTML file to write.
        changes: a JSON-lines file to write: every row that got better or worse.
        settings: as for ``train``.
        **keywords: settings by their short name, as for ``train``.
    """
    from tinyforge.recipes.compare import compare as recipe

    return recipe(
        models, data, settings=_settings(None, settings, keywords),
        report=None if report is None else Path(report),
        changes=None if changes is None else Path(changes),
    )  # fmt: skip


def compress(
    model: str | Path,
    data: Any = None,
    *,
    output_dir: str | Path,
    config: str | Path | None = None,
    settings: Mapping[str, Any] | None = None,
    resume: bool = False,
    force: bool = False,
    listeners: Sequence[Listener] = (),
    **keywords: Any,
) -> Compressed:
    """Make a trained model smaller, and measure it beside its exports.

    Args:
        model: a run folder, any Hugging Face folder, or a hub id.
        data: rows, as for ``train``; default: those of the model's own run.
        output_dir: a new folder for the smaller model.
        config: a YAML file of settings.
        settings: settings by dotted name (``{"prune.share": 0.5}``) or nested by stage.
        resume: continue what an unfinished call left in ``output_dir``.
        force: replace what is in ``output_dir``.
        listeners: told of every step of the recovery training.
        **keywords: settings by their short name (``share=0.5``, ``layers=4``,
            ``vocabulary=True``) or, in a dictionary, by their dotted one.

    Raises:
        TinyForgeError: a mistake in model, rows, settings or folder, in one line.
    """
    from tinyforge.config.compress import CompressSettings
    from tinyforge.config.load import load_tree

    direct = keyword_settings(settings or {}, CompressSettings)
    more = keyword_settings(keywords, CompressSettings)
    direct |= {name: value for name, value in more.items() if value is not None}
    chosen = load_tree(CompressSettings, config, (), direct)

    from tinyforge.recipes.compress import compress as recipe

    return recipe(
        model, data, settings=chosen, output_dir=Path(output_dir), resume=resume, force=force,
        listeners=listeners,
    )  # fmt: skip


def serve(model: str | Path | Sequence[str | Path], **settings: Any) -> None:
    """Answer over HTTP until a signal stops it; see ``tinyforge.server.run.serve``.

    Args:
        model: a run folder, an exported or any Hugging Face folder, or a hub id; or several, each
            as ``PLACE`` or ``NAME=PLACE``.
        **settings: ``host``, ``port``, ``api_key_file`` and the others of ``ServeSettings``.
    """
    from tinyforge.config.load import load_tree
    from tinyforge.config.serve import ServeSettings

    chosen = load_tree(ServeSettings, None, (), keyword_settings(settings, ServeSettings))

    from tinyforge.server.run import serve as run

    run([str(model)] if isinstance(model, str | Path) else [str(m) for m in model], chosen)


def export(
    model: str | Path,
    output_dir: str | Path,
    *,
    format: str | None = None,
    precision: str | None = None,
    max_drop: float | str | None = None,
    data: Any = None,
    force: bool = False,
    report: str | Path | None = None,
    config: str | Path | None = None,
    settings: Mapping[str, Any] | None = None,
    tell: Callable[[str], None] | None = None,
    **keywords: Any,
) -> Export:
    """Write a model for others to run, once it is shown to be the model that was tested.

    Args:
        model: a run folder, any Hugging Face folder, or a hub id.
        output_dir: a folder that does not exist yet.
        format: ``onnx`` (the default; answers without torch), ``safetensors`` or ``gguf``.
        precision: ``fp32`` (the default), ``bf16``, ``fp16``, ``int8``, ``int4``, or ``auto``: the
            smallest that holds.
        max_drop: how much of the headline metric may be lost; 0.005 and ``"0.5%"`` are half a
            point, which is the default.
        data: rows with answers to judge on; default: the test rows of the run.
        force: replace the export in ``output_dir``.
        report: an HTML file to write, also where the export is refused.
        config: a YAML file of settings.
        settings: settings by dotted name or nested by stage; they win over ``config``.
        tell: told what is done, a line at a time.
        **keywords: further settings by their short name (``strict=True``, ``golden_rows=0``).

    Raises:
        ConditionError: the export is not the model that was tested, or lost too much; nothing is
            left in ``output_dir``.
        TinyForgeError: a mistake in model, data, settings or folder, in one line.
    """
    from tinyforge.config.export import ExportRunSettings, share
    from tinyforge.config.load import load_tree

    direct = keyword_settings(settings or {}, ExportRunSettings)
    more = keyword_settings(keywords, ExportRunSettings)
    direct |= {name: value for name, value in more.items() if value is not None}
    given = {
        "export.format": format,
        "export.precision": precision,
        "export.max_drop": None if max_drop is None else share(max_drop, "max_drop"),
    }
    direct |= {name: value for name, value in given.items() if value is not None}
    chosen = load_tree(ExportRunSettings, config, (), direct)

    from tinyforge.recipes.export import export as recipe

    made = recipe(
        model, Path(output_dir), settings=chosen, data=data, force=force,
        report=None if report is None else Path(report), tell=tell,
    )  # fmt: skip
    made.require_ready()
    return made


def verify(folder: str | Path) -> Verification:
    """Whether a run folder or an export is as it was: every byte, and an export's answers.

    ``verify("my-model-onnx").require_sound()`` raises where anything differs.

    Raises:
        FolderError: there is no such folder, or it has no manifest.
    """
    from tinyforge.recipes.verify import verify as recipe

    return recipe(Path(folder))


def _settings(
    config: str | Path | None, settings: Mapping[str, Any] | None, keywords: Mapping[str, Any]
) -> Any:
    """Settings from a file, then from a mapping, then from keywords."""
    direct = keyword_settings(settings or {})
    direct |= {name: v for name, v in keyword_settings(keywords).items() if v is not None}
    return load_settings(config, (), direct)
