"""The settings of cleaning: described, and the same kinds as the rules know."""

from __future__ import annotations

from typing import get_args

import pytest
from pydantic import ValidationError

from tinyforge.config.corpus_clean import CleanSettings, PersonalKind, RecipeName
from tinyforge.corpus.cleaning import RECIPES
from tinyforge.safety.personal_data import KINDS


def test_every_setting_is_described() -> None:
    for name, field in CleanSettings.model_fields.items():
        assert field.description, name
        assert field.description.endswith("."), name


def test_choices_are_what_there_is() -> None:
    assert get_args(PersonalKind) == KINDS
    assert get_args(RecipeName) == ("auto", *RECIPES)
    assert CleanSettings().personal_kinds == KINDS


def test_unknown_names_and_values_are_refused() -> None:
    for wrong in ({"recipee": "web"}, {"recipe": "wbe"}, {"language_confidence": 2}):
        with pytest.raises(ValidationError):
            CleanSettings(**wrong)  # type: ignore[arg-type]
