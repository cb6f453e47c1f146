"""The `bertkit` command: commands load when they run, so that `--help` answers at once."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path
from typing import Any

import yaml
from cyclopts import App, CycloptsError
from cyclopts.config import Yaml

from bertkit import __version__
from bertkit.core.errors import BertkitError, InputError, RankError, ResourceError
from bertkit.core.machine import Launch
from bertkit.recipes.presets import recipe_file

USER_ERROR, INTERRUPTED = InputError.exit_code, 130

_COMMANDS = {  # name: (file in cli/, summary)
    "demo": ("studies", "Run the whole path on the documentation that every Python carries."),
    "vocab": ("prepare", "Train a WordPiece vocabulary."),
    "prepare": ("prepare", "Turn a corpus into memory-mapped shards of token ids."),
    "pretrain": ("pretrain", "Pre-train a BERT: masked LM and next-sentence prediction."),
    "plan": ("pretrain", "Foretell a pre-training run: size, batch, tokens, loss, memory, price."),
    "finetune": ("finetune", "Fine-tune a model on a benchmark or on your own table."),
    "glue": ("glue", "Fine-tune on every task of GLUE; a table beside the paper's."),
    "glue-submission": ("glue", "Make the zip that the GLUE leaderboard takes."),
    "evaluate": ("evaluate", "Measure a fine-tuned model on labelled data."),
    "predict": ("predict", "Apply a fine-tuned model: labels, scores, answers, choices, entities."),
    "fill-mask": ("predict", "Fill in [MASK]."),
    "embed": ("embed", "Turn texts into vectors."),
    "features": ("embed", "Write any layers' hidden states as features of texts or tokens."),
    "study": ("studies", "Compare parts and choices by experiment."),
    "convert": ("convert", "Write a model in another format: Hugging Face's or TensorFlow 1's."),
    "doctor": ("doctor", "Look into a prepared corpus, or count a model's parameters."),
}
_WITH_RECIPES = (["pretrain"], ["plan"])
_IN_MANY_PROCESSES = "pretrain"


def build_app() -> App:
    """The application with every command registered by name and loaded on use."""
    app = App(
        name="bertkit",
        help="BERT from raw text to a working model. Any command takes its options from a file: --config FILE.yaml",
        version=__version__,
        help_format="plaintext",
    )
    for name, (module, summary) in _COMMANDS.items():
        app.command(f"bertkit.cli.{module}:{name.replace('-', '_')}", name=name, help=summary)
    return app


def main(arguments: list[str] | None = None) -> None:
    """Run one command and exit: 0, a `BertkitError`'s code (its message is one line), or 130 after an interrupt."""
    sys.exit(run(sys.argv[1:] if arguments is None else arguments))


def run(arguments: list[str]) -> int:
    """Run one command and return the exit code."""
    app, launch, typed = build_app(), Launch.read(), arguments
    try:
        if launch.size > 1 and arguments[:1] != [_IN_MANY_PROCESSES]:
            raise InputError(
                f"only `bertkit {_IN_MANY_PROCESSES}` runs in several processes: start this command without torchrun"
            )
        arguments, config = _take_config(arguments)
        files = [file for file in (config, _recipe(arguments, config)) if file is not None]
        app.config = tuple(Yaml(file, use_commands_as_keys=False, must_exist=True) for file in files)
        command, bound, not_parsed = app.parse_args(arguments, exit_on_error=False, print_error=False)
        command(*bound.args, **bound.kwargs, **dict.fromkeys(not_parsed, typed))
    except (BertkitError, CycloptsError) as error:
        return _ended_by(error, launch)
    except MemoryError:
        return _ended_by(ResourceError("the memory of this machine is full: use smaller sizes or less text"), launch)
    except BrokenPipeError:
        # The reader has gone (`| head`): nothing more can be said, not even by the interpreter's last flush.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        if not launch.rank:
            _say("interrupted: if this command has a run or output folder, give it again to resume")
        return INTERRUPTED
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        return _ended_by(ResourceError(f"no space left on the disk ({error}): free some or write elsewhere"), launch)
    return 0


def _take_config(arguments: list[str]) -> tuple[list[str], Path | None]:
    for index, argument in enumerate(arguments):
        if argument == "--config":
            if index + 1 == len(arguments):
                raise InputError("--config needs a file: --config FILE.yaml")
            path, rest = Path(arguments[index + 1]), [*arguments[:index], *arguments[index + 2 :]]
        elif argument.startswith("--config="):
            path, rest = Path(argument.removeprefix("--config=")), [*arguments[:index], *arguments[index + 1 :]]
        else:
            continue
        if not path.is_file():
            raise InputError(f"{path} does not exist: give --config a YAML file of options")
        _options_in(path)
        return rest, path
    return arguments, None


def _recipe(arguments: list[str], config: Path | None) -> Path | None:
    """The options of the recipe that is named, which come after all others."""
    name = None
    for index, argument in enumerate(arguments):
        if argument == "--recipe" and index + 1 < len(arguments):
            name = arguments[index + 1]
        elif argument.startswith("--recipe="):
            name = argument.removeprefix("--recipe=")
    if name is None and config is not None and arguments[:1] in _WITH_RECIPES:
        name = _options_in(config).get("recipe")
    file = None if name is None else recipe_file(name)
    return file if file is not None and file.is_file() else None  # another name is refused with the other options


def _options_in(config: Path) -> dict[str, Any]:
    try:
        options = yaml.safe_load(config.read_bytes())
    except yaml.MarkedYAMLError as error:
        line = "" if error.problem_mark is None else f", line {error.problem_mark.line + 1}"
        raise InputError(f"{config}{line} is not valid YAML ({error.problem}): mend it") from None
    except yaml.YAMLError as error:
        raise InputError(f"{config} is not valid YAML ({error}): mend it") from None
    if not isinstance(options, dict):
        raise InputError(f"{config} holds no options: give one a line, such as seeds: 5")
    for name, value in options.items():
        if isinstance(value, dict):
            inner = ", ".join(map(str, value))
            raise InputError(
                f"{config}: {name} holds options of its own ({inner}): write each on a line without indentation, as it "
                "is called on the command line"
            )
    return options


def _ended_by(error: BertkitError | CycloptsError, launch: Launch) -> int:
    """Print the error, which the first of several processes does for all, and return its exit code."""
    cause = error.__cause__ if isinstance(error, CycloptsError) else error
    if launch.rank == 0 or isinstance(cause, RankError):
        _say(str(cause if isinstance(cause, BertkitError) else error))
    return cause.exit_code if isinstance(cause, BertkitError) else USER_ERROR


def _say(message: str) -> None:
    print(f"bertkit: error: {' '.join(message.split())}", file=sys.stderr)
