"""TinyForge's side of ``tokenizers``: learn a tokenizer, or write a store of tokens."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from benchmarks.speed.harness import read_spec, write_json

FAMILY: dict[str, Any] = {"wordpiece": "encoder"}


def main() -> None:
    """Do the job and say how long it took."""
    import transformers.tokenization_utils_tokenizers  # noqa: F401 - loading is not learning
    from tokenizers import Tokenizer

    from tinyforge.corpus.token_shards import open_tokens, total_tokens, write_tokens
    from tinyforge.records.documents import Document
    from tinyforge.text.sampling import pieces_of
    from tinyforge.text.tokenizer_training import train_tokenizer

    spec = read_spec()
    folder = Path(spec["folder"])
    texts = [path.read_text("utf-8") for path in sorted(Path(spec["texts"]).iterdir())]
    tokenizer: Any
    if spec["job"] == "train":
        started = time.perf_counter()
        pieces = [piece for text in texts for piece in pieces_of(text)]
        kind = spec["kind"]
        tokenizer = train_tokenizer(pieces, kind, spec["size"], family=FAMILY.get(kind, "decoder"))
        result: dict[str, Any] = {"seconds": time.perf_counter() - started}
        tokenizer.backend_tokenizer.save(str(folder / "tokenizer.json"))
    else:
        started = time.perf_counter()
        tokenizer = Tokenizer.from_file(spec["tokenizer"])
        documents = (Document(str(i), text, "s") for i, text in enumerate(texts))
        write_tokens(documents, tokenizer, folder / "tokens")
        result = {
            "seconds": time.perf_counter() - started,
            "tokens": total_tokens(open_tokens(folder / "tokens")),
        }
        (folder / "tokens" / "0000" / "tokens.bin").rename(folder / "tokens.bin")
    write_json(folder / "result.json", result)


if __name__ == "__main__":
    main()
