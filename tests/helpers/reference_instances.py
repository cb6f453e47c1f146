"""BERT's pre-training examples as a plain program over lists of tokens: the oracle of the static stream.

Written from the description of create_pretraining_data.py, one draw of `random.Random` for one draw there.
"""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass
from itertools import chain

Sentence = list[str]
Document = list[Sentence]


@dataclass(frozen=True)
class Instance:
    tokens: list[str]
    segments: list[int]
    positions: list[int]
    labels: list[str]
    is_random: bool


@dataclass(frozen=True)
class Procedure:
    vocabulary: list[str]
    seq_length: int = 128
    dupe_factor: int = 1
    short_seq_prob: float = 0.1
    masked_lm_prob: float = 0.15
    max_predictions_per_seq: int = 20
    whole_word: bool = False

    def run(self, documents: list[Document], rng: random.Random) -> list[Instance]:
        documents = list(documents)
        rng.shuffle(documents)
        instances = []
        for _ in range(self.dupe_factor):
            for own in range(len(documents)):
                instances += self.of_document(documents, own, rng)
        rng.shuffle(instances)
        return instances

    def of_document(self, documents: list[Document], own: int, rng: random.Random) -> list[Instance]:
        room = self.seq_length - 3
        target = rng.randint(2, room) if rng.random() < self.short_seq_prob else room
        waiting = deque(documents[own])
        instances = []
        while waiting:
            gathered = [waiting.popleft()]
            while waiting and sum(map(len, gathered)) < target:
                gathered.append(waiting.popleft())
            cut = 1 if len(gathered) == 1 else rng.randint(1, len(gathered) - 1)
            a, rest = list(chain(*gathered[:cut])), gathered[cut:]
            is_random = True if len(gathered) == 1 else rng.random() < 0.5
            if is_random:
                b = self.from_elsewhere(documents, own, target - len(a), rng)
                waiting.extendleft(reversed(rest))
            else:
                b = list(chain(*rest))
            a, b = shortened(a, b, room, rng)
            tokens = ["[CLS]", *a, "[SEP]", *b, "[SEP]"]
            segments = [0] * (len(a) + 2) + [1] * (len(b) + 1)
            instances.append(Instance(*self.masked(tokens, segments, rng), is_random))
        return instances

    @staticmethod
    def from_elsewhere(documents: list[Document], own: int, wanted: int, rng: random.Random) -> Sentence:
        tries = 1
        other = rng.randint(0, len(documents) - 1)
        while other == own and tries < 10:
            other = rng.randint(0, len(documents) - 1)
            tries += 1
        place = rng.randint(0, len(documents[other]) - 1)
        b = list(documents[other][place])
        for sentence in documents[other][place + 1 :]:
            if len(b) >= wanted:
                break
            b += sentence
        return b

    def masked(
        self, tokens: list[str], segments: list[int], rng: random.Random
    ) -> tuple[list[str], list[int], list[int], list[str]]:
        words: list[list[int]] = []
        for place, token in enumerate(tokens):
            if token in ("[CLS]", "[SEP]"):
                continue  # so a '##' piece behind [SEP] belongs to the word before it
            if self.whole_word and words and token.startswith("##"):
                words[-1] += [place]
            else:
                words += [[place]]
        rng.shuffle(words)
        wanted = min(self.max_predictions_per_seq, max(1, round(len(tokens) * self.masked_lm_prob)))
        after, chosen = list(tokens), set()
        for word in words:
            if len(chosen) == wanted:
                break
            if len(chosen) + len(word) <= wanted:
                for place in word:
                    chosen.add(place)
                    after[place] = self.replacement(tokens[place], rng)
        positions = sorted(chosen)
        return after, segments, positions, [tokens[place] for place in positions]

    def replacement(self, token: str, rng: random.Random) -> str:
        if rng.random() < 0.8:
            return "[MASK]"
        if rng.random() < 0.5:
            return token
        return self.vocabulary[rng.randint(0, len(self.vocabulary) - 1)]


def shortened(a: Sentence, b: Sentence, room: int, rng: random.Random) -> tuple[Sentence, Sentence]:
    a, b = list(a), list(b)
    while len(a) + len(b) > room:
        longer = a if len(a) > len(b) else b
        longer.pop(0 if rng.random() < 0.5 else -1)
    return a, b
