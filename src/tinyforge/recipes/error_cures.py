"""What to do about errors whose place in the source names no next step."""

from __future__ import annotations

import re

CURES: tuple[tuple[str, str, str], ...] = (
    # Family, pattern of the message or the HTTP code, cure. The first that fits holds.
    ("SettingError", "cannot read|cannot be read",
     "Check that the file is there, that you may read it, and that it is UTF-8 text."),
    ("SettingError", "YAML",
     "Mend the line: names and values are written NAME: VALUE, and what belongs to a group is "
     "indented below it."),
    ("SettingError", "twice in this file", "Delete one of the two lines."),
    ("SettingError", "nested too deep", "Settings have at most a stage and a name: flatten it."),
    ("SettingError", "name must be text", "Put the name in quotes."),
    ("SettingError", "not a multiple of|even width|size must be",
     "Choose sizes that divide each other: tinyforge explain model.shape."),
    ("SettingError", "key's name", "Use letters, digits, point, hyphen and underscore only."),
    ("SettingError", "key of this name", "Give another name, or delete the old key's line."),
    ("SettingError", "no words", "Write a word a line into the file, or leave the setting out."),
    ("SettingError", "weight is a number|at least", "Give a number that is large enough."),
    ("DataError", "cannot be opened", "Check the name, and that you may read the file."),
    ("DataError", "no readable Parquet", "Write the file again; pandas.read_parquet shows more."),
    ("DataError", "conversation|turns",
     "A chat is a list of {\"role\": …, \"content\": …}, and at least one turn is the user's."),
    ("DataError", "lm-eval|not done here",
     "Choose another task: the page docs/how_to/public_benchmarks.md names those that are asked."),
    ("DataError", "no answer to measure", "Give rows that have an answer."),
    ("DataError", "no rows|no documents|no tokens|no text|too little text",
     "Give more text or rows, or loosen what filters them; the report says what was dropped."),
    ("ModelError", "hub", "Check the name's spelling, and log in for a private model: hf auth "
     "login. With no network use a local folder, scratch:NAME or auto."),
    ("ModelError", "classifier|labels", "Use a model for the task, or train one on labelled rows."),
    ("ModelError", "damaged|cannot be read|no weights|JSON object",
     "Copy or download the model again; tinyforge verify DIR names the files that differ."),
    ("ModelError", "llama.cpp", "Export as onnx or safetensors instead: --format onnx."),
    ("ModelError", "chat template", "Choose a model that has one, or ask it with --prompt."),
    ("ModelError", "no cache|no encoder", "Export the model again; the folder is not whole."),
    ("FolderError", "damaged|not JSON|cannot be read|not name|not fit|golden",
     "Make it again, or put it back from a copy; tinyforge verify DIR names what differs."),
    ("FolderError", "outside its folder|no plain file|too large|not an .onnx|no graph has",
     "Do not use this folder: something in it is not what an export holds. Get it again from "
     "people you trust."),
    ("FolderError", "no YAML", "Mend the file, or give the prompt as text with {input}."),
    ("TinyForgeError", "validation value", "Lower train.learning_rate, or search smaller ones."),
    ("Problem", "invalid_api_key",
     "Send the header Authorization: Bearer KEY; whoever runs the server makes a key with "
     "tinyforge serve --new-key NAME --api-key-file FILE."),
    ("Problem", "rate_limit|queue_full|draining|not_ready|unavailable",
     "Wait for the seconds that the header Retry-After names, and ask again."),
    ("Problem", "body_too_large|too_many|too_long|too_deep",
     "Send less at once, or let the server's owner raise the setting that the message is about."),
    ("Problem", "slow_body|timeout",
     "Ask for less (fewer texts, a smaller max_tokens), or let the owner raise "
     "serve.request_seconds."),
    ("Problem", "model_not_found", "GET /v1/models lists the names."),
    ("Problem", "wrong_host|wrong_origin",
     "The server's owner can add the name to serve.allowed_hosts or serve.allowed_origins."),
    ("Problem", "invalid_json", "Send one JSON object, in UTF-8."),
    ("Problem", "client_left", "Nothing: the client closed the connection before the answer."),
    ("Problem", "failed",
     "It is the server's fault, not the request's: its log has the traceback beside the id in the "
     "header X-Request-Id."),
)  # fmt: skip

USUAL = {
    "SettingError": "Look the setting up: tinyforge explain STAGE.NAME says what it takes.",
    "DataError": "Look at the row or file that the message names; tinyforge inspect DATA shows "
    "what a model would see.",
    "ModelError": "Check the model's name or folder; tinyforge doctor lists the models in the "
    "local cache.",
    "FolderError": "Look at the folder or file that the message names, or name another one.",
    "MissingPackageError": "Install the extra that the message names.",
    "ConditionError": "The work ran and its result is on disk: read its report, then decide.",
    "TinyForgeError": "Do as the message says.",
    "Problem": "Change the request as the message says.",
}
"""For a whole family."""


def usual_cure(family: str, code: str, message: str) -> str:
    """What to do about an error whose own message names no next step."""
    for kind, pattern, cure in CURES:
        told = code if family == "Problem" else message
        if kind == family and re.search(pattern, told):
            return cure
    return USUAL[family]
