"""A bad model folder is one line on standard error and exit code 2, whichever command meets it."""

import pickle
import shutil
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from bertkit.cli.main import USER_ERROR, run
from bertkit.core.files import read_json, write_json

WEIGHTS, PICKLE = "model.safetensors", "pytorch_model.bin"


class _Payload:
    def __init__(self, sign: Path) -> None:
        self.sign = sign

    def __reduce__(self):
        return Path.touch, (self.sign,)


def _no_weights(folder: Path) -> None:
    (folder / WEIGHTS).unlink()


def _another_architecture(folder: Path) -> None:
    write_json(folder / "config.json", read_json(folder / "config.json") | {"model_type": "t5"})


def _wrong_shape(folder: Path) -> None:
    write_json(folder / "config.json", read_json(folder / "config.json") | {"hidden_size": 24})


def _nan(folder: Path) -> None:
    tensors = load_file(folder / WEIGHTS)
    tensors["bert.embeddings.word_embeddings.weight"][3, 3] = float("nan")
    save_file(tensors, folder / WEIGHTS)


def _another_vocabulary(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()
    with (folder / "vocab.txt").open("a") as file:
        file.write("".join(f"word{number}\n" for number in range(300)))


def _truncated(folder: Path) -> None:
    content = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes(content[: len(content) // 2])


def _payload(folder: Path) -> None:
    (folder / WEIGHTS).unlink()
    (folder / PICKLE).write_bytes(pickle.dumps({"x": _Payload(folder / "it-ran")}))


def _missing_part(folder: Path) -> None:
    names = dict.fromkeys(load_file(folder / WEIGHTS), "model-00002-of-00002.safetensors")
    (folder / WEIGHTS).unlink()
    write_json(folder / f"{WEIGHTS}.index.json", {"weight_map": names})


DAMAGES = {
    "no weights": (_no_weights, "has no weights"),
    "another architecture": (_another_architecture, "'t5'"),
    "wrong shape": (_wrong_shape, "do not belong together"),
    "NaN": (_nan, "NaN or infinite"),
    "a truncated file": (_truncated, "is not a whole safetensors file"),
    "another vocabulary": (_another_vocabulary, "entries"),
    "a pickle that wants to run code": (_payload, "not opened"),
    "a missing part": (_missing_part, "model-00002-of-00002.safetensors, not in the folder"),
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("command", ["embed", "fill-mask", "convert"])
def test_every_command_says_what_is_wrong(tiny_model: Path, tmp_path: Path, capsys, damage: str, command: str):
    folder, out = tmp_path / "model", tmp_path / "out.npy"
    shutil.copytree(tiny_model, folder, ignore=shutil.ignore_patterns("SHA256SUMS"))  # another program's
    DAMAGES[damage][0](folder)
    arguments = {
        "embed": ["embed", str(folder), "a film", "--output", str(out)],
        "fill-mask": ["fill-mask", str(folder), "a [MASK]"],
        "convert": ["convert", str(folder), str(out)],
    }[command]
    assert run(arguments) == USER_ERROR
    lines = capsys.readouterr().err.splitlines()
    assert [line for line in lines if line.startswith("bertkit: error: ")] == lines
    assert len(lines) == 1
    assert DAMAGES[damage][1] in lines[0]
    assert not out.exists()
    assert not (folder / "it-ran").exists()


@pytest.mark.parametrize("damage", DAMAGES)
def test_fine_tuning_leaves_no_folder_that_would_refuse_the_mended_model(
    tiny_model: Path, tmp_path: Path, capsys, damage: str
):
    folder, out, table = tmp_path / "model", tmp_path / "run", tmp_path / "in.csv"
    table.write_text("text,label\n" + "a good film,up\na bad film,down\n" * 10)
    shutil.copytree(tiny_model, folder, ignore=shutil.ignore_patterns("SHA256SUMS"))  # another program's
    DAMAGES[damage][0](folder)
    arguments = ["finetune", str(folder), "--train", str(table), "--out", str(out), "--epochs", "1"]
    assert run(arguments) == USER_ERROR
    error = capsys.readouterr().err
    assert DAMAGES[damage][1] in error
    assert error.count("\n") == 1
    assert not out.exists()
    shutil.rmtree(folder)
    shutil.copytree(tiny_model, folder, ignore=shutil.ignore_patterns("SHA256SUMS"))  # another program's
    assert run([*arguments, "--max-length", "12"]) == 0


def test_a_payload_does_run_where_nothing_stops_it(tmp_path: Path):
    (tmp_path / PICKLE).write_bytes(pickle.dumps({"x": _Payload(tmp_path / "it-ran")}))
    pickle.loads((tmp_path / PICKLE).read_bytes())
    assert (tmp_path / "it-ran").exists()
