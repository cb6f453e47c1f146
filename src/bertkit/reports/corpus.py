"""The report of `bertkit doctor` on a prepared corpus: as rows of text, as JSON and as a page."""

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
    f"A text of {WINDOW_WORDS} words or more overlaps if a document of the corpus has {WINDOW_WORDS} consecutive words "
    f"of it. A text of {SHORTEST_WORDS} to {WINDOW_WORDS - 1} words overlaps if a sentence of the corpus has exactly "
    "its words. Shorter texts are not counted. Punctuation is ignored, and so is case if the vocabulary is uncased."
)


@dataclass(frozen=True, kw_only=True)
class CorpusExamination:
    """A prepared folder, its statistics, and its overlap with benchmark files."""

    folder: str
    figures: CorpusFigures
    overlap: Sequence[FileOverlap]

    def to_json(self) -> dict[str, Any]:
        """All statistics."""
        overlap = [{**asdict(file), "share": file.share} for file in self.overlap]
        return {"data": self.folder, **asdict(self.figures), "overlap": overlap}

    def rows(self) -> list[tuple[str, str]]:
        """The statistics as text: name and value."""
        f = self.figures
        duplicates = f.duplicates
        rows = [
            ("documents, sentences, tokens", f"{f.documents:,}, {f.sentences:,}, {f.tokens:,}"),
            ("vocabulary entries that occur", f"{f.entries_used:,} of {f.vocab_size:,}"),
            ("fertility: tokens a word", f"{f.fertility:.3f} ({f.words:,} words)"),
            ("[UNK]", f"{f.unknown_share:.4%} of tokens, {f.unknown_sentences:.3%} of sentences"),
            ("duplicate sentences", f"{duplicates.sentences:,} ({duplicates.sentences / f.sentences:.2%})"),
            ("duplicate documents", f"{duplicates.documents:,} ({duplicates.documents / f.documents:.2%})"),
        ]
        if duplicates.dropped_sentences:
            rows.append(
                (
                    "dropped by prepare",
                    f"{duplicates.dropped_documents:,} documents, {duplicates.dropped_sentences:,} sentences, "
                    f"{duplicates.dropped_tokens:,} tokens",
                )
            )
        rows += [
            ("tokens a sentence", _lengths(f.sentence_tokens)),
            ("sentences a document", _lengths(f.document_sentences)),
            ("tokens a document", _lengths(f.document_tokens)),
            (
                "unigram entropy",
                f"{f.unigram_entropy:.3f} nats (perplexity {math.exp(f.unigram_entropy):,.0f}), the loss of a run that "
                f"does not learn; always predicting {f.most_frequent[0][0]!r} has accuracy {f.most_frequent[0][1]:.1%}",
            ),
        ]
        for s in f.sequences:
            pairs = f"{s.random_share:.1%} random second segments, " if s.next_sentence else "no pairs, "
            rows.append(
                (
                    f"sequences of up to {s.seq_length}",
                    f"{s.instances:,} an epoch, {pairs}{s.mean_tokens:.0f} tokens on average; padding would be "
                    f"{s.padding:.1%} at full length, {s.batch_padding:.1%} in batches of 32",
                )
            )
        return rows


def corpus_report(examined: CorpusExamination) -> Report:
    """The page of an examined corpus."""
    f = examined.figures
    longest = f.sequences[-1]
    facts = [
        Fact(value=f"{f.tokens:,}", label=f"tokens in {f.documents:,} documents"),
        Fact(value=f"{f.fertility:.2f}", label="tokens a word (fertility)"),
        Fact(value=f"{f.unknown_share:.2%}", label="of the tokens are [UNK]"),
        Fact(value=f"{f.duplicates.sentences / f.sentences:.1%}", label="of the sentences are duplicates"),
        Fact(
            value=f"{f.unigram_entropy:.2f}",
            label="nats of unigram entropy, the loss of a run that does not learn",
        ),
        Fact(value=f"{longest.padding:.0%}", label=f"padding that is avoided at length {longest.seq_length}"),
    ]
    table = Table(head=("statistic", "value"), rows=examined.rows(), text_columns=2)
    sections = [
        Section(title="Statistics", blocks=[table]),
        _lengths_section(f),
        _words_section(f),
        _sequences_section(f),
        *([_overlap_section(examined.overlap)] if examined.overlap else []),
        Section(title="As text or JSON", blocks=[Commands(text=_commands(examined))]),
    ]
    return Report(
        title=f"Corpus {examined.folder}",
        lead=f"{f.sentences:,} sentences, prepared with a vocabulary of {f.vocab_size:,} entries.",
        facts=facts,
        sections=sections,
        footer="Written by `bertkit doctor`.",
    )


def _lengths(lengths: Lengths) -> str:
    return (
        f"mean {lengths.mean:.1f}, median {lengths.median:,.0f}, 90th percentile {lengths.percentile_90:,.0f}, "
        f"99th percentile {lengths.percentile_99:,.0f}, longest {lengths.longest:,}"
    )


def _lengths_section(f: CorpusFigures) -> Section:
    svgs = [
        _length_plot("tokens a sentence", f.sentence_tokens, "sentence-tokens"),
        _length_plot("tokens a document", f.document_tokens, "document-tokens"),
    ]
    caption = "Share of the sentences and of the documents by length; each bar goes from one power of two to the next."
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
        Axis(label="rank of the vocabulary entry", ticks=ticks, logarithmic=True),
        Axis(label="log10 of its share of the tokens"),
        "frequencies",
    )
    bars = Bars(
        label="",
        x=[float(number) for number in range(1, len(f.pieces_of_words) + 1)],
        y=[100 * count / max(1, f.words) for count in f.pieces_of_words],
        width=0.9,
    )
    pieces = plot([bars], Axis(label="tokens of a word"), Axis(label="share of words, %"), "pieces")
    rows = [(f"`{entry}`", f"{share:.2%}") for entry, share in f.most_frequent]
    blocks: list[Block] = [
        Plots(
            svgs=[pieces, zipf],
            caption="Tokens that a word is split into, and frequency of vocabulary entries by rank.",
        ),
        Table(head=("entry", "share of tokens"), rows=rows, caption="The most frequent vocabulary entries."),
        Paragraph(
            text="The share of the most frequent entry is the accuracy of always predicting it. The unigram entropy is "
            "the masked-LM loss of a model that knows how frequent each entry is but does not read the context. If the "
            "loss of a run stays there, the run does not learn: lower the learning rate, lengthen the warm-up, or "
            "check the data."
        ),
    ]
    return Section(title="Vocabulary", blocks=blocks)


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
        head=("length", "sequences", "random second", "mean tokens", "[PAD] at full length", "[PAD] in batches of 32"),
        rows=rows,
        caption="One epoch of BERT's sampling. More than half of the second segments are random if many documents end "
        "with a single sentence that is left over. bertkit computes no padding; the last two columns are the share of "
        "[PAD] that padded batches would have.",
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
    table = Table(head=("file", "texts", "overlap", "share", "first matches"), rows=rows)
    return Section(title="Overlap with benchmarks", blocks=[Paragraph(text=_OVERLAP), table])


def _short(text: str) -> str:
    return text if len(text) <= 100 else f"{text[:100]} …"


def _commands(examined: CorpusExamination) -> str:
    return f"bertkit doctor {examined.folder}\nbertkit doctor {examined.folder} --json"
