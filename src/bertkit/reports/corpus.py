"""What `bertkit doctor` says of a prepared corpus, as a table and as a page."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from bertkit.data.corpus.overlap import SHORTEST_WORDS, WINDOW_WORDS, FileOverlap
from bertkit.data.instances.statistics import CorpusFigures, Lengths
from bertkit.reports.page import Block, Commands, Fact, Paragraph, Plots, Report, Section, Table
from bertkit.reports.plots import Axis, Bars, Series, plot

_OVERLAP = (
    f"A text of {WINDOW_WORDS} words or more overlaps if {WINDOW_WORDS} of them in a row stand in one document; one of "
    f"{SHORTEST_WORDS} to {WINDOW_WORDS - 1} if a sentence has exactly these words; shorter ones are not judged. Marks "
    "do not count, nor does case where the vocabulary has none."
)


@dataclass(frozen=True, kw_only=True)
class CorpusExamination:
    """A prepared folder, its figures, and its overlap with benchmark files."""

    folder: str
    figures: CorpusFigures
    overlap: Sequence[FileOverlap]

    def to_json(self) -> dict[str, Any]:
        """All figures."""
        overlap = [{**asdict(file), "share": file.share} for file in self.overlap]
        return {"data": self.folder, **asdict(self.figures), "overlap": overlap}

    def rows(self) -> list[tuple[str, str]]:
        """The figures as text, name and value."""
        f = self.figures
        found = f.duplicates
        rows = [
            ("documents, sentences, tokens", f"{f.documents:,}, {f.sentences:,}, {f.tokens:,}"),
            ("entries of the vocabulary in use", f"{f.entries_used:,} of {f.vocab_size:,}"),
            ("fertility, pieces a word", f"{f.fertility:.3f} ({f.words:,} words)"),
            ("[UNK]", f"{f.unknown_share:.4%} of tokens, {f.unknown_sentences:.3%} of sentences"),
            ("repeated sentences", f"{found.sentences:,} ({found.sentences / f.sentences:.2%})"),
            ("repeated documents", f"{found.documents:,} ({found.documents / f.documents:.2%})"),
        ]
        if found.dropped_sentences:
            rows.append(
                (
                    "left out by prepare",
                    f"{found.dropped_documents:,} documents, {found.dropped_sentences:,} sentences, "
                    f"{found.dropped_tokens:,} tokens",
                )
            )
        rows += [
            ("tokens a sentence", _lengths(f.sentence_tokens)),
            ("sentences a document", _lengths(f.document_sentences)),
            ("tokens a document", _lengths(f.document_tokens)),
            (
                "unigram entropy, where a broken run gets stuck",
                f"{f.unigram_entropy:.3f} nats (perplexity {math.exp(f.unigram_entropy):,.0f}); always "
                f"{f.most_frequent[0][0]!r} is right in {f.most_frequent[0][1]:.1%}",
            ),
        ]
        for s in f.sequences:
            pairs = f"random second segments {s.random_share:.1%}, " if s.next_sentence else "no pairs, "
            rows.append(
                (
                    f"sequences of up to {s.seq_length}",
                    f"{s.instances:,} an epoch, {pairs}{s.mean_tokens:.0f} tokens on average; padding would be "
                    f"{s.padding:.1%}, {s.batch_padding:.1%} a batch of 32",
                )
            )
        return rows


def corpus_report(examined: CorpusExamination) -> Report:
    """Lay out the page."""
    f = examined.figures
    longest = f.sequences[-1]
    facts = [
        Fact(value=f"{f.tokens:,}", label=f"tokens in {f.documents:,} documents"),
        Fact(value=f"{f.fertility:.2f}", label="pieces a word (fertility)"),
        Fact(value=f"{f.unknown_share:.2g}", label="share of [UNK] among the tokens"),
        Fact(value=f"{f.duplicates.sentences / f.sentences:.1%}", label="of sentences stood before"),
        Fact(value=f"{f.unigram_entropy:.2f}", label="unigram entropy: a loss that stays here is a broken run"),
        Fact(value=f"{longest.padding:.0%}", label=f"padding that others would have at {longest.seq_length}"),
    ]
    table = Table(head=("what", "how much"), rows=examined.rows(), text_columns=2)
    sections = [
        Section(title="All figures", blocks=[table]),
        _lengths_section(f),
        _words_section(f),
        _sequences_section(f),
        *([_overlap_section(examined.overlap)] if examined.overlap else []),
        Section(title="The same as text or JSON", blocks=[Commands(text=_commands(examined))]),
    ]
    return Report(
        title=f"The corpus in {examined.folder}",
        lead=f"{f.sentences:,} sentences as a model of {f.vocab_size:,} entries will see them.",
        facts=facts,
        sections=sections,
        footer="Written by `bertkit doctor`.",
    )


def _lengths(lengths: Lengths) -> str:
    return (
        f"{lengths.mean:.1f} on average, median {lengths.median:.0f}, 90 % up to {lengths.percentile_90:.0f}, "
        f"99 % up to {lengths.percentile_99:.0f}, longest {lengths.longest:,}"
    )


def _lengths_section(f: CorpusFigures) -> Section:
    svgs = [
        _length_plot("tokens a sentence", f.sentence_tokens, "sentence-tokens"),
        _length_plot("tokens a document", f.document_tokens, "document-tokens"),
    ]
    caption = "Share of sentences and of documents from one power of two up to the next."
    return Section(title="Lengths", blocks=[Plots(svgs=svgs, caption=caption)])


def _length_plot(label: str, lengths: Lengths, name: str) -> str:
    total = sum(lengths.counts)
    powers = range(len(lengths.counts) + 1)
    ticks = [(float(power), f"{2**power:,}") for power in powers if power % (1 + len(powers) // 7) == 0]
    bars = Bars(
        label=f"mean {lengths.mean:,.0f}",
        x=[power + 0.5 for power in powers[:-1]],
        y=[100 * count / total for count in lengths.counts],
        width=0.9,
    )
    return plot([bars], Axis(label=label, ticks=ticks), Axis(label="share, %"), name)


def _words_section(f: CorpusFigures) -> Section:
    ranks = [float(2**power) for power in range(len(f.frequencies)) if f.frequencies[power]]
    shares = [math.log10(count / f.tokens) for count in f.frequencies if count]
    ticks = [(rank, f"{rank:,.0f}") for rank in ranks[:: 1 + len(ranks) // 6]]
    zipf = plot(
        [Series(label="", x=ranks, y=shares)],
        Axis(label="rank of the entry", ticks=ticks, logarithmic=True),
        Axis(label="share of tokens, power of ten"),
        "frequencies",
    )
    bars = Bars(
        label="",
        x=[float(number) for number in range(1, len(f.pieces_of_words) + 1)],
        y=[100 * count / max(1, f.words) for count in f.pieces_of_words],
        width=0.9,
    )
    pieces = plot([bars], Axis(label="pieces"), Axis(label="share of words, %"), "pieces")
    rows = [(f"`{entry}`", f"{share:.2%}") for entry, share in f.most_frequent]
    blocks: list[Block] = [
        Plots(svgs=[pieces, zipf], caption="How many pieces words have, and how often entries stand in the text."),
        Table(head=("entry", "share of tokens"), rows=rows, caption="The most frequent entries."),
        Paragraph(
            text="The first share is what a model gets right that always says this entry; the unigram entropy is the "
            "masked-LM loss of one that knows how frequent entries are and nothing of the text around the mask. A run "
            "whose loss stays at it has not begun to learn: lower the learning rate, lengthen the warm-up, look at the "
            "data."
        ),
    ]
    return Section(title="Words", blocks=blocks)


def _sequences_section(f: CorpusFigures) -> Section:
    rows = [
        (
            f"{s.seq_length}",
            f"{s.instances:,}",
            f"{s.random_share:.1%}" if s.next_sentence else "no pairs",
            f"{s.mean_tokens:.1f}",
            f"{s.padding:.1%}",
            f"{s.batch_padding:.1%}",
        )
        for s in f.sequences
    ]
    table = Table(
        head=("length", "sequences", "random second", "tokens", "[PAD] to the length", "[PAD] in batches of 32"),
        rows=rows,
        caption="One epoch by BERT's procedure. More than half of the second segments are random where documents leave "
        "one sentence at their end. bertkit has no padding; the last two columns are what others would compute on.",
    )
    return Section(title="Training sequences", blocks=[table])


def _overlap_section(overlap: Sequence[FileOverlap]) -> Section:
    rows = [
        (
            file.file,
            f"{file.texts:,}",
            f"{file.overlapping:,}",
            f"{file.share:.2%}",
            " / ".join(map(_short, file.examples)),
        )
        for file in overlap
    ]
    table = Table(head=("file", "texts", "overlap", "share", "the first"), rows=rows)
    return Section(title="Overlap with benchmarks", blocks=[Paragraph(text=_OVERLAP), table])


def _short(text: str) -> str:
    return text if len(text) <= 100 else f"{text[:100]} …"


def _commands(examined: CorpusExamination) -> str:
    return f"bertkit doctor {examined.folder}\nbertkit doctor {examined.folder} --json"
