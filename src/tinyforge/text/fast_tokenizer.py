"""A tokenizer of the package ``tokenizers``, with those of transformers' words that TinyForge uses.

An exported model brings ``tokenizer.json``, which holds the whole of a fast tokenizer: what it does
to a text, its added tokens, and what it puts around a text. Read here, it gives the same ids and
the same text as in transformers, which is neither needed nor loaded.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from tinyforge.errors import ModelError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

TOKENIZER = "tokenizer.json"
CONFIG = "tokenizer_config.json"
NAMED = (
    "bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token",
)  # fmt: skip
"""The names under which transformers gives special tokens to a chat template, in its order."""


class FastTokenizer:
    """Texts to ids, and back; may be used by several threads at once.

    Args:
        backend: what does the work; its padding and truncation are turned off.
        tokens: named special tokens, of ``NAMED``; a name may be missing or None.
        chat_template: a Jinja template, or several by name.
        name_or_path: for errors.

    Attributes:
        backend_tokenizer: the tokenizer of the package ``tokenizers``.
        chat_template: may be set anew.
    """

    def __init__(
        self,
        backend: Tokenizer,
        tokens: Mapping[str, str | None],
        *,
        chat_template: str | Mapping[str, str] | None = None,
        name_or_path: str = "",
    ) -> None:
        backend.no_padding()
        backend.no_truncation()
        self.backend_tokenizer = backend
        self.chat_template = chat_template
        self.name_or_path = name_or_path
        self.special_tokens_map = {name: t for name in NAMED if (t := tokens.get(name)) is not None}

    @classmethod
    def load(cls, folder: Path, tokens: Mapping[str, Any] | None = None) -> Self:
        """The tokenizer in a folder.

        Args:
            tokens: what an export's record says of it: named tokens and ``chat_template``. It
                wins over the folder's ``tokenizer_config.json`` and ``chat_template.jinja``; a
                name that it gives as None is not there.

        Raises:
            ModelError: there is none, a file is damaged, or the record says that the tokens around
                a text are not those of the model.
        """
        from tokenizers import Tokenizer

        path = folder / TOKENIZER
        try:
            backend = Tokenizer.from_buffer(path.read_bytes())
        except OSError as error:
            raise ModelError("cannot be read", where=str(path), value=error.strerror) from error
        except Exception as error:  # the Rust package raises bare Exceptions
            raise ModelError(
                "the tokenizer is damaged", where=str(path), value=str(error),
                fix="Copy or export the model again",
            ) from error  # fmt: skip
        config = _read(folder / CONFIG)
        given = tokens or {}
        if given.get("post_processor") is False:
            raise ModelError(
                "this tokenizer does not put the model's own tokens around a text",
                where=str(path), fix="Export the model again",
            )  # fmt: skip
        named = {name: given.get(name, _text(config.get(name))) for name in NAMED}
        backend.encode_special_tokens = bool(config.get("split_special_tokens"))
        template = given.get("chat_template", _template(folder, config))
        return cls(backend, named, chat_template=template, name_or_path=str(folder))

    def __call__(
        self,
        text: str | Sequence[str] | None = None,
        *,
        text_target: str | Sequence[str] | None = None,
        add_special_tokens: bool = True,
        padding: Literal[False] = False,
        truncation: Literal[False] = False,
        return_attention_mask: bool = False,
        return_token_type_ids: bool = False,
        verbose: bool = False,
    ) -> dict[str, Any]:
        """``{"input_ids": …}`` of a text, or of several.

        Only the ids are given, whole and not padded, whatever else is asked for.

        Args:
            text_target: texts that are answers; they are encoded like others.
            add_special_tokens: put the tokenizer's own tokens around each text.
        """
        given = text if text_target is None else text_target
        texts = [given] if isinstance(given, str) else list(given or ())
        # Without offsets, which nobody asks for: the quick way of the package.
        found = self.backend_tokenizer.encode_batch_fast(
            texts, add_special_tokens=add_special_tokens
        )
        ids = [encoding.ids for encoding in found]
        return {"input_ids": ids[0] if isinstance(given, str) else ids}

    def __len__(self) -> int:
        """Entries of the vocabulary, added tokens included."""
        return int(self.backend_tokenizer.get_vocab_size(with_added_tokens=True))

    def decode(
        self,
        ids: Sequence[int] | int,
        *,
        skip_special_tokens: bool = False,
        clean_up_tokenization_spaces: Literal[False] = False,
    ) -> str:
        """The text of ids, spaces left as the tokens have them."""
        rows = [ids] if isinstance(ids, int) else list(ids)
        text: str = self.backend_tokenizer.decode(rows, skip_special_tokens=skip_special_tokens)
        return text

    def get_vocab(self) -> dict[str, int]:
        """Token to id, added tokens included."""
        found: dict[str, int] = self.backend_tokenizer.get_vocab(with_added_tokens=True)
        return found

    def convert_ids_to_tokens(self, ids: int | Sequence[int]) -> Any:
        """The token of an id, or of several; None for an id that there is not."""
        find = self.backend_tokenizer.id_to_token
        return find(ids) if isinstance(ids, int) else [find(int(i)) for i in ids]

    def convert_tokens_to_ids(self, tokens: str | Sequence[str]) -> Any:
        """The id of a token, or of several; that of ``unk_token`` for one that there is not."""
        if not isinstance(tokens, str):
            return [self.convert_tokens_to_ids(token) for token in tokens]
        found = self.backend_tokenizer.token_to_id(tokens)
        return self.unk_token_id if found is None else found

    @property
    def bos_token(self) -> str | None:
        return self.special_tokens_map.get("bos_token")

    @property
    def bos_token_id(self) -> int | None:
        return self._id("bos_token")

    @property
    def eos_token(self) -> str | None:
        return self.special_tokens_map.get("eos_token")

    @property
    def eos_token_id(self) -> int | None:
        return self._id("eos_token")

    @property
    def pad_token(self) -> str | None:
        return self.special_tokens_map.get("pad_token")

    @property
    def pad_token_id(self) -> int | None:
        return self._id("pad_token")

    @property
    def unk_token(self) -> str | None:
        return self.special_tokens_map.get("unk_token")

    @property
    def unk_token_id(self) -> int | None:
        return self._id("unk_token")

    def _id(self, name: str) -> int | None:
        token = self.special_tokens_map.get(name)
        found: int | None = None if token is None else self.backend_tokenizer.token_to_id(token)
        return found


def _read(path: Path) -> dict[str, Any]:
    """The object in a JSON file; empty where there is no file."""
    if not path.is_file():
        return {}
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError("the file is damaged", where=str(path), value=str(error)) from error
    if not isinstance(value, dict):
        raise ModelError("the file is not a JSON object", where=str(path))
    return value


def _text(token: Any) -> str | None:
    """A token as a config writes it: its text, or an object that holds it."""
    found = token.get("content") if isinstance(token, Mapping) else token
    return found if isinstance(found, str) else None


def _template(folder: Path, config: Mapping[str, Any]) -> str | dict[str, str] | None:
    """The chat template of a folder: a file of its own, else a field of the tokenizer's config."""
    path = folder / "chat_template.jinja"
    if path.is_file():
        try:
            return path.read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            raise ModelError("cannot be read", where=str(path), value=str(error)) from error
    found = config.get("chat_template")
    if isinstance(found, list):
        return {str(each["name"]): str(each["template"]) for each in found}
    return found if isinstance(found, str) else None
