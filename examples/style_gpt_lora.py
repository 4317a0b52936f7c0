"""Gives a small GPT a style of its own with LoRA.

    python style_gpt_lora.py

LoRA leaves the model as it is and trains small adapters beside its matrices, so it needs a model
that can write already. Here a very small one learns first, from Python's own documentation, in a
minute or two; name a bigger one in ``BASE`` ("gpt2", "HuggingFaceTB/SmolLM2-135M", or a folder) and
leave that step out.
"""

# %% A model that can write a little

import random
from pathlib import Path
from pydoc_data.topics import topics

import tinyforge

BASE = "documentation-gpt"

if BASE == "documentation-gpt":
    Path("documentation").mkdir(exist_ok=True)
    for name, text in topics.items():
        Path("documentation", f"{name}.txt").write_text(text, encoding="utf-8")
    tinyforge.pretrain(
        "documentation", output_dir=BASE, size="nano", max_tokens=400_000, force=True
    )

# %% The style: a ship's log

WINDS = ["fresh from the west", "light and turning", "strong from the north", "none at all"]
SEAS = ["grey and high", "calm as glass", "short and steep", "long and blue"]
SEEN = ["two whales", "a light to the south", "ice", "a brig under full sail", "nothing but birds"]
WORK = ["mended the foresail", "caulked the deck", "washed linen", "repaired the pump"]
ENDS = ["All well.", "God keep us.", "We hold our course.", "The crew is in good heart."]

random.seed(0)


def entry() -> str:
    """One entry of the log."""
    return (
        f"Day {random.randint(2, 200)}. Wind {random.choice(WINDS)}. The sea is "
        f"{random.choice(SEAS)}. At dawn we saw {random.choice(SEEN)}. "
        f"The men {random.choice(WORK)}. {random.choice(ENDS)}"
    )


rows = [{"text": text} for text in dict.fromkeys(entry() for _ in range(400))]

# %% Adapters only, and the verdict
#
# How much of a surprise is unseen text of this style, against the model before, and against simple
# tables of letters? A log made from a few phrases is easy for those too, and the verdict says so.

run = tinyforge.train(
    rows,
    BASE,
    output_dir="log-writer",
    task="language-model",
    lora=True,
    max_steps=150,
    force=True,
    settings={"data.near_duplicate": 1},  # all entries are built alike
)
print(run.summary())

# %% The same beginning, before and after

BEGINNING = "Day 12. Wind"

for folder in (BASE, "log-writer"):
    print(f"\n{folder}:\n{BEGINNING}", end="")
    for piece in tinyforge.load(folder).stream(BEGINNING, max_new_tokens=60):
        print(piece, end="", flush=True)
    print()
