from bertkit.text import long_lines
from bertkit.text.long_lines import with_breaks


def test_only_very_long_lines_get_spaces_and_only_before_most_ascii_punctuation_after_ascii(monkeypatch):
    assert with_breaks(b"a,b,c") == b"a,b,c"
    monkeypatch.setattr(long_lines, "_LONG_LINE_BYTES", 3)
    assert with_breaks("a,b\na,b.é,c".encode()) == "a,b\na ,b.é,c".encode()
