"""Windows of SQuAD's training questions beside Transformers' usual way, in one run on the same tokenizer.

    python benchmarks/squad_features.py TOKENIZER DATA [--questions 10000] [--split train]

TOKENIZER is a folder with `tokenizer.json`, DATA the folder with SQuAD 1.1's files. The usual way is the one of
Transformers' question-answering example: the fast tokenizer on pairs with `return_overflowing_tokens`, `stride` and
offsets, then each answer's characters looked up in the offsets. Its stride is an overlap, ours (as in
google-research/bert) the distance of two windows; where a context is one window both must give the same tokens, and
the same characters as the answer, which is checked. `--questions` limits both to the first questions.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from machine import describe_machine, write_results

from bertkit.tasks.questions.files import Question, read_questions
from bertkit.tasks.questions.task import SpanExtraction
from bertkit.text.tokenizer import Tokenizer

MAX_LENGTH, STRIDE = 384, 128
_BATCH = 1000
"""Rows that the example's `map` hands to the tokenizer at once."""


def main() -> None:
    """Measure, compare, print and write the table."""
    import transformers

    arguments = _parse()
    path = next(arguments.data.glob(f"{arguments.split}-v1.1.json*"))
    questions = read_questions(path, SpanExtraction.usual_columns)
    if arguments.questions:
        questions = questions.take(range(arguments.questions))
    task = SpanExtraction(max_length=MAX_LENGTH, doc_stride=STRIDE, max_question_length=MAX_LENGTH)
    tokenizer = Tokenizer.from_pretrained(arguments.tokenizer)
    fast = transformers.AutoTokenizer.from_pretrained(arguments.tokenizer, use_fast=True)
    instances, ours = _timed(lambda: task.encode(questions, tokenizer))
    features, theirs = _timed(lambda: _usual_windows(fast, questions.items))
    same, inverted = _compare(instances, features)
    rows = [("bertkit", len(instances), *ours), ("Transformers", len(features), *theirs)]
    text = f"{len(questions):,} questions of {arguments.split}; {same:,} windows compared: the same tokens and answers"
    if inverted:
        text += f", but for {inverted:,} that are a context's last word, where the usual way starts at [SEP]"
    text += "\n\n| | windows | s | CPU s | questions/s |\n| --- | --- | --- | --- | --- |\n"
    text += "\n".join(
        f"| {name} | {count:,} | {wall:.1f} | {cpu:.1f} | {len(questions) / wall:,.0f} |"
        for name, count, wall, cpu in rows
    )
    machine = describe_machine("bertkit", "tokenizers", "transformers")
    command = f"python benchmarks/squad_features.py TOKENIZER DATA --questions {arguments.questions or len(questions)}"
    figures = [dict(zip(("name", "windows", "seconds", "cpu_seconds"), row, strict=True)) for row in rows]
    write_results(
        "squad_features",
        f"`{command}` on {machine}\n\n{text}",
        {
            "command": command,
            "machine": machine,
            "questions": len(questions),
            "compared": same,
            "inverted": inverted,
            "table": figures,
        },
    )


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tokenizer", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--questions", type=int, default=0, help="the first so many; all unless given")
    parser.add_argument("--split", default="train", choices=("train", "dev"))
    return parser.parse_args()


def _timed(work: Callable[[], Any]) -> tuple[Any, tuple[float, float]]:
    """The result, and seconds by the clock and of all cores."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = work()
    return result, (time.perf_counter() - wall, time.process_time() - cpu)


def _usual_windows(fast: Any, questions: Sequence[Question]) -> list[tuple[int, list[int], int, int]]:
    """(question, ids, first and last token of the answer) of each window."""
    features = []
    for start in range(0, len(questions), _BATCH):
        batch = questions[start : start + _BATCH]
        encoded = fast(
            [question.question for question in batch],
            [question.context for question in batch],
            truncation="only_second",
            max_length=MAX_LENGTH,
            stride=STRIDE,
            return_overflowing_tokens=True,
            return_offsets_mapping=True,
        )
        for number, (owner, offsets) in enumerate(
            zip(encoded["overflow_to_sample_mapping"], encoded["offset_mapping"], strict=True)
        ):
            first, last = _usual_target(batch[owner], encoded.sequence_ids(number), offsets)
            features.append((start + owner, encoded["input_ids"][number], first, last))
    return features


def _usual_target(question: Question, segments: list[int | None], offsets: list[tuple[int, int]]) -> tuple[int, int]:
    """The answer's tokens in a window, (0, 0) where it is not in there."""
    answer = question.answers[0]
    assert answer.start is not None
    start, stop = answer.start, answer.start + len(answer.text)
    first = segments.index(1)
    last = len(segments) - 1 - segments[::-1].index(1)
    if offsets[first][0] > start or offsets[last][1] < stop:
        return 0, 0
    while first < len(offsets) and offsets[first][0] <= start:
        first += 1
    while offsets[last][1] >= stop:
        last -= 1
    return first - 1, last + 1


def _compare(instances: Any, features: Sequence[tuple[int, list[int], int, int]]) -> tuple[int, int]:
    """Windows of contexts that are one window, and those where the usual way's answer starts after its end.

    Any other difference ends the run.
    """
    single: dict[int, list[tuple[int, list[int], int, int]]] = {}
    for feature in features:
        single.setdefault(feature[0], []).append(feature)
    counts = np.bincount(instances.owners)
    compared = inverted = 0
    for window, owner in enumerate(instances.owners.tolist()):
        if counts[owner] > 1 or len(single[owner]) > 1:
            continue
        _, ids, first, last = single[owner][0]
        if instances.sequences[window].input_ids.tolist() != ids:
            raise SystemExit(f"question {owner}: the tokens differ")
        compared += 1
        if first > last:
            inverted += 1
            continue
        offsets = instances.sequences[window].offsets
        ours = instances.targets[window].tolist()
        # By characters: one character may be several pieces, of which the usual way takes the last as the start.
        if (offsets[ours[0], 0], offsets[ours[1], 1]) != (offsets[first, 0], offsets[last, 1]):
            raise SystemExit(f"question {owner}: the targets differ: {ours}, {first, last}")
    return compared, inverted


if __name__ == "__main__":
    main()
