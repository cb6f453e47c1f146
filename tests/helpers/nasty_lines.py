"""Lines that the cleaning treats in ways of their own."""

from hypothesis import strategies as st

CORPUS = ["The fox's café, ΣΊΣΥΦΟΣ 中文 naïve [x] foxes | İstanbul e\u0301 한국어 # ##fox"] * 3
# Characters that the cleaning treats in ways of their own, and pieces of special tokens and of the separator.
NASTY = list(
    " \t\n\r\x00\x01\x0b\x1c\x1f\x85\xa0\xad\u0301\u0345\u200b\u2028\u3000\ufeff\ufffdΣσς中\U00020000한İ|#[]'-"
)
WORDS = ["[MASK]", "[CLS]", "##fox", "fox", "Café", "e\u0301", " \u0301e", " \x00 ", "xyz" * 40]
LINES = st.lists(
    st.lists(st.sampled_from(NASTY + WORDS) | st.characters(exclude_categories=["Cs"]), max_size=12).map("".join),
    max_size=6,
)
