"""google-research/bert's cleaning and splitting of text, from the library's parts.

docs/tokenisation.md lists where Hugging Face's differ; tests/text/test_tokenisation_parity.py runs every character
through both.
"""

from __future__ import annotations

from tokenizers import Regex, normalizers, pre_tokenizers

MAX_CHARS_PER_WORD = 200

LOOKS_ACROSS = "'.:^`"
"""ASCII marks across which the small letter of a sigma depends on its neighbours (Unicode's Case_Ignorable)."""

_CONTROLS = r"[\p{Cc}\p{Cf}\x{FFFD}&&[^\t\n\r]]"
_SPACES = r"[\p{Z}\t\n\r]+"
_PUNCTUATION = r"!-/:-@\[-`{-~\p{P}"
_CJK = r"\x{4E00}-\x{9FFF}\x{3400}-\x{4DBF}\x{20000}-\x{2A6DF}\x{2A700}-\x{2CEAF}\x{F900}-\x{FAFF}\x{2F800}-\x{2FA1F}"
_LETTER = r"[\p{Cased}&&[^\p{Case_Ignorable}]]"
# Python's `lower`, unlike the library's, knows the sigma that ends a word.
_LAST_SIGMA = rf"{_LETTER}\p{{Case_Ignorable}}*\KΣ(?!\p{{Case_Ignorable}}*{_LETTER})"
# The library's decomposition is older than this character.
_VOWEL_O, _ITS_PARTS = "\U00011938", "\U00011935\U00011930"


def google_normalizer(*, lowercase: bool, strip_accents: bool, clean_text: bool) -> normalizers.Normalizer:
    """Drop control characters; small letters; decompose and drop the marks."""
    steps: list[normalizers.Normalizer] = []
    if clean_text:
        steps.append(normalizers.Replace(Regex(_CONTROLS), ""))
    if lowercase:
        steps += [normalizers.Replace(Regex(_LAST_SIGMA), "ς"), normalizers.Lowercase()]
    if strip_accents:
        parts = normalizers.Replace(_VOWEL_O, _ITS_PARTS)
        steps += [parts, normalizers.NFD(), normalizers.Replace(Regex(r"\p{Mn}"), "")]
    return normalizers.Sequence(steps)


def google_splitter(*, handle_chinese_chars: bool) -> pre_tokenizers.PreTokenizer:
    """Words between white space, every punctuation mark and every CJK character a word of its own."""
    alone = f"[{_PUNCTUATION}{_CJK if handle_chinese_chars else ''}]"
    return pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(_SPACES), "removed"), pre_tokenizers.Split(Regex(alone), "isolated")]
    )
