"""How files and options are spoilt: in their bytes, in their values, and in what kind of thing they are."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

BAD_OPTIONS = (
    *("", "x", "-1", "0", "1", "2.5", "1e30", "-1e30", "1e-30", "nan", "inf", "9" * 30, "9" * 400, "9" * 5000, "None"),
    *("true", "[]", "{}", "null", "../x", "/proc/x", "/dev/full", "/dev/null", "/", ".", "x" * 300, "a/" * 200 + "b"),
    *("\x1b[2J", "\u202e", "\udc80", "é" * 100, "a\nb", "*", "?[", "-", "--", "owner/name/x", "~", "%s", "{0}", "1,2"),
    *("-1,-2", "1:2", "1/2", "0/0", "30m", "0s", "9999999d", "bert", "all", "cuda", "out.npy/x", "out", "train.csv"),
)
BAD_VALUES: tuple[Any, ...] = (
    *(None, True, False, -1, 0, 1, 2, 2.5, 1e30, -1e308, 10**30, -(10**30), float("nan"), float("inf"), "", "x", "1"),
    *([], {}, [None], [[]], {"a": 1}, ["x", 1], "\x1b[2J", "\ud800", "é" * 300, "../../x", "x" * 3000, [1] * 2000, 7),
)


def mutate_file(path: Path, draw: random.Random) -> str:
    """Spoil a file and say how; what it is decides which ways there are."""
    ways: list[Callable[[Path, random.Random], str]] = [_bytes, _kind_of_thing]
    if path.suffix in (".json", ".jsonl"):
        ways += [_json_value] * 6
    elif path.suffix in (".yaml", ".yml"):
        ways += [_yaml_value] * 4
    elif path.suffix in (".csv", ".tsv", ".txt", ".conll"):
        ways += [_lines] * 4
    elif path.suffix == ".parquet":
        ways += [_parquet] * 4
    elif path.suffix == ".safetensors":
        ways += [_safetensors] * 4
    elif path.suffix == ".npy":
        ways += [_npy] * 3
    try:
        return draw.choice(ways)(path, draw)
    except (ValueError, LookupError, AttributeError, TypeError, RuntimeError, OSError, struct.error):  # spoilt already
        return _bytes(path, draw)


def _bytes(path: Path, draw: random.Random) -> str:
    data = bytearray(path.read_bytes())
    size = len(data)
    way = draw.choice(
        ("flip", "flips", "cut", "empty", "random", "insert", "remove", "double", "utf-16", "NUL", "grow")
    )
    if way in ("flip", "flips") and size:
        for _ in range(1 if way == "flip" else 20):
            data[draw.randrange(size)] ^= 1 << draw.randrange(8)
    elif way == "cut":
        del data[draw.randrange(size + 1) :]
    elif way == "empty":
        data.clear()
    elif way == "random":
        data[:] = draw.randbytes(draw.choice((1, 8, 100, 5000)))
    elif way == "insert":
        place = draw.randrange(size + 1)
        data[place:place] = draw.randbytes(draw.choice((1, 4, 64)))
    elif way == "remove":
        place = draw.randrange(size + 1)
        del data[place : place + draw.choice((1, 2, 8, 100))]
    elif way == "double":
        data *= 2
    elif way == "utf-16":
        data[:] = data.decode("utf-8", "replace").encode("utf-16")
    elif way == "NUL":
        data += bytes(draw.choice((1, 100, 5000)))
    elif way == "grow":
        data += bytes(data[-1:]) * 100_000
    path.write_bytes(bytes(data))
    return f"{way} of bytes"


def _kind_of_thing(path: Path, draw: random.Random) -> str:
    way = draw.choice(("missing", "folder", "dangling link", "circular link", "device", "unreadable", "socket"))
    if way == "unreadable":
        path.chmod(0)
        return way
    path.unlink()
    if way == "folder":
        path.mkdir()
    elif way == "dangling link":
        path.symlink_to("nowhere")
    elif way == "circular link":
        path.symlink_to(path.name)
    elif way == "device":
        path.symlink_to(os.devnull)
    elif way == "socket":
        os.mknod(path, 0o140644)
    return way


def _json_value(path: Path, draw: random.Random) -> str:
    text = path.read_text(encoding="utf-8")
    try:
        if path.suffix == ".jsonl":
            lines = text.splitlines()
            number = draw.randrange(len(lines))
            record, said = _with_bad_value(json.loads(lines[number]), draw)
            lines[number] = record if isinstance(record, str) else json.dumps(record)
            path.write_text("\n".join(lines) + "\n", encoding="utf-8")
            return f"line {number + 1}: {said}"
        record, said = _with_bad_value(json.loads(text), draw)
        path.write_text(record if isinstance(record, str) else json.dumps(record), encoding="utf-8")
    except (ValueError, IndexError):
        return _bytes(path, draw)
    return said


def _with_bad_value(record: Any, draw: random.Random) -> tuple[Any, str]:
    """The record with one value of it replaced, left out or added; as text where it is no JSON that can be made."""
    way = draw.choice(("replace",) * 6 + ("remove", "remove", "add", "deep", "digits", "top", "twice"))
    if way == "top":
        return draw.choice(BAD_VALUES), "another top level"
    if way == "deep":
        return "[" * 100_000, "100,000 brackets"
    places = [*_places(record)]
    if not places or way == "digits":
        return json.dumps(record).replace(":", ": " + "9" * 5000 + ",", 1) if way == "digits" else None, "5,000 digits"
    holder, key = draw.choice(places)
    if way == "remove":
        del holder[key]
        return record, f"{key!r} left out"
    if way == "add" and isinstance(holder, dict):
        holder["unknown"] = draw.choice(BAD_VALUES)
        return record, "an unknown key"
    if way == "twice":
        whole = json.dumps(record)
        return (whole[:-1] + "," + whole[1:] if whole.startswith("{") else whole), "all keys twice"
    holder[key] = draw.choice(BAD_VALUES)
    return record, f"{key!r} = {str(holder[key])[:40]!r}"


def _places(value: Any) -> Any:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield value, key
        yield from _places(inner)


def _yaml_value(path: Path, draw: random.Random) -> str:
    lines = path.read_text(encoding="utf-8").splitlines()
    values = (
        "",
        "x",
        "-1",
        "0",
        "2.5",
        "1e30",
        ".nan",
        ".inf",
        "[]",
        "{}",
        "[1, 2]",
        "{a: 1}",
        "null",
        "9" * 5000,
        "'x",
    )
    more = (
        "&a [*a]",
        "!!python/object/apply:os.system ['true']",
        "*unknown",
        "- " * 3000,
        "2020-01-01",
        "\t",
        "true",
        "@",
    )
    value = draw.choice(values + more)
    number = draw.randrange(len(lines)) if lines else 0
    if lines:
        lines[number] = re.sub(r":.*", lambda _: f": {value}", lines[number], count=1)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return f"line {number + 1} = {value[:40]!r}"


def _lines(path: Path, draw: random.Random) -> str:
    lines = path.read_text(encoding="utf-8").split("\n")
    number = draw.randrange(len(lines))
    mark = "\t" if path.suffix == ".tsv" else " " if path.suffix == ".conll" else ","
    cells = lines[number].split(mark)
    place = draw.randrange(len(cells))
    texts = (
        "",
        " ",
        '"',
        "nan",
        "x" * 20_000,
        "\x1b]0;t\x07",
        "\u202e",
        "\r",
        "\x00",
        "=1+1",
        "😀" * 500,
        "é" * 9,
        "1e999",
    )
    ways = (
        "cell",
        "cell",
        "cell",
        "more",
        "fewer",
        "gone",
        "twice",
        "quote",
        "mark",
        "header",
        "only",
        "blank",
        "bom",
        "cr",
    )
    way = draw.choice(ways)
    if way == "cell":
        cells[place] = draw.choice(
            (*texts, "[MASK]", "\ufeff", "\u2028", "\u0301" * 300, "B-", "-DOCSTART-", "0.5", "-1")
        )
        lines[number] = mark.join(cells)
    elif way == "more":
        lines[number] += mark + draw.choice(texts)
    elif way == "fewer":
        lines[number] = mark.join(cells[:place])
    elif way == "gone":
        del lines[number]
    elif way == "twice":
        lines[number] = mark.join([*cells, *cells])
    elif way == "quote":
        lines[number] = '"' + lines[number]
    elif way == "mark":
        lines = [line.replace(mark, draw.choice((";", "|", mark + mark))) for line in lines]
    elif way == "header":
        lines[0] = mark.join(["text"] * len(lines[0].split(mark)))
    elif way == "only":
        lines = lines[:1]
    elif way == "blank":
        lines = [""] * len(lines)
    path.write_text(
        ("\ufeff" * (way == "bom")) + ("\r" if way == "cr" else "\n").join(lines), encoding="utf-8", newline=""
    )
    return f"line {number + 1}: {way}"


def _parquet(path: Path, draw: random.Random) -> str:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pq.read_table(path, use_threads=False, pre_buffer=False)  # a thread would be lost in forked children
    names, count = table.column_names, table.num_rows
    columns = [table.column(name) for name in names]
    place = draw.randrange(len(names))
    ways: dict[str, Any] = {
        "nulls": pa.nulls(count),
        "null texts": pa.array([None] * count, pa.string()),
        "numbers": pa.array([1.5] * count),
        "not numbers": pa.array([float("nan")] * count),
        "lists": pa.array([["x", None]] * count),
        "structures": pa.array([{"a": 1}] * count),
        "bytes": pa.array([b"\xff\xfe"] * count),
        "dates": pa.array([10**18] * count, pa.timestamp("ns")),
        "dictionary": pa.array(["x y " * 1000] * count).dictionary_encode(),
        "one long": pa.array(["x " * 500_000] + ["x"] * (count - 1)),
        "truths": pa.array([True] * count),
        "controls": pa.array(["\x1b[2J\u202e"] * count),
    }
    way = draw.choice([*ways, "same name", "no rows", "no columns", "strange name"])
    if way in ways:
        columns[place] = ways[way]
    elif way == "same name":
        names = [names[place]] * len(names)
    elif way == "strange name":
        names[place] = "\x1b[2J"
    elif way == "no columns":
        names, columns = [], []
    spoilt = pa.table(columns, names=names)
    pq.write_table(spoilt.slice(0, 0) if way == "no rows" else spoilt, path)
    return f"{table.column_names[place]}: {way}"


def _safetensors(path: Path, draw: random.Random) -> str:
    data = path.read_bytes()
    (size,) = struct.unpack("<Q", data[:8])
    header, weights = json.loads(data[8 : 8 + size]), bytearray(data[8 + size :])
    names = [name for name in header if name != "__metadata__"]
    name = draw.choice(names)
    entry = header[name]
    ways = (
        "NaN",
        "infinity",
        "huge",
        "type",
        "shape",
        "offsets",
        "length",
        "gone",
        "renamed",
        "added",
        "zeros",
        "value",
    )
    way = draw.choice(ways)
    if way in ("NaN", "infinity", "huge", "zeros") and entry["dtype"] == "F32":
        first, stop = entry["data_offsets"]
        value = {"NaN": float("nan"), "infinity": float("inf"), "huge": 3e38, "zeros": 0.0}[way]
        count = (stop - first) // 4 if draw.random() < 0.5 else 1
        weights[first : first + 4 * count] = struct.pack("<f", value) * count
    elif way == "type":
        entry["dtype"] = draw.choice(("F16", "BF16", "I64", "F8_E4M3", "BOOL", "X", 1, None))
    elif way == "shape":
        entry["shape"] = draw.choice(
            ([], [0], [1], [10**18], [-1], entry["shape"][::-1], "x", [1.5], [1, *entry["shape"]])
        )
    elif way == "offsets":
        entry["data_offsets"] = draw.choice(([0, 0], [0, 10**18], [-1, 4], [8, 4], "x", [0]))
    elif way == "gone":
        del header[name]
    elif way == "renamed":
        header[draw.choice(("x", "\x1b[2J", "bert.encoder.layer.99.x", name.upper()))] = header.pop(name)
    elif way == "added":
        header["extra"] = {**entry}
    elif way == "value":
        header, _ = _with_bad_value(header, draw)
    text = (header if isinstance(header, str) else json.dumps(header)).encode("utf-8", "replace")
    length = draw.choice((0, 1, 2**63, len(text) + 1)) if way == "length" else len(text)
    path.write_bytes(struct.pack("<Q", length) + text + weights)
    return f"{name}: {way}"


def _npy(path: Path, draw: random.Random) -> str:
    data = path.read_bytes()
    old, new = draw.choice(
        (
            (b"descr", b"dexxr"),
            (b"<", b">"),
            (b"False", b"True "),
            (b"(", b"(9"),
            (b"u", b"O"),
            (b"i", b"f"),
            (b")", b",)"),
        )
    )
    path.write_bytes(data[:128].replace(old, new, 1) + data[128:])
    return f"header with {new!r} for {old!r}"


def remove(path: Path) -> None:
    """Remove a file, link or folder, whatever it has become."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
