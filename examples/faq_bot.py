"""A bot that answers frequent questions, with DistilBERT.

Every answer is a label: the model learns which of the answers suits a question, so it can never
make one up. Below a confidence that you choose, the question goes to a person.

    python faq_bot.py

DistilBERT comes from the Hugging Face hub, or from its cache. Without either, take another
classifier: any local folder, "auto", or "scratch:bert-tiny", which learns from these rows alone.
"""

# %% The questions and answers: put yours here

import tinyforge

MODEL = "distilbert-base-uncased"

FAQ = {
    "We are open from 9 to 18, Monday to Saturday.": [
        "When are you open?",
        "What are your opening hours?",
        "Are you open on Saturday?",
        "Until what time can I come in?",
        "Is the shop open on Sundays?",
        "When do you close today?",
        "How late are you open?",
        "What time does the store open in the morning?",
    ],
    "Standard delivery takes two to four working days.": [
        "How long does delivery take?",
        "When will my parcel arrive?",
        "How many days until my order is here?",
        "What is the usual shipping time?",
        "How fast do you ship?",
        "Will it be here by Friday if I order now?",
        "How soon can I expect the package?",
        "How long do I have to wait for my order?",
    ],
    "You can send anything back within 30 days, free of charge.": [
        "Can I return something I do not like?",
        "How do I send an item back?",
        "What is your return policy?",
        "The shoes are too small, can I give them back?",
        "How many days do I have to return it?",
        "Do I have to pay for sending things back?",
        "I changed my mind, what now?",
        "Is returning free?",
    ],
    "We take cards, bank transfer and invoice.": [
        "How can I pay?",
        "Which payment methods do you accept?",
        "Do you take credit cards?",
        "Can I pay by invoice?",
        "Is bank transfer possible?",
        "Can I pay when it arrives?",
        "Do you accept my debit card?",
        "What ways of paying are there?",
    ],
    "Use 'Forgot password' on the sign-in page; a link comes by e-mail.": [
        "I forgot my password.",
        "How do I reset my password?",
        "I cannot log in any more.",
        "My password does not work.",
        "Where can I choose a new password?",
        "I am locked out of my account.",
        "The sign-in says wrong password.",
        "How do I get back into my account?",
    ],
    "Gift cards come by e-mail, in any amount from 10 to 200.": [
        "Do you sell gift cards?",
        "Can I buy a voucher for a friend?",
        "How does a gift voucher work?",
        "What amounts do the gift cards have?",
        "I am looking for a present, are there vouchers?",
        "Can a gift card be sent by e-mail?",
        "How do I give somebody a voucher?",
        "Is there a gift certificate?",
    ],
}

rows = [
    {"input": question, "output": answer} for answer, asked in FAQ.items() for question in asked
]

# %% Train, and read the verdict
#
# With eight questions an answer the verdict is often "cannot tell": so few unseen rows prove
# nothing either way. It also says how many more rows would settle it.

run = tinyforge.train(rows, MODEL, output_dir="faq-bot", epochs=10, force=True)
print(run.summary())

# %% Ask it

LEAST_CONFIDENCE = 0.5

model = tinyforge.load("faq-bot")
questions = ["What time do you open?", "can i send this back", "Do you like music?"]
for found in model.predict(questions):
    sure = found.confidence >= LEAST_CONFIDENCE
    answer = found.output if sure else "I do not know. A colleague will answer you."
    print(f"{found.input}\n  -> {answer}  ({found.confidence:.0%})")
