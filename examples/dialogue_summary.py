"""Sums up a conversation in one sentence, with a small T5.

    python dialogue_summary.py

Two people agree on a meeting; now and then one of them changes the day, and then the last word
counts. That is what copying the beginning cannot do, and what the model has to learn. With real
dialogues take a pretrained T5 ("google/flan-t5-small") and the same lines.
"""

# %% The dialogues

import random

import tinyforge

PEOPLE = ["Ana", "Ben", "Carla", "Dev", "Ella", "Femi", "Gus", "Hiro"]
THINGS = ["lunch", "a walk", "a film", "the report", "tennis", "dinner", "a coffee"]
DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
HOURS = ["nine", "noon", "two", "five", "seven", "eight"]

random.seed(0)


def dialogue() -> dict[str, str]:
    """One conversation, and its summary."""
    one, two = random.sample(PEOPLE, 2)
    thing, hour = random.choice(THINGS), random.choice(HOURS)
    first, second = random.sample(DAYS, 2)
    lines = [f"{one}: How about {thing} on {first}?"]
    day = first
    kind = random.choice(["yes", "other day", "no"])
    if kind == "other day":
        lines.append(f"{two}: {first} is bad for me. Can you do {second}?")
        lines.append(f"{one}: Sure, {second} then. At {hour}?")
        lines.append(f"{two}: Perfect.")
        day = second
    elif kind == "yes":
        lines.append(f"{two}: Lovely! When?")
        lines.append(f"{one}: At {hour}.")
    else:
        lines.append(f"{two}: Sorry, I have no time this week.")
        lines.append(f"{one}: Too bad!")
    met = f"{one} and {two} meet for {thing} on {day} at {hour}."
    refused = f"{two} has no time for {thing} with {one}."
    return {"dialogue": "\n".join(lines), "summary": refused if kind == "no" else met}


rows = [dialogue() for _ in range(2000)]

# %% Train, and read the verdict

run = tinyforge.train(
    rows,
    "scratch:t5-tiny",
    output_dir="dialogue-summary",
    max_steps=300,
    force=True,
    settings={"data.near_duplicate": 1},  # all dialogues are built alike
)
print(run.summary())

# %% Try it

model = tinyforge.load("dialogue-summary")
talk = """Ella: How about tennis on Monday?
Gus: Monday is bad for me. Can you do Friday?
Ella: Sure, Friday then. At five?
Gus: Perfect."""
print(f"\n{talk}\n  -> {model.predict(talk).output}")
