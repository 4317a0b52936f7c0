"""Free text to structured data, with a small T5.

    python text_to_fields.py

Orders written by people become fields that a program can use. The answer is written as
``name: value; name: value``: a pretrained T5 knows neither braces nor quotation marks by heart (its
vocabulary has no ``{``), so this teaches faster than JSON, and two lines turn it into a dictionary.
"""

# %% The orders

import random

import tinyforge

NAMES = ["Ana", "Ben", "Chidi", "Dina", "Emil", "Fatima", "Goran", "Hana", "Ivo", "Jun"]
ITEMS = ["mugs", "lamps", "chairs", "books", "tents", "pens", "rugs", "plates"]
COLOURS = ["red", "blue", "green", "white", "black", "yellow"]
CITIES = ["Berlin", "Lagos", "Lima", "Oslo", "Osaka", "Paris", "Quito", "Rome"]
NUMBERS = {"two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "ten": 10, "a dozen": 12}
SENTENCES = [
    "{name} wants {count} {colour} {item}, to be sent to {city}.",
    "Please send {count} {colour} {item} to {name} in {city}.",
    "{count} {item} for {name}, the {colour} ones. Ship to {city}.",
    "An order from {city}: {name} takes {count} {item} in {colour}.",
    "Hello, {name} from {city} here. I need {count} {colour} {item}, thank you!",
]

random.seed(0)


def order() -> dict[str, str]:
    """One order as text, and its fields."""
    count = random.choice(list(NUMBERS))
    values = {
        "name": random.choice(NAMES),
        "item": random.choice(ITEMS),
        "colour": random.choice(COLOURS),
        "city": random.choice(CITIES),
    }
    text = random.choice(SENTENCES).format(count=count, **values)
    fields = {**values, "count": NUMBERS[count]}
    return {"input": text, "output": "; ".join(f"{k}: {v}" for k, v in fields.items())}


rows = [order() for _ in range(2000)]

# %% Train, and read the verdict

run = tinyforge.train(
    rows,
    "scratch:t5-tiny",
    output_dir="text-to-fields",
    max_steps=200,
    force=True,
    settings={"data.near_duplicate": 1},  # all orders are built alike; only equal ones are leaks
)
print(run.summary())

# %% Use it


def fields_of(written: str) -> dict[str, str]:
    """``name: value; name: value`` as a dictionary."""
    return dict(part.split(": ", 1) for part in written.split("; ") if ": " in part)


model = tinyforge.load("text-to-fields")
found = model.predict("Please send a dozen green lamps to Hana in Oslo.")
print(fields_of(found.output))
