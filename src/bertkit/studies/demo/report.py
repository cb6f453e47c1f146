"""The demo's page."""

from __future__ import annotations

import math
from collections.abc import Sequence

from bertkit.reports.page import Commands, Fact, Matrix, Paragraph, Plots, Report, Section, Table
from bertkit.reports.plots import Axis, Series, plot
from bertkit.studies.demo.result import LARGEST_CLASS, METHODS, PRETRAINED, DemoResult
from bertkit.studies.learning_curve import CurveSummary

QUICK_NOTICE = "A quick run: it shows that every step works, but trains far too little for its scores to mean anything."


def demo_report(result: DemoResult) -> Report:
    """The page of a run of the demo."""
    few = _few_labels(result)
    facts = [
        Fact(value=f"{row.accuracy:.1%}", label=f"{method}, {row.examples:,} labelled sentences")
        for method in METHODS
        for row in [result.of(method, few)]
    ]
    minutes = sum(result.step_seconds.values()) / 60
    return Report(
        title="From the documentation of Python to a working BERT",
        notice="" if result.options.is_meaningful else QUICK_NOTICE,
        lead=(
            f"A vocabulary, a BERT and a classifier, trained on the documentation that this Python carries and nothing "
            f"else: {result.corpus.characters / 1e6:.1f} MB of English, {minutes:.1f} minutes, no network."
        ),
        facts=facts,
        sections=[
            _question(result),
            _curve(result),
            _pretraining(result),
            _masks(result),
            _confusion(result),
            _leaks(result),
            _next(result),
            _machine(result),
        ],
        footer="Written by `bertkit demo`. These scores, and those of every training, are in `results.json`.",
    )


def _few_labels(result: DemoResult) -> str:
    """The size that the top of the page shows: the largest one below "all", if there is one."""
    numbered = [size.name for size in result.options.sizes if size.per_class is not None]
    return (numbered or [result.options.sizes[-1].name])[-1]


def _question(result: DemoResult) -> Section:
    corpus = result.corpus
    rows = [
        (
            package,
            f"{corpus.train[package].modules}",
            f"{corpus.train[package].sentences:,}",
            f"{corpus.test[package].modules}",
            f"{corpus.test[package].sentences:,}",
        )
        for package in result.packages
    ]
    text = (
        f"The corpus has {corpus.documents:,} documents (the help topics of `pydoc` and the docstrings of each module "
        f"of the standard library) with {corpus.sentences:,} sentences. The classifier's task: which of "
        f"{len(result.packages)} packages is a sentence from? Every method is trained on the same labelled sentences "
        f"and scored on the same {len(result.test_labels):,} sentences, from modules that no method has seen."
    )
    table = Table(head=("package", "modules", "sentences", "test modules", "test sentences"), rows=rows)
    return Section(title="The task", blocks=[Paragraph(text=text), table])


def _curve(result: DemoResult) -> Section:
    rows = []
    for size in result.options.sizes:
        cells = [result.of(method, size.name) for method in METHODS]
        rows.append((size.name, f"{cells[0].examples:,}", *(_with_deviation(row) for row in cells)))
    gains = "; ".join(
        f"{size}: {100 * mean:+.1f} ± {100 * deviation:.1f} points"
        for size, (mean, deviation) in result.gains().items()
    )
    finetuning = result.options.finetuning
    text = (
        f"Accuracy that pre-training adds, by labels per class (mean ± standard deviation over the samples of one "
        f"size): {gains}. The pre-trained and the random network have the same size, samples and settings: learning "
        f"rate {finetuning.learning_rate:g}, batches of {finetuning.batch_size}, {finetuning.epochs} epochs but at "
        f"least {finetuning.min_steps} updates; the weights after the last update are scored. TF-IDF chooses between "
        f"words, characters and both, and the strength of its penalty, by validation on some of its labelled sentences."
    )
    return Section(
        title="Accuracy by number of labels",
        blocks=[
            Plots(
                svgs=[_curve_plot(result)],
                caption="Accuracy on unseen modules. Error bars are standard deviations over the samples of labels.",
            ),
            Table(
                head=("labels per class", "sentences", *METHODS),
                rows=rows,
                caption="Accuracy in percent, mean ± standard deviation over the samples of labels.",
            ),
            Paragraph(text=text),
        ],
    )


def _with_deviation(row: CurveSummary) -> str:
    mean = f"{100 * row.accuracy:.1f}"
    return f"{mean} ± {100 * row.accuracy_deviation:.1f}" if row.seeds > 1 else mean


def _curve_plot(result: DemoResult) -> str:
    series = []
    for number, method in enumerate(METHODS):
        rows = [row for row in result.summary if row.method == method]
        is_line = method == LARGEST_CLASS
        series.append(
            Series(
                label=method,
                x=[row.examples for row in rows],
                y=[100 * row.accuracy for row in rows],
                spread=None if is_line else [100 * row.accuracy_deviation for row in rows],
                dashed=is_line,
                colour=number,
            )
        )
    ticks = [(float(x), f"{x:,.0f}") for x in series[0].x]
    labels = Axis(label="labelled sentences", ticks=ticks, logarithmic=True)
    return plot(series, labels, Axis(label="accuracy, %"), "learning-curve")


