"""Modules that are imported when something of theirs is used: torch on the ways of inference that may not need it."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any

from bertkit.core.errors import InputError, says_full_memory


class _LazyModule(ModuleType):
    """Stands in for a module inside the file that asked for it; `sys.modules` has the real one once it is there."""

    def __getattr__(self, name: str) -> Any:
        found = getattr(import_working(self.__name__), name)
        setattr(self, name, found)  # the next access does not come here
        return found


def import_working(name: str) -> ModuleType:
    """Import a package, or a module of bertkit that needs one; raises `InputError` where the package is damaged.

    A library of the system that it needs may be missing, it may be half installed, or of versions that do not fit.
    """
    try:
        return import_module(name)
    except (ImportError, OSError) as error:
        if says_full_memory(error):
            raise
        package = (getattr(error, "name", None) or name).partition(".")[0]
        said = str(error).strip().partition("\n")[0]
        if package == "bertkit" and name.startswith("bertkit."):
            package = f"a package that {name} needs"
        raise InputError(f"{package} cannot be imported ({said}): install it again") from error


def lazy_module(name: str) -> Any:
    """A stand-in for the module `name`, which is imported with the first attribute that is asked for.

    Types come from the real module under `TYPE_CHECKING`:

        if TYPE_CHECKING:
            import torch
        else:
            torch = lazy_module("torch")

    `importlib.util.LazyLoader` is not used, for it puts an empty torch into `sys.modules`, where other libraries look
    to find out whether there is one.
    """
    return _LazyModule(name)


def is_installed(*names: str) -> bool:
    """Whether all these packages are there; none of them is imported, so one that is damaged counts too."""
    return all(find_spec(name) is not None for name in names)
