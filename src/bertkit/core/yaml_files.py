"""YAML files read; apart from `files` so that what reads none does not wait for PyYAML."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from bertkit.core.errors import InputError
from bertkit.core.files import unreadable


def read_yaml(path: str | Path, remedy: str) -> dict[str, Any]:
    """The options in a YAML file, by name.

    Raises `InputError` with the `remedy` for a file that cannot be read, is not YAML, or holds anything but options.
    """
    try:
        options = yaml.safe_load(Path(path).read_bytes())
    except OSError as error:
        raise unreadable(path, error) from None
    except yaml.MarkedYAMLError as error:
        line = "" if error.problem_mark is None else f", line {error.problem_mark.line + 1}"
        raise InputError(f"{path}{line} is not valid YAML ({error.problem}): {remedy}") from None
    except RecursionError:
        raise InputError(f"{path} is nested too deeply to be read: {remedy}") from None
    except (yaml.YAMLError, ValueError) as error:  # ValueError of dates that there are not, and of endless numbers
        raise InputError(f"{path} is not valid YAML ({' '.join(str(error).split())}): {remedy}") from None
    try:
        json.dumps(options, default=str, skipkeys=True)
    except ValueError:
        raise InputError(f"{path} has a list or an object within itself: {remedy}") from None
    if not isinstance(options, dict):
        raise InputError(f"{path} holds no options, one a line such as seeds: 5: {remedy}")
    if wrong := next((name for name in options if not isinstance(name, str)), None):
        raise InputError(f"{path}: the option {wrong!r} has no name: {remedy}")
    return options
