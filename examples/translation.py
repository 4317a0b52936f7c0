"""Translates small English sentences to German, with a small T5.

    python translation.py

The sentences come from a little grammar, so the program carries its data, and the right translation
of every unseen sentence is known. It is a real task all the same: German has three genders, and
who is seen takes another ending than who sees.
"""

# %% The sentences

import itertools
import random

import tinyforge

NOUNS = {  # English: gender, German
    "dog": ("m", "Hund"), "man": ("m", "Mann"), "tree": ("m", "Baum"), "bird": ("m", "Vogel"),
    "cat": ("f", "Katze"), "woman": ("f", "Frau"), "flower": ("f", "Blume"), "duck": ("f", "Ente"),
    "child": ("n", "Kind"), "house": ("n", "Haus"), "horse": ("n", "Pferd"), "boat": ("n", "Boot"),
}  # fmt: skip
ADJECTIVES = {"small": "klein", "old": "alt", "red": "rot", "quick": "schnell", "quiet": "leis"}
VERBS = {"sees": "sieht", "likes": "mag", "seeks": "sucht", "paints": "malt", "finds": "findet"}
ARTICLES = {  # (article, gender, object?): German article, ending of the adjective
    ("the", "m", False): ("der", "e"), ("the", "m", True): ("den", "en"),
    ("the", "f", False): ("die", "e"), ("the", "f", True): ("die", "e"),
    ("the", "n", False): ("das", "e"), ("the", "n", True): ("das", "e"),
    ("a", "m", False): ("ein", "er"), ("a", "m", True): ("einen", "en"),
    ("a", "f", False): ("eine", "e"), ("a", "f", True): ("eine", "e"),
    ("a", "n", False): ("ein", "es"), ("a", "n", True): ("ein", "es"),
}  # fmt: skip


def phrase(article: str, adjective: str, noun: str, seen: bool) -> tuple[str, str]:
    """``a small dog`` and its German; ``seen``: whether it is the object."""
    gender, german = NOUNS[noun]
    word, ending = ARTICLES[article, gender, seen]
    return f"{article} {adjective} {noun}", f"{word} {ADJECTIVES[adjective]}{ending} {german}"


random.seed(0)
phrases = list(itertools.product(["the", "a"], ADJECTIVES, NOUNS))
rows = []
for _ in range(3000):
    subject = phrase(*random.choice(phrases), False)
    other = phrase(*random.choice(phrases), True)
    verb = random.choice(list(VERBS))
    english = f"{subject[0]} {verb} {other[0]}"
    rows.append({"english": english, "german": f"{subject[1]} {VERBS[verb]} {other[1]}"})

# %% Train, and read the verdict

run = tinyforge.train(
    rows,
    "scratch:t5-tiny",
    output_dir="translation",
    max_steps=300,
    force=True,
    settings={
        "data.input": "english",
        "data.output": "german",
        "data.near_duplicate": 1,  # all sentences are built alike
    },
)
print(run.summary())

# %% Try it

model = tinyforge.load("translation")
for found in model.predict(["the old cat sees a quick bird", "a red boat finds the small man"]):
    print(f"{found.input}\n  -> {found.output}")
