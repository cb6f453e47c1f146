import subprocess
import sys
from pathlib import Path

import pytest

from bertkit.core.errors import InputError
from bertkit.core.lazy import import_working, lazy_module


def test_a_lazy_module_is_imported_when_something_of_it_is_used():
    script = (
        "import sys\n"
        "from bertkit.core.lazy import lazy_module\n"
        "colors = lazy_module('colorsys')\n"
        "assert 'colorsys' not in sys.modules\n"
        "assert colors.rgb_to_hsv is sys.modules['colorsys'].rgb_to_hsv\n"
        "assert not hasattr(colors, 'nothing')\n"
    )
    done = subprocess.run([sys.executable, "-c", script], check=False, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    "error", ["ImportError('libmissing.so: no such file\\nmore')", "OSError('libmissing.so: no such file')"]
)
def test_a_package_that_is_damaged_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: str):
    (tmp_path / "damaged_package.py").write_text(f"raise {error}")
    monkeypatch.syspath_prepend(tmp_path)
    for use in (lambda: import_working("damaged_package"), lambda: lazy_module("damaged_package").something):
        with pytest.raises(InputError) as caught:
            use()
        assert str(caught.value) == (
            "damaged_package cannot be imported (libmissing.so: no such file): install it again"
        )


def test_a_package_that_finds_no_memory_is_not_called_damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "large_package.py").write_text("raise ImportError('failed to map segment from shared object')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ImportError, match="failed to map segment"):
        import_working("large_package")
