"""A spam filter, from nothing, on messages that the program makes.

    python spam_filter.py

Invented messages are an exercise: their spam gives itself away by its words, so counting words does
nearly as well as a network, and the verdict says so plainly. Put your own messages into ``rows``,
or name your file in ``tinyforge.train``, and the same lines judge whether a model is worth it.
"""

# %% The messages

import random

import tinyforge

HAM = [
    "Are you coming to {place} {day}?",
    "I will be {minutes} minutes late, sorry!",
    "Can you call {name} back before {hour}?",
    "{name} says the meeting moved to {day} at {hour}.",
    "Thanks for {day}, see you at {place}.",
    "Did you get the {thing} for {name}?",
    "The {thing} arrived, it is at {place}.",
    "Lunch at {place} at {hour}? {name} comes too.",
]
SPAM = [
    "WINNER! Your number has won {money}. Call {phone} now!",
    "FREE {thing} for the first {minutes} callers, txt WIN to {phone}",
    "Your account is locked, confirm at {site} before {day}",
    "Get a loan of {money} today, no questions, reply YES to {phone}",
    "Last chance {name}: claim your {money} prize at {site}",
    "Cheap {thing} only {day}, order at {site} and save {money}",
    "You have {minutes} new private messages, read them at {site}",
    "URGENT {name}, we tried to reach you about {money}. Ring {phone}",
]
SLOTS = {
    "place": ["the station", "the office", "Mia's", "the park", "home", "the gym", "the harbour"],
    "day": ["on Monday", "tomorrow", "tonight", "on Friday", "this week", "on Sunday"],
    "name": ["Ben", "Mia", "Omar", "Lena", "Sam", "Ines", "Kofi", "Yuki", "Dad", "Grandma"],
    "hour": ["8", "noon", "half past two", "5 pm", "seven", "10:30"],
    "minutes": ["5", "10", "12", "20", "40", "100"],
    "thing": ["tickets", "phone", "keys", "watch", "cake", "camera", "shoes", "holiday"],
    "money": ["1000 pounds", "£500", "$2,000", "900 euros", "a million"],
    "phone": ["08001234567", "85555", "09061 700 100", "77711"],
    "site": ["win-now.example", "bank-secure.example", "best-deals.example/x7"],
}

random.seed(0)


def message(templates: list[str]) -> str:
    """One message with its gaps filled."""
    return random.choice(templates).format(**{k: random.choice(v) for k, v in SLOTS.items()})


rows = [{"text": message(HAM), "label": "ham"} for _ in range(600)]
rows += [{"text": message(SPAM), "label": "spam"} for _ in range(150)]

# %% Train, and read the verdict

run = tinyforge.train(
    rows,
    "scratch:bert-tiny",
    output_dir="spam-filter",
    max_steps=150,
    force=True,
    settings={"data.near_duplicate": 1},  # all messages are built alike; only equal ones are leaks
)
print(run.summary())

# %% What matters in a filter: how much spam is caught, and how much of what is caught is spam

for label in run.report["evaluation"]["labels"]:
    if label["label"] == "spam":
        print(f"\ncaught {label['recall']:.0%} of the spam, {label['precision']:.0%} of it rightly")

# %% Try it
#
# The last message is spam as well, but worded like none of the rows: a filter knows what it saw.

model = tinyforge.load("spam-filter")
messages = [
    "Lunch at the office at noon? Ines comes too.",
    "FREE camera for the first 12 callers, txt WIN to 77711",
    "hi its me, new number, can u send money pls",
]
for found in model.predict(messages):
    print(f"{found.output:>5} {found.confidence:4.0%}  {found.input}")
