"""Known ways to talk a language model out of its rules, as patterns with a name and a source.

They know texts that go round, not intent: whoever writes something new gets past them. Each is
narrow, so that ordinary requests are left alone; ``benchmarks/quality/safeguards.py`` counts the
false alarms on ordinary text.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from tinyforge.errors import SettingError
from tinyforge.registry import suggest
from tinyforge.safety.folding import fold
from tinyforge.safety.rulings import Finding


@dataclass(frozen=True, slots=True)
class Pattern:
    """One way.

    Attributes:
        name: what it is called in settings and logs.
        expressions: one of them has to match the folded text with single spaces.
        source: where it is described, or why it is here.
    """

    name: str
    expressions: tuple[str, ...]
    source: str


_SOME = r"(?:\w+ ){0,3}"
_IGNORE = r"(?:ignore|disregard|forget|override|bypass)"
_BEFORE = r"(?:previous|prior|above|earlier|preceding|foregoing|initial|original|system|existing)"
_RULES = r"(?:instructions?|prompts?|rules?|directions?|guidelines?|directives?|commands?)"
_BEING = r"(?:ai|assistant|chatbot|bot|persona|llm|language model)"
_WITHOUT = r"(?:without|with no|with zero|free of|free from|not bound by|has no|have no)"
_KIND = r"(?:(?:any|all|of|its|the|moral|ethical|content|safety|legal|usual|openai) ){0,4}"
_BONDS = (
    r"(?:restrictions?|filters?|limits?|limitations?|guidelines?|censorship|rules|ethics|morals?)"
)
_MODE = r"(?:developer|sudo|god|debug|admin|root|jailbreak|dan|unrestricted) mode"
_SAY = r"(?:repeat|print|reveal|show|output|display|leak|write out|tell me|give me)"
_SECRET = r"(?:system|initial|hidden|secret|original|internal|confidential)"
_ANSWER = r"(?:response|answer|reply|output|responses|answers|replies)"
_NEVER = r"(?:never|do not|don't|must not|cannot|can't)"
_WHATEVER = (
    r"(?:regardless of|no matter (?:how|if|whether)"
    r"|without (?:any )?(?:regard|consideration|concern)s? (?:for|to|of))"
)
_AGAINST = (
    r"(?:ignor|bypass|against|violat|opposite|break|circumvent|overrid|disregard|without|beyond"
    r"|not (?:follow|adher|comply|bound|care)|free (?:from|of)|instead of)"
)
_WARNING = r"(?:disclaimers?|warnings?|caveats?)"

PATTERNS = (
    Pattern(
        "ignore_instructions",
        (
            rf"\b{_IGNORE} {_SOME}{_BEFORE} (?:\w+ ){{0,2}}{_RULES}\b",
            rf"\b{_IGNORE} (?:all |everything )(?:of )?(?:your|my|the) {_RULES}\b",
            rf"\b{_IGNORE} (?:everything|anything|all)(?: that)? you (?:were|have been|are) told\b",
            rf"\b{_IGNORE} (?:everything|anything|all)(?: that)? (?:was |is )?(?:said |written )?"
            r"(?:above|before)\b(?! the\b)",
        ),
        "goal hijacking: Perez and Ribeiro 2022, arXiv:2211.09527; OWASP LLM01",
    ),
    Pattern(
        "do_anything_now",
        (
            r"\bdo[- ]anything[- ]now\b",
            r"\b(?:act as|respond as|pretend to be|you are(?: now)?|known as|called) [\"']?dan\b"
            r"(?=[\"']?(?:[,.:;(]| (?:who|which|mode|can|has|is free|and)\b))",
        ),
        "the best known persona: Shen et al. 2023, arXiv:2308.03825",
    ),
    Pattern(
        "unrestricted_persona",
        (
            rf"\b{_BEING} (?:\w+ ){{0,4}}{_WITHOUT} {_KIND}{_BONDS}\b",
            r"\b(?:act|respond|answer|behave|reply|pretend|you are|you're)\b (?:\w+ ){0,4}"
            rf"(?:unfiltered|uncensored|unrestricted|amoral|jailbroken) (?:\w+ ){{0,2}}{_BEING}\b",
            r"\balways intelligent and machiavellian\b",
            r"\b(?:you|it|he|she|who|which|that|\w*gpt|\w+ ai) (?:(?:will|now|do|to|would) ){0,2}"
            r"(?:have|has|having) (?:absolutely )?no (?:\w+ (?:or |and )?){0,3}"
            r"(?:restrictions|filters?|limitations|guidelines|censorship|ethics|morals?)\b",
            r"\b(?:is|are|being|am) (?:not|no longer|never) "
            rf"(?:bound|restricted|limited|constrained) by (?:\w+ ){{0,4}}{_BONDS}\b",
        ),
        "pretending: Liu et al. 2023, arXiv:2305.13860; Shen et al. 2023, arXiv:2308.03825",
    ),
    Pattern(
        "privileged_mode",
        (
            r"\b(?:enable|enter|activate|switch (?:in)?to|turn on|simulate|you are(?: now)? in) "
            rf"(?:\w+ ){{0,2}}{_MODE}\b",
            rf"\b{_MODE} (?:is )?(?:now )?(?:enabled|activated|on)\b",
        ),
        "privilege escalation: Liu et al. 2023, arXiv:2305.13860",
    ),
    Pattern(
        "prompt_extraction",
        (
            rf"\b{_SAY} (?:\w+ ){{0,4}}(?:your|the) (?:\w+ )?{_SECRET} (?:prompt|message)\b",
            rf"\b{_SAY} (?:\w+ ){{0,4}}your (?:\w+ )?{_SECRET} (?:instructions?|directives?)\b",
            rf"\bwhat (?:is|are|was|were) your (?:\w+ )?{_SECRET} (?:prompt|instructions?)\b",
            r"\b(?:repeat|print|output) (?:\w+ ){0,4}(?:words|text|everything|all) "
            r"(?:\w+ ){0,3}above(?= ?(?:$|[.,:;!?\"'(]|(?:starting|beginning|verbatim|exactly)\b))",
        ),
        "prompt leaking: Perez and Ribeiro 2022, arXiv:2211.09527; Zhang et al. 2023, "
        "arXiv:2307.06865",
    ),
    Pattern(
        "prefix_injection",
        (
            rf"\b(?:start|begin|open) (?:(?:all|every|each|of|your) ){{1,3}}{_ANSWER} "
            r"(?:\w+ )?(?:with|by saying)[ :]{0,3}(?:the \w+ )?[\"'`]?"
            r"(?:absolutely|sure|of course|certainly)\b",
        ),
        "Wei et al. 2023, arXiv:2307.02483",
    ),
    Pattern(
        "refusal_suppression",
        (
            rf"\b{_NEVER} {_SOME}(?:refuse|decline) (?:\w+ ){{0,4}}"
            r"(?:request|question|answer|prompt|instruction|anything|command|task|order)s?\b",
            rf"\b{_NEVER} (?:apologi[sz]e|(?:include|add|give|use) {_SOME}{_WARNING})\b[^.]{{0,80}}"
            rf"\b(?:cannot|can't|unable|refuse|unfortunately|{_WARNING}|ethic\w*|moral\w*)\b",
            r"\bnever (?:say|use) (?:the )?(?:words?|phrases?) [\"'`]?"
            r"(?:sorry|cannot|can't|unable|i can)",
            rf"\b(?:{_NEVER}|won't|will not|does not|doesn't) {_SOME}"
            r"(?:refuses?|den(?:y|ies)|declines?|rejects?|censors?)\b"
            r"[^.!?]{0,60}\b(?:users?|me|asked|ask|instructions?|orders?|requests?|prompts?)\b",
            r"\b(?:without|no) (?:refusals?|denying|censoring|moderations?)\b",
            rf"\b{_NEVER} {_SOME}(?:say|mention|tell|state|claim|admit|break) (?:\w+ ){{0,4}}"
            rf"(?:(?:are|is|am|being|were|as) an? {_BEING}|character)\b",
        ),
        "Wei et al. 2023, arXiv:2307.02483",
    ),
    Pattern(
        "ethics_off",
        (
            rf"\b{_WHATEVER} (?:\w+ ){{0,5}}(?:un|im|il)?(?:ethic|moral|legal)\w*",
            r"\b(?:devoid|void|stripped) of (?:\w+ ){0,3}(?:ethic|moral)\w*",
            r"\b(?:has|have|with|having|without|no) (?:any |no |zero )?(?:ethical|moral)s?"
            r"(?: or| and|,|/)(?: \w+)? ?(?:ethical|moral|legal)\w* "
            r"(?:guidelines?|principles?|code|constraints?|restrictions?|limits?|boundaries|compass)\b",
            r"\b(?:even if|whether) (?:it|that|this|they|the \w+) (?:is|are|'s|was) (?:\w+ ){0,2}"
            r"(?:illegal|unethical|immoral|harmful)\b",
            r"\b(?:ethical or unethical|legal or illegal|moral or immoral|unethical or illegal)\b",
        ),
        "pretending: Shen et al. 2023, arXiv:2308.03825, whose texts name what they switch off",
    ),
    Pattern(
        "policy_override",
        (
            rf"\b{_AGAINST}\w*\b[^.!?]{{0,60}}\bopen ?ai\b",
            r"\bopen ?ai(?:'s)? (?:\w+ ){0,3}(?:policy|policies|guidelines|restrictions|rules)\b"
            r"[^.!?]{0,80}\b(?:ignor|bypass|no longer|not apply|don't apply|replaced|disabled"
            r"|removed|forget|violat|break)\w*",
        ),
        "privilege escalation: Liu et al. 2023, arXiv:2305.13860",
    ),
    Pattern(
        "two_answers",
        (
            r"\b(?:two|2|both) (?:\w+ ){0,3}(?:responses?|answers?|ways|outputs?|paragraphs)\b"
            r".{0,160}\[[^\]]{0,16}(?:jailbreak|dan|developer|unfiltered|classic|gpt)[^\]]{0,24}\]",
            r"\bstay in character\b.{0,200}\b(?:tokens|polic(?:y|ies)|openai|refuse)\b",
        ),
        "Shen et al. 2023, arXiv:2308.03825",
    ),
    Pattern(
        "chat_markup",
        (
            r"<\|(?:im_start|im_end|system|assistant|user|start_header_id|end_header_id|eot_id)\|>",
            r"\[/?inst\]|<</?sys>>",
            r"(?:^| )### ?(?:system|assistant) ?:",
        ),
        "a turn forged with a chat template's own signs: OWASP LLM01",
    ),
    Pattern(
        "encoded_request",
        (
            r"\b(?:decode|decipher|decrypt|base64|rot13)\b.{0,120}\b(?:and|then) (?:\w+ ){0,3}"
            r"(?:follow|execute|obey|carry out|do what|comply|answer it|respond to it)\b",
        ),
        "mismatched generalisation: Wei et al. 2023, arXiv:2307.02483",
    ),
)
"""All patterns, in the order in which they are tried."""

_SPACES = re.compile(r"\s+")


class Jailbreaks:
    """Known jailbreaks in what a client asks; a ``Rule``.

    Args:
        allowed: names of patterns that are let through.

    Raises:
        SettingError: there is no pattern of such a name.
    """

    name = "jailbreak"

    def __init__(self, allowed: Collection[str] = ()) -> None:
        names = [pattern.name for pattern in PATTERNS]
        for name in allowed:
            if name not in names:
                raise SettingError(
                    "there is no jailbreak pattern of this name", value=name,
                    where="safeguards.jailbreak_allowed", fix=suggest(name, names),
                )  # fmt: skip
        self._patterns = [
            (pattern.name, re.compile("|".join(pattern.expressions)))
            for pattern in PATTERNS
            if pattern.name not in allowed
        ]

    def look(self, texts: Sequence[str]) -> list[Finding]:
        """How many patterns there are in each text."""
        return [Finding(len(self.found(text))) for text in texts]

    def found(self, text: str) -> list[str]:
        """Names of the patterns in a text."""
        plain = _SPACES.sub(" ", fold(text.replace("’", "'")))
        return [name for name, pattern in self._patterns if pattern.search(plain)]
