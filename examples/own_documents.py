"""A language model of your own documents, from nothing.

    python own_documents.py

Put your files into the folder ``documents``: text, Markdown, HTML, PDF, DOCX, mail archives. If
there is none, Python's own documentation is written there. The text is cleaned, freed of what is
there twice, and split; a tokenizer and a small model learn from it; and both are judged on text
that they have never seen.
"""

# %% The documents

from pathlib import Path
from pydoc_data.topics import topics

import tinyforge

DOCUMENTS = Path("documents")

if not DOCUMENTS.is_dir():
    DOCUMENTS.mkdir()
    for name, text in topics.items():
        (DOCUMENTS / f"{name}.txt").write_text(text, encoding="utf-8")

# %% From raw text to a corpus: what was read, what was dropped and why

prepared = tinyforge.prepare(DOCUMENTS, "corpus", force=True)
print(prepared.summary())

# %% Train from nothing
#
# A few hundred thousand tokens teach spelling and turns of phrase, and no facts. Give it
# ``max_minutes=60`` in place of size and tokens, and as much text as you have.

run = tinyforge.pretrain(
    "corpus", output_dir="documents-model", size="nano", max_tokens=400_000, force=True
)
print(run.summary())

# %% Let it write

BEGINNING = "The for statement is used to"

model = tinyforge.load("documents-model")
print(f"\n{BEGINNING}", end="")
for piece in model.stream(BEGINNING, max_new_tokens=60):
    print(piece, end="", flush=True)
print()
