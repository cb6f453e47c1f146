"""The `bertkit` command: commands load when they run, so that `--help` answers at once."""

from __future__ import annotations

import errno
import io
import math
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

from cyclopts import App, ArgumentCollection, CycloptsError, Parameter
from cyclopts.config import Yaml

from bertkit import __version__
from bertkit.core.errors import BertkitError, InputError, RankError, ResourceError, says_full_memory
from bertkit.core.files import unreadable
from bertkit.core.interrupts import Interrupts
from bertkit.core.machine import Launch
from bertkit.core.yaml_files import read_yaml
from bertkit.recipes.presets import RecipeName, recipe_file

if TYPE_CHECKING:
    from cyclopts.help import HelpPanel
    from rich.console import Console, ConsoleOptions

USER_ERROR = InputError.exit_code

_COMMANDS = {  # name: (file in cli/, summary)
    "demo": ("studies", "Run all steps on the documentation that comes with Python."),
    "vocab": ("prepare", "Train a WordPiece vocabulary."),
    "prepare": ("prepare", "Turn a corpus into memory-mapped shards of token ids."),
    "pretrain": ("pretrain", "Pre-train a BERT: masked LM and next-sentence prediction."),
    "plan": ("pretrain", "Estimate a pre-training run: size, batch, tokens, loss, memory, price."),
    "finetune": ("finetune", "Fine-tune a model on a benchmark or on your own table."),
    "glue": ("glue", "Fine-tune on every task of GLUE; compare with the paper."),
    "glue-submission": ("glue", "Write the zip file that the GLUE leaderboard takes."),
    "evaluate": ("evaluate", "Measure a fine-tuned model on labelled data."),
    "predict": ("predict", "Apply a fine-tuned model: labels, scores, answers, choices, entities."),
    "fill-mask": ("predict", "Fill in [MASK]."),
    "embed": ("embed", "Turn texts into vectors."),
    "features": ("embed", "Write the hidden states of any layers as features of texts or tokens."),
    "study": ("studies", "Compare methods by experiment."),
    "quantize": ("quantize", "Write a model with int8 weights for CPUs; measure what it loses."),
    "convert": ("convert", "Write a model in another format: Hugging Face's or TensorFlow 1's."),
    "export": ("export", "Write a model for other runtimes: ONNX or OpenVINO."),
    "doctor": ("doctor", "Check a prepared corpus, or count a model's parameters."),
}
_IN_MANY_PROCESSES = "pretrain"
_RESUMING = ("demo", "prepare", "pretrain", "finetune", "glue", "embed", "features", "study")
"""Commands that keep what is done when they are stopped."""
_NOT_RESUMING = "--static"
"""An option of theirs that does everything in one piece."""
_CONFIG_HELP = "YAML file with more options, one per line, such as `seeds: 5`; options on the command line override it."


def build_app(command: str | None = None) -> App:
    """The application. Commands are loaded on use; only the given `command` is loaded for its full help."""
    app = App(
        name="bertkit",
        help="BERT from raw text to a working model.",
        version=__version__,
        help_format="plaintext",
        help_formatter=_Help(),
    )
    for name, (module, summary) in _COMMANDS.items():
        help_of_it = None if name == command else summary
        app.command(f"bertkit.cli.{module}:{name.replace('-', '_')}", name=name, help=help_of_it)
    app.meta.default(_with_config(app))
    return app


class _Help:
    """Help without the line breaks of the source in its descriptions; what prints it is loaded when it is asked for."""

    def __call__(self, console: Console, options: ConsoleOptions, panel: HelpPanel) -> None:
        from cyclopts.help import DefaultFormatter
        from rich.text import Text

        entries = [
            entry.copy(description=Text(" ".join(entry.description.primary_renderable.plain.split())))
            for entry in panel.entries
        ]
        DefaultFormatter()(console, options, panel.copy(entries=entries))

    def render_usage(self, console: Console, options: ConsoleOptions, usage: Any) -> None:
        from cyclopts.help import DefaultFormatter

        DefaultFormatter().render_usage(console, options, usage)


def main(arguments: list[str] | None = None) -> None:
    """Run one command and exit: 0, a `BertkitError`'s code (its message is one line), or 130 or 143 after a signal."""
    sys.exit(run(sys.argv[1:] if arguments is None else arguments))


def run(arguments: list[str]) -> int:
    """Run one command and return the exit code."""
    launch = Launch.read()
    _degrade_encoding()
    with Interrupts() as interrupts:
        try:
            return _run(arguments, launch, interrupts)
        except BaseException as error:
            # Of several processes one may have ended already, which the others notice in their own ways.
            if interrupts.received is None and not isinstance(error, KeyboardInterrupt):
                raise
            return _interrupted(arguments, launch, interrupts.received or signal.SIGINT)


def _run(arguments: list[str], launch: Launch, interrupts: Interrupts) -> int:
    try:
        if launch.size > 1 and arguments[:1] != [_IN_MANY_PROCESSES]:
            raise InputError(
                f"only `bertkit {_IN_MANY_PROCESSES}` runs in several processes: start this command without torchrun"
            )
        start, bound, _ = build_app(next(iter(arguments), None)).meta.parse_args(
            arguments, exit_on_error=False, print_error=False
        )
        start(*bound.args, **bound.kwargs)
        sys.stdout.flush()  # here, where an error still has a line and an exit code
    except (BertkitError, CycloptsError) as error:
        if interrupts.received is not None:
            raise
        return _ended_by(error, launch)
    except BrokenPipeError:
        _drop_output()  # its reader has gone (`| head`)
        return 0
    except Exception as error:  # memory that lacks has any type, as libraries go on without it
        if interrupts.received is not None or (known := _of_the_system(error)) is None:
            raise
        try:
            sys.stdout.flush()
        except (OSError, ValueError):  # it is standard output that is full
            _drop_output()
        return _ended_by(known, launch)
    return 0


