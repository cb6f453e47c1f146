import subprocess
import sys


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
