"""Training sequences of an epoch, drawn from sentence lengths only."""

from __future__ import annotations

from dataclasses import dataclass

from bertkit.data.draws import InstanceDraws
from bertkit.data.instance_plan import InstancePlan
from bertkit.data.prepared_corpus import PreparedCorpus
from bertkit.data.sentence_pairs import plan_pairs
from bertkit.data.single_segments import plan_segments
from bertkit.foundation.errors import InputError


@dataclass(frozen=True, kw_only=True)
class InstanceOptions:
    """How documents are cut into training sequences."""

    seq_length: int = 128
    """Longest sequence in tokens, special ones counted."""

    short_seq_prob: float = 0.1
    """Share of the documents whose sequences aim at a random shorter length."""

    next_sentence: bool = True
    """Pairs of segments for next-sentence prediction; otherwise one segment a sequence."""

    def __post_init__(self) -> None:
        if not 8 <= self.seq_length <= 1 << 14:
            raise InputError(f"seq_length must lie between 8 and {1 << 14}, got {self.seq_length}")
        if not 0 <= self.short_seq_prob <= 1:
            raise InputError(f"short_seq_prob must lie in [0, 1], got {self.short_seq_prob}")

    @property
    def num_special_tokens(self) -> int:
        """[CLS] and one [SEP] a segment."""
        return 3 if self.next_sentence else 2

    @property
    def max_num_tokens(self) -> int:
        """Longest sequence in tokens, special ones not counted."""
        return self.seq_length - self.num_special_tokens


def check_documents(corpus: PreparedCorpus, options: InstanceOptions) -> None:
    """Raise `InputError` where a corpus has fewer documents than its instances need."""
    if corpus.num_documents == 0:
        raise InputError(f"{corpus.folder} holds no documents: add text")
    if options.next_sentence and corpus.num_documents < 2:
        raise InputError(
            f"next-sentence prediction needs at least two documents and {corpus.folder} has one: "
            "put blank lines between documents, add documents, or use --no-nsp"
        )


def plan_epoch(corpus: PreparedCorpus, options: InstanceOptions, seed: int, epoch: int) -> InstancePlan:
    """Draw the instances of one epoch: a pure function of the corpus' sentence lengths and the arguments."""
    check_documents(corpus, options)
    plan = plan_pairs if options.next_sentence else plan_segments
    return plan(
        documents=corpus.documents,
        document_sentences=corpus.document_sentences,
        sentence_tokens=corpus.sentence_tokens,
        max_num_tokens=options.max_num_tokens,
        short_seq_prob=options.short_seq_prob,
        draws=InstanceDraws(seed, epoch),
    )