def _pretraining(result: DemoResult) -> Section:
    model = result.options.pretraining.model
    training = result.options.pretraining.training
    held_out = result.held_out
    text = (
        f"{model.num_hidden_layers} layers of {model.hidden_size}, vocabulary {result.vocab_size:,}, "
        f"{result.tokens:,} tokens of text, {training.steps:,} updates of {result.options.pretraining.batch_size} "
        f"sequences. On modules that were held out: masked-LM perplexity {math.exp(held_out['masked_lm_loss']):.0f} "
        f"and {held_out['masked_lm_accuracy']:.1%} of the masked tokens right; next sentence "
        f"{held_out['next_sentence_accuracy']:.1%} right (guessing gives 50%)."
    )
    plots = [
        _loss_plot(result, "masked_lm_loss", "masked-LM loss", 1.0),
        _loss_plot(result, "next_sentence_accuracy", "next-sentence accuracy, %", 100.0),
    ]
    return Section(
        title="Pre-training",
        blocks=[
            Paragraph(text=text),
            Plots(
                svgs=plots,
                caption="Training masks more tokens than the 15 % of the held-out evaluation and uses dropout, so the "
                "two lines cannot be compared.",
            ),
        ],
    )


def _loss_plot(result: DemoResult, figure: str, label: str, factor: float) -> str:
    series = []
    for kind, name, title in (("train", figure, "training"), ("evaluation", f"held_out/{figure}", "held-out modules")):
        lines = [line for line in result.metrics if line["kind"] == kind and name in line]
        steps: Sequence[float] = [line["step"] for line in lines]
        series.append(Series(label=title, x=steps, y=[factor * line[name] for line in lines]))
    return plot(series, Axis(label="update"), Axis(label=label), figure)


def _masks(result: DemoResult) -> Section:
    rows = [
        (mask.text.replace("[MASK]", "`[MASK]`"), ", ".join(f"{token} {share:.0%}" for token, share in mask.fillings))
        for mask in result.filled_masks
    ]
    caption = "The most probable tokens, before any fine-tuning."
    table = Table(head=("sentence", "predictions for [MASK]"), rows=rows, caption=caption, text_columns=2)
    return Section(title="Filled masks", blocks=[table])


def _confusion(result: DemoResult) -> Section:
    size = result.options.sizes[-1].name
    caption = (
        f"Rows are the true packages, columns the predicted ones. The model is `{result.finetuned_model}` "
        f"({PRETRAINED}, {size} labels per class, the last sample)."
    )
    matrix = Matrix(labels=result.packages, counts=result.confusion(), caption=caption)
    return Section(title="Confusion matrix", blocks=[matrix])


def _leaks(result: DemoResult) -> Section:
    return Section(
        title="Why the test is fair",
        blocks=[
            Paragraph(
                text=f"{len(result.corpus.test_modules)} whole modules, chosen by a hash of their names, are set aside "
                f"for testing. No line of them is in the text for the vocabulary and pre-training, or among the "
                f"labelled sentences for training."
            ),
            Paragraph(
                text="A sentence is used as an example only if it occurs in a single document of the whole corpus. One "
                "that occurs elsewhere too, even with other case, digits or punctuation, is dropped. So no test "
                "sentence is in the pre-training text."
            ),
            Paragraph(
                text="The text of the training modules is also in the pre-training text, without labels, as it would "
                "be in practice. The demo's settings were chosen with other test modules."
            ),
        ],
    )


def _next(result: DemoResult) -> Section:
    own = (
        "bertkit vocab TEXT --size 16000 --out tokenizer\n"
        "bertkit prepare TEXT --tokenizer tokenizer --out prepared\n"
        "bertkit pretrain prepared --preset mini --steps 20000 --out pretraining\n"
        "bertkit finetune pretraining/model --train LABELS.csv --text text --label label --out finetuned\n"
        "bertkit predict finetuned/model --input NEW.txt"
    )
    this = (
        f'bertkit fill-mask {result.pretrained_model} "Return the [MASK] of the file."\n'
        f'bertkit predict {result.finetuned_model} "Add a handler to the root element of the tree."\n'
        f"bertkit evaluate {result.finetuned_model} --data {result.out / 'corpus' / 'test.jsonl'}\n"
        f'bertkit embed {result.pretrained_model} "one text" "another" --output vectors.npy'
    )
    return Section(
        title="Next commands",
        blocks=[
            Commands(text=this, caption="With the models of this run."),
            Commands(
                text=own,
                caption="With your own data: TEXT has a sentence a line and a blank line between documents (add "
                "`--lines paragraph` or `--lines document` if lines are longer), LABELS.csv the columns `text` and "
                "`label`.",
            ),
        ],
    )


def _machine(result: DemoResult) -> Section:
    rows = [(name, f"{seconds:.0f} s") for name, seconds in result.step_seconds.items()]
    rows.append(("total", f"{sum(result.step_seconds.values()):.0f} s"))
    table = Table(head=("step", "time"), rows=rows, caption=result.machine)
    return Section(title="Time and machine", blocks=[table])
