"""Personal data: what the rules find, what they leave alone, and what masking changes."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinyforge.safety.personal_data import KINDS, Span, find, mask, replace_spans
from tinyforge.safety.personal_data.checksums import luhn
from tinyforge.safety.personal_data.fakes import fake
from tinyforge.safety.personal_data.spans import without_overlaps

# Made up for these tests: test numbers of the payment networks, the examples of the standards,
# and numbers made to fit their checks.
PIECES = {
    "email": ["ann.lee+shop@mail.firm.co.uk", "JÖRG@münchen.de", "o'neill@a-b.io"],
    "phone": [
        "+44 20 7946 0018", "+46 (0)8 928 571 38", "(212) 867-5309", "212-867-5309",
        "1-212-867-5309", "0490 75 40 81", "03.93.92.16.85", "+447700 921 916",
        "001-518-640-0854", "212-867-5309x4587",
    ],
    "card": [
        "4111 1111 1111 1111", "5555555555554444", "378282246310005", "3782 822463 10005",
        "6011-1111-1111-1117", "30569309025904",
    ],
    "iban": [
        "GB82 WEST 1234 5698 7654 32", "DE89370400440532013000", "gb82west12345698765432",
        "MT84MALT011000012345MTLCAST001S", "NO9386011117947",
    ],
    "ip": ["86.121.97.248", "2a00:1450:4001:81b::200e", "6e40:4041:c617:e898:c11:40d2:c669:2eb4"],
    "key": [
        "AKIAQ7X2LMZP4RWTS9KD", "ghp_aB3dE6gH9jK2mN5pQ8sT1vW4yZ7bC0eF3hI6",
        "sk_live_" + "4eC39HqLyjWDarjtT1zdp7dc",
        "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQDM\n"
        "-----END PRIVATE KEY-----",
    ],
    "national_id": [
        "078-05-1120", "529.982.247-25", "12345678Z", "X1234567L", "RSSMRA85T10A562S",
        "2 55 08 14 168 025 38",
    ],
}  # fmt: skip

HARMLESS = [
    "Released on 2020-03-29 at 12:30:45, pages 100-120, ISBN 978-0-306-40615-7.",
    "Version 1.2.3.4 of 10.0.0.1 and 127.0.0.1 and 192.0.2.7, see section 4.3.2.1.",
    "It cost $1,234,567.89 or 1 234 567 euros in 1998, 1999, 2000 and 2001.",
    "kernel 2.6.18.6, multicast 224.0.0.251, network 86.121.97.0, binary 0101111111 (text).",
    "std::vector<int> a; x[::2]; y = a[1::2]; 12:30:45",
    "Write to help@example.com or root@localhost; clone git@github.com:a/b.git; @handle",
    "4111 1111 1111 1112 and 1234567890123456 fail their check.",
    "GB82 WEST 1234 5698 7654 33 has wrong check digits; so has DE00370400440532013000.",
    "000-12-3456, 666-12-3456 and 900-12-3456 were never given out; 123-45-0000 neither.",
    "Call 212-555-0142, which is nobody's.",
    "API_KEY=AKIAXXXXXXXXXXXXXXXX, token = your_api_key_goes_here",
    "The boy was 12 years old in 1871; he weighed 40 kg. 02139-4307 is a postcode.",
    "a = 0.12345678901234567, b = 31415926535, sha256: 9f86d081884c7d659a2feaa0c55ad015",
]


@pytest.mark.parametrize(("kind", "value"), [(k, v) for k in PIECES for v in PIECES[k]])
def test_found_with_its_kind_and_place(kind: str, value: str) -> None:
    text = f"It is here: {value}, so we think."
    assert find(text) == [Span(12, 12 + len(value), kind, value)]


@pytest.mark.parametrize("text", HARMLESS)
def test_left_alone(text: str) -> None:
    assert find(text) == []
    assert mask(text) == (text, {})


@pytest.mark.parametrize("number", ["467 3395", "78 651 450", "9498777106", "60-56-85-91"])
def test_a_bare_number_is_a_phone_only_where_something_says_so(number: str) -> None:
    assert find(f"My phone number is {number}.")[0].text == number
    assert find(f"The population was {number}.") == []


def test_an_ssn_without_dashes_has_to_be_named() -> None:
    assert [s.kind for s in find("SSN: 078051120")] == ["national_id"]
    assert find("Item 078051120") == []


def test_a_password_needs_a_name_and_randomness() -> None:
    assert find('password = "hU7kQ9zX2mW4vB6n"')[0].text == "hU7kQ9zX2mW4vB6n"
    assert find("password = aaaaaaaaaaaaaaaa1") == []
    assert find("The word hU7kQ9zX2mW4vB6n alone") == []


def test_only_the_kinds_asked_for() -> None:
    text = "ann@firm.de, 86.121.97.248"
    assert [s.kind for s in find(text, ("ip",))] == ["ip"]
    assert mask(text, ("email",)) == ("<email>, 86.121.97.248", {"email": 1})


def test_what_several_rules_find_is_masked_once() -> None:
    text = "https://ann:s3cret@firm.de/ and call +44 20 7946 0018 or (212) 867-5309"
    masked, counts = mask(text)
    assert masked == "https://ann:<email>/ and call <phone> or <phone>"
    assert counts == {"email": 1, "phone": 2}


def test_numbers_that_run_into_each_other_are_both_masked() -> None:
    text = "+44 20 7946 0018 4111 1111 1111 1111"
    assert mask(text) == ("<phone> <card>", {"card": 1, "phone": 1})


def test_a_label_that_looks_like_data_ends() -> None:
    assert mask("ann@firm.de", label="x@y.de")[0] == "x@y.de"


def test_labels_are_free() -> None:
    assert mask("ann@firm.de", label="[{kind} removed]")[0] == "[email removed]"


@pytest.mark.parametrize(("kind", "value"), [(k, v) for k in PIECES for v in PIECES[k]])
def test_an_invention_is_stable_and_nobodys(kind: str, value: str) -> None:
    invented = fake(value, kind)
    assert invented != value
    assert invented == fake(value, kind)
    assert find(f"call {invented} now") == []


def test_no_invention_passes_a_check_by_chance() -> None:
    letters = "TRWAGMYFPDXBNJZSQVHLCKE"
    for number in range(10_000_000, 10_000_200):
        value = f"{number}{letters[number % 23]}"
        assert find(value)
        assert find(fake(value, "national_id")) == []


def test_overlapping_spans_become_one_of_the_stricter_kind() -> None:
    text = "0123456789"
    phone, card = Span(1, 5, "phone", "1234"), Span(3, 8, "card", "34567")
    inner = Span(2, 4, "ip", "23")
    assert without_overlaps(text, [card, phone]) == [Span(1, 8, "card", "1234567")]
    assert without_overlaps(text, [phone, inner]) == [Span(1, 5, "ip", "1234")]
    apart = Span(8, 10, "phone", "89")
    assert without_overlaps(text, [apart, card]) == [card, apart]


def test_an_invented_number_keeps_its_form() -> None:
    form = fake("+46 (0)8 928 571 38", "phone")
    assert form.startswith("+46 (0)")
    assert [c for c in form if not c.isdigit()] == [
        c for c in "+46 (0)8 928 571 38" if not c.isdigit()
    ]
    card = fake("4111 1111 1111 1111", "card")
    assert len(card) == 19
    assert card[4::5] == "   "


pieces = st.sampled_from([(k, v) for k in PIECES for v in PIECES[k]])
words = st.text(st.sampled_from("abcdefgh äé日本\n,;!?"), max_size=30)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(words, pieces), max_size=5), words, st.booleans())
def test_masking_changes_nothing_outside_the_spans(
    parts: list[tuple[str, tuple[str, str]]], end: str, invent: bool
) -> None:
    text = "".join(f"{before} {value} " for before, (_, value) in parts) + end
    spans = find(text)
    assert Counter(s.kind for s in spans) == Counter(kind for _, (kind, _) in parts)
    assert all(a.end <= b.start for a, b in pairwise(spans))
    label = None if invent else "<{kind}>"
    masked, counts = mask(text, label=label)
    assert counts == Counter(s.kind for s in spans)
    rest = masked
    place = 0
    for span in spans:
        outside = text[place : span.start]
        assert rest.startswith(outside)
        put = fake(span.text, span.kind) if invent else f"<{span.kind}>"
        assert rest[len(outside) :].startswith(put)
        rest = rest[len(outside) + len(put) :]
        place = span.end
    assert rest == text[place:]
    assert mask(masked, label=label) == (masked, {})


@settings(deadline=None)
@given(st.text(max_size=200))
def test_any_text_can_be_searched(text: str) -> None:
    for span in find(text):
        assert text[span.start : span.end] == span.text
        assert span.kind in KINDS
    assert replace_spans(text, []) == (text, {})


@settings(deadline=None)
@given(st.text(st.sampled_from("0123456789+-.() :/@aFx\n"), max_size=120))
def test_any_digits_can_be_searched(text: str) -> None:
    spans = find(text)
    assert all(a.end <= b.start for a, b in pairwise(spans))


@settings(deadline=None)
@given(st.integers(0, 10**15 - 1), st.integers(0, 14), st.integers(1, 9))
def test_luhn_sees_every_single_wrong_digit(number: int, place: int, change: int) -> None:
    body = f"{number:015d}"
    right = next(d for d in "0123456789" if luhn(body + d))
    wrong = body[:place] + str((int(body[place]) + change) % 10) + body[place + 1 :]
    assert not luhn(wrong + right)


def test_a_long_text_without_any_is_quick_and_whole() -> None:
    text = "word " * 200_000 + " " * 100_000 + "1" * 100_000 + ":" * 100_000 + "@" * 100_000
    assert mask(text)[0] == text


def test_recall_on_the_public_set(shared_folder: Path) -> None:
    path = shared_folder / "data" / "dirty" / "presidio_synth_1500.json.gz"
    ours = {
        "EMAIL_ADDRESS": "email", "IBAN_CODE": "iban", "IP_ADDRESS": "ip",
        "US_SSN": "national_id", "CREDIT_CARD": "card", "PHONE_NUMBER": "phone",
    }  # fmt: skip
    found: Counter[str] = Counter()
    wanted: Counter[str] = Counter()
    for row in json.loads(gzip.decompress(path.read_bytes())):
        spans = {(s.start, s.end, s.kind) for s in find(row["full_text"])}
        for gold in row["spans"]:
            kind = ours.get(gold["entity_type"])
            if kind:
                wanted[kind] += 1
                found[kind] += (gold["start_position"], gold["end_position"], kind) in spans
    recall = {kind: found[kind] / wanted[kind] for kind in wanted}
    assert all(recall[kind] >= 0.95 for kind in ("email", "iban", "ip", "national_id", "card"))
    assert recall["phone"] >= 0.7
