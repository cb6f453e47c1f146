"""What the GLUE leaderboard wants, and what the paper got there."""

from __future__ import annotations

from dataclasses import dataclass

from bertkit.tasks.benchmarks import find_benchmark


@dataclass(frozen=True, kw_only=True)
class GlueEntry:
    """One file of a submission; but for the diagnostic set also one figure of a results table."""

    name: str
    """Of the file, without `.tsv`."""
    benchmark: str
    split: str = "test"
    """Which of the benchmark's unlabelled files it is about."""
    examples: int
    labels: tuple[str, ...] = ("0", "1")
    """In the leaderboard's spelling; none for a score."""
    fallback: str
    """What is predicted without a model: the largest class of the training set, or the mean of its scores."""
    metric: str | None = "accuracy"
    """The dev figure of the benchmark that the paper reports; None for the diagnostic set, which has no dev set."""
    base: float | None = None
    """Test score of the paper's BERT-base, in hundredths (Devlin et al. 2019, table 1)."""
    large: float | None = None
    score_range: tuple[float, float] | None = None
    """Of a task whose label is a score."""

    @property
    def model_of(self) -> str:
        """Benchmark that the model for this file was fine-tuned on."""
        return find_benchmark(self.benchmark).model_of or self.benchmark


_INFERENCE = ("contradiction", "entailment", "neutral")
_ENTAILMENT = ("entailment", "not_entailment")

GLUE = (
    GlueEntry(
        name="MNLI-m",
        benchmark="MNLI",
        split="test_matched",
        examples=9_796,
        labels=_INFERENCE,
        fallback="contradiction",
        base=84.6,
        large=86.7,
    ),
    GlueEntry(
        name="MNLI-mm",
        benchmark="MNLI",
        split="test_mismatched",
        examples=9_847,
        labels=_INFERENCE,
        fallback="contradiction",
        metric="accuracy_mismatched",
        base=83.4,
        large=85.9,
    ),
    GlueEntry(name="QQP", benchmark="QQP", examples=390_965, fallback="0", metric="f1", base=71.2, large=72.1),
    GlueEntry(
        name="QNLI",
        benchmark="QNLI",
        examples=5_463,
        labels=_ENTAILMENT,
        fallback="not_entailment",
        base=90.5,
        large=92.7,
    ),
    GlueEntry(name="SST-2", benchmark="SST-2", examples=1_821, fallback="1", base=93.5, large=94.9),
    GlueEntry(name="CoLA", benchmark="CoLA", examples=1_063, fallback="1", metric="matthews", base=52.1, large=60.5),
    GlueEntry(
        name="STS-B",
        benchmark="STS-B",
        examples=1_379,
        labels=(),
        fallback="2.701",
        metric="spearman",
        base=85.8,
        large=86.5,
        score_range=(0.0, 5.0),
    ),
    GlueEntry(name="MRPC", benchmark="MRPC", examples=1_725, fallback="1", metric="f1", base=88.9, large=89.3),
    GlueEntry(
        name="RTE", benchmark="RTE", examples=3_000, labels=_ENTAILMENT, fallback="entailment", base=66.4, large=70.1
    ),
    GlueEntry(name="WNLI", benchmark="WNLI", examples=146, fallback="0"),
    GlueEntry(name="AX", benchmark="AX", examples=1_104, labels=_INFERENCE, fallback="contradiction", metric=None),
)
"""In the order of the paper's table; WNLI, which the paper leaves out, and the diagnostic set come last."""