def _interrupted(arguments: list[str], launch: Launch, number: int) -> int:
    """Say what became of the command that a signal ended, and return the exit code that a shell gives such a signal."""
    if not launch.rank:
        word = "terminated" if number == signal.SIGTERM else "interrupted"
        resumes = arguments[:1] and arguments[0] in _RESUMING and _NOT_RESUMING not in arguments
        resumes = resumes or (arguments[:1] == ["predict"] and any(one.startswith("--output") for one in arguments))
        _say(f"{word}: give the same command again to resume" if resumes else word)
    return 128 + number


def _of_the_system(error: Exception) -> BertkitError | None:
    """What a program met that no part of bertkit has named: files, disks, memory; None for a mistake of bertkit's."""
    if says_full_memory(error):
        return ResourceError("the memory of this machine is full: use smaller sizes or less text")
    if isinstance(error, RecursionError):
        return InputError("the input is nested too deeply to be read: give lists and objects a few levels deep")
    if not isinstance(error, OSError):
        return None
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        where = error.filename or "the disk or of standard output"
        return ResourceError(f"no space left on {where} ({error.strerror}): free some or write elsewhere")
    return None if error.filename is None else unreadable(str(error.filename), error, "cannot be used")


def _drop_output() -> None:
    """Let nothing that is still to be printed be tried again, and fail again, when the interpreter ends."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _with_config(app: App) -> Callable[..., Any]:
    def start(
        *arguments: Annotated[str, Parameter(show=False, allow_leading_hyphen=True)],
        config: Annotated[Path | None, Parameter(help=_CONFIG_HELP)] = None,
    ) -> Any:
        if config is not None and not config.is_file():
            raise InputError(f"{config} does not exist: give --config a YAML file of options")
        given = (_recipe,) if config is None else (_ConfigFile(config, use_commands_as_keys=False), _recipe)
        app.config = (*given, _check_numbers)  # after all that gives options
        command, bound, not_parsed = app.parse_args(arguments, exit_on_error=False, print_error=False)
        asked = list(arguments) if config is None else [*arguments, "--config", str(config)]
        return command(*bound.args, **bound.kwargs, **dict.fromkeys(not_parsed, asked))

    return start


def _recipe(app: App, commands: tuple[str, ...], arguments: ArgumentCollection) -> None:
    """Options of the recipe that the command line or the file of options names, after the options of both."""
    named = [token.value for argument in arguments if argument.name == "--recipe" for token in argument.tokens]
    if named and named[-1] in get_args(RecipeName):  # another name is refused with the other options
        Yaml(recipe_file(named[-1]), use_commands_as_keys=False)(app, commands, arguments)


def _check_numbers(app: App, commands: tuple[str, ...], arguments: ArgumentCollection) -> None:
    """Refuse fractions where a whole number is asked for, which cyclopts rounds, and numbers that are none."""
    for argument in arguments:
        kinds = _plain_types(argument.hint)
        for token in argument.tokens if str not in kinds else ():
            if int in kinds and float not in kinds and _is_fraction(token.value):
                raise InputError(f"{argument.name} must be a whole number, got {token.value}")
            if float in kinds and token.value.strip().lower().lstrip("+-") == "nan":
                raise InputError(f"{argument.name} must be a number, got {token.value}")


def _plain_types(hint: Any) -> set[Any]:
    """The types that a hint such as `tuple[int, ...] | None` is made of."""
    parts = get_args(hint)
    return set().union(*map(_plain_types, parts)) if parts else {hint}


def _is_fraction(value: str) -> bool:
    try:
        return not value.strip().lstrip("+-").isdigit() and math.isfinite(float(value))
    except ValueError:  # no number at all, which is refused with the other options
        return False


class _ConfigFile(Yaml):
    """A file of options; raises `InputError` for what is no YAML or holds anything but options."""

    def _load_config(self, path: Path) -> dict[str, Any]:
        options = read_yaml(path, "correct it")
        for name, value in options.items():
            if isinstance(value, dict):
                raise InputError(
                    f"{path}: {name} has options below it ({', '.join(map(str, value))}): write each on a line without "
                    "indentation, by its name on the command line"
                )
        return options


def _ended_by(error: BertkitError | CycloptsError, launch: Launch) -> int:
    """Print the error, which the first of several processes does for all, and return its exit code."""
    cause = error.__cause__ if isinstance(error, CycloptsError) else error
    if launch.rank == 0 or isinstance(cause, RankError):
        _say(str(cause if isinstance(cause, BertkitError) else error))
    return cause.exit_code if isinstance(cause, BertkitError) else USER_ERROR


def _degrade_encoding() -> None:
    """A terminal or pipe that is not UTF-8 gets what it lacks as an escape, in place of an error."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _say(message: str) -> None:
    try:
        from bertkit.core.console import error_line
    except (MemoryError, OSError, ImportError):  # what shows it needs memory, too
        sys.stderr.write(f"bertkit: error: {ascii(message)[1:-1]}\n")
    else:
        error_line(message)
