"""How a task is written into a model folder and read back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self


class Saved:
    """A task whose state is the fields of its constructor."""

    name: str
    family: str
    FIELDS: ClassVar[tuple[str, ...]] = ()

    def state(self) -> dict[str, Any]:
        """All that must travel in the model folder to answer the same way; plain JSON."""
        fields = {field: getattr(self, field) for field in self.FIELDS}
        plain = {k: list(v) if isinstance(v, tuple) else v for k, v in fields.items()}
        return {"name": self.name, "family": self.family, **plain}

    @classmethod
    def from_state(cls, state: Mapping[str, Any], tokenizer: Any, config: Any) -> Self:
        """The task as ``state`` described it; a field that is not there has its default."""
        fields = {field: state[field] for field in cls.FIELDS if field in state}
        return cls(tokenizer, config, **fields)  # type: ignore[call-arg]
