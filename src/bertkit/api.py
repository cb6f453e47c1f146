"""What a program calls to do what the commands do: whole runs with their reports, and the data that they take.

A recipe knows no report and a report trains nothing: this floor, above both and below the command line, puts them
together. What needs no report is public where it is defined: `load`, `prepare`, `convert` and the like (`bertkit`
lists all names).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, overload

import torch

from bertkit.core.arguments import checked
from bertkit.core.console import note
from bertkit.core.devices import default_device
from bertkit.core.distributed import joined
from bertkit.core.errors import InputError
from bertkit.core.machine import InferencePrecision, Launch, tune_allocator
from bertkit.core.outputs import check_output_file
from bertkit.data.corpus.overlap import benchmark_files, text_overlap
from bertkit.data.corpus.prepared import PreparedCorpus
from bertkit.data.instances.statistics import corpus_figures
from bertkit.data.readers.sources import HubDataset, resolve_sources
from bertkit.data.readers.text import EncodingErrors
from bertkit.inference.backends.torch_int8 import replace_linears
from bertkit.pretrained.folder import ModelFolder
from bertkit.pretrained.models import BertWithHeads
from bertkit.recipes import finetune as finetune_recipe
from bertkit.recipes import pretrain as pretrain_recipe
from bertkit.recipes.finetune_result import FinetuneResult
from bertkit.recipes.grid import GridResult, finetune_grid
from bertkit.recipes.options import FinetuneOptions, GridOptions, MachineCost, PretrainOptions, QuantizeOptions
from bertkit.recipes.pretrain import PretrainResult
from bertkit.recipes.quantize import REPORT_FILE, QuantizeResult
from bertkit.recipes.quantize import quantize as quantize_recipe
from bertkit.recipes.quantize_check import Check, TaskCheck
from bertkit.recipes.quantize_texts import SENTENCES, read_texts, vector_check
from bertkit.reports.corpus import CorpusExamination, corpus_report
from bertkit.reports.evaluation.evaluated import Evaluated
from bertkit.reports.evaluation.pages import evaluation_page, write_grid_report, write_run_report
from bertkit.reports.page import write_report
from bertkit.reports.pretraining import write_pretraining_report
from bertkit.reports.quantization import quantization_page
from bertkit.tasks.benchmarks import find_benchmark
from bertkit.tasks.contract import Task, TaskInstances
from bertkit.tasks.data import TaskData, read_task_data
from bertkit.tasks.kinds import KINDS, task_family
from bertkit.tasks.model import TaskModel, load_task_model
from bertkit.tasks.options import Columns, TableOptions, TaskOptions, refuse_given
from bertkit.tasks.task_folder import has_task
from bertkit.text.tokenizer import Tokenizer


@checked
def pretrain(
    data: str | Path,
    out: str | Path,
    options: PretrainOptions,
    *,
    resume: bool | None = None,
    profile: bool = False,
    machine: MachineCost | None = None,
) -> PretrainResult:
    """Pre-train on the folder `data` that `prepare` wrote; write `out/model` and `out/report.html`.

    `resume` None resumes a run of the same options that is in `out`, True insists on one, False starts over. Under
    torchrun every process calls this alike. With a budget of time, what it buys is estimated first, in terms of
    `machine` too. `profile` records some early steps in `out/profile`. Raises `BertkitError`.
    """
    launch, out = Launch.read(), Path(out)
    with joined(launch) as group:
        result = pretrain_recipe.pretrain(
            Path(data),
            out,
            options,
            resume=None if launch.restarts else resume,  # what torchrun starts again is to be resumed
            group=group,
            profile=profile,
            machine=machine,
        )
        if group.is_main:
            result = replace(result, report=write_pretraining_report(result.run))
    return result


@checked
def read_tables(
    train: str | Path,
    dev: str | Path | None = None,
    test: str | Path | None = None,
    *,
    kind: str = "classification",
    table: TableOptions | None = None,
    options: TaskOptions | None = None,
    metrics: tuple[str, ...] | None = None,
) -> TaskData:
    """Read your own labelled tables or hub data set for `finetune`.

    `train` is a CSV, TSV, JSONL or Parquet file, SQuAD's JSON, or a column file as CoNLL's. Without `dev` a share of
    the training examples is held out. `kind` is classification, regression, span-extraction, multiple-choice,
    tagging or another of `bertkit.tasks.kinds`. The first of the `metrics` chooses the weights. Raises `InputError`.
    """
    if kind not in KINDS:
        raise InputError(f"kind {kind!r} is unknown: use one of {', '.join(KINDS)}")
    family, table = task_family(kind), table or TableOptions()
    table.check(family.kind, family.known_columns)
    return read_task_data(
        train,
        dev,
        test,
        family=family,
        columns=family.usual_columns.changed(table),
        options=options,
        metric_names=metrics,
    )


@checked
def read_benchmark(
    name: str, data: str | Path, *, options: TaskOptions | None = None, encoding_errors: EncodingErrors = "strict"
) -> TaskData:
    """Read the labelled splits of a benchmark, such as SST-2, from the folder of its files, for `finetune`."""
    return find_benchmark(name).data(Path(data), options, encoding_errors)


@overload
def finetune(
    model: str | Path,
    data: TaskData,
    out: str | Path,
    options: FinetuneOptions | None = None,
    *,
    grid: None = None,
    resume: bool | None = None,
) -> FinetuneResult: ...
@overload
def finetune(
    model: str | Path,
    data: TaskData,
    out: str | Path,
    options: FinetuneOptions | None = None,
    *,
    grid: GridOptions,
    resume: bool | None = None,
) -> GridResult: ...
@checked
def finetune(
    model: str | Path,
    data: TaskData,
    out: str | Path,
    options: FinetuneOptions | None = None,
    *,
    grid: GridOptions | None = None,
    resume: bool | None = None,
) -> FinetuneResult | GridResult:
    """Fine-tune the model folder or hub name `model`; write `out/model`, the best seed's, and `out/report.html`.

    `data` comes from `read_tables` or `read_benchmark`. With a `grid` every setting of it is tried, and the best one by
    dev is kept. `resume` None resumes a run of the same options that is in `out`, True insists on one, False starts
    over. Raises `BertkitError`.
    """
    model, out, options = Path(model), Path(out), options or FinetuneOptions()
    if grid is not None:
        found = finetune_grid(model, data, out, options, grid, resume=resume)
        return replace(found, best=replace(found.best, report=write_grid_report(found)))
    result = finetune_recipe.finetune(model, data, out, options, resume=resume)
    return replace(result, report=write_run_report(result))


@checked
def evaluate(
    model: str | Path,
    data: str | Path,
    *,
    task: str | None = None,
    split: str | None = None,
    table: TableOptions | None = None,
    micro_batch_tokens: int = 4096,
    precision: InferencePrecision = "auto",
    report: str | Path | None = None,
    overwrite: bool = False,
) -> Evaluated:
    """Measure a fine-tuned model on labelled `data`: a table, a hub data set, or the folder of a benchmark.

    A folder is read as the benchmark `task`, or the one that the model was fine-tuned on. `split` is train, dev or test
    of a benchmark (unless given, test where it has labels, else dev), or a hub split. `report` is a page to write, with
    what the model gets right and wrong; `overwrite` replaces what is there. `precision` "int8" computes on the CPU,
    and "auto" does so for an int8 folder. Raises `InputError`.
    """
    table = table or TableOptions()
    if report is not None and Path(report).suffix != ".html":
        raise InputError(f"{report} must end in .html: the report is a page")
    inputs = [model, data]
    if report is not None:
        check_output_file(report, inputs=inputs, overwrite=overwrite)
    tune_allocator()
    folder = ModelFolder.open(model)
    task_model, its_task = load_task_model(folder)
    tokenizer = Tokenizer.from_pretrained(folder.path)
    its_task, instances = _labelled(its_task, data, tokenizer, model=model, task=task, split=split, table=table)
    device = default_device()
    if precision == "int8" or (precision == "auto" and folder.int8 is not None):
        device, precision = torch.device("cpu"), "float32"
        replace_linears(task_model.bert, folder.int8_weights())
    found = Evaluated.of(task_model.to(device), its_task, instances, max_tokens=micro_batch_tokens, precision=precision)
    if report is not None:
        page = evaluation_page(found, model=Path(model), data=str(data))
        write_report(Path(report), page, inputs=inputs, overwrite=overwrite)
    return found


def _labelled(
    its_task: Task[Any],
    data: str | Path,
    tokenizer: Tokenizer,
    *,
    model: str | Path,
    task: str | None,
    split: str | None,
    table: TableOptions,
) -> tuple[Task[Any], TaskInstances[Any]]:
    """The examples of a benchmark's folder, a file or a hub data set, and the model's task with its metrics."""
    benchmark = task or (its_task.benchmark if Path(data).is_dir() else None)
    if benchmark is None:
        instances = _own_table(its_task, data, table, split, tokenizer)
    else:
        refuse_given(f"{benchmark} has columns of its own", {**table.columns, "header": table.header})
        row = find_benchmark(benchmark)
        if row.kind != its_task.kind:
            raise InputError(f"{row.name} is {row.kind}, but {model} was fine-tuned for {its_task.kind}")
        errors = table.encoding_errors or its_task.columns.encoding_errors
        examples = row.read(Path(data), split or ("test" if row.test else "dev"), errors)
        instances = its_task.encode(examples, tokenizer)
        its_task = replace(its_task, metric_names=row.metric_names or its_task.metric_names)
    for warning in instances.all_warnings:
        note(warning)
    return its_task, instances


@checked
def quantize(
    model: str | Path,
    out: str | Path,
    *,
    check: str | Path | None = None,
    task: str | None = None,
    split: str | None = None,
    table: TableOptions | None = None,
    options: QuantizeOptions | None = None,
    overwrite: bool = False,
) -> QuantizeResult:
    """Write the model folder or hub name `model` as the int8 folder `out`, with a report of what it loses.

    `check` is what the loss is measured on. For a fine-tuned model it is labelled data, read as `evaluate` reads it
    (`task`, `split`, `table`), and the loss is that of the task's first metric. For other models it is a text file, or
    a table whose column `table.text` has texts, and the loss is that of the texts' vectors. Without it the vectors of a
    few sentences of our own are compared. Layers that lose too much stay in float32; a model that loses more than
    `options.max_loss` all the same is not written. Raises `InputError`.
    """
    table, options, out = table or TableOptions(), options or QuantizeOptions(), Path(out)
    tune_allocator()
    folder = ModelFolder.open(model)
    tokenizer = Tokenizer.from_pretrained(folder.path)
    module: TaskModel | BertWithHeads
    what: Check
    if has_task(folder):
        module, its_task = load_task_model(folder)
    else:
        refuse_given(f"{folder.path} has no task", {"task": task, "split": split})
        module, report = BertWithHeads.from_folder(folder)
        report.show()
    if check is not None and isinstance(module, TaskModel):
        its_task, instances = _labelled(its_task, check, tokenizer, model=model, task=task, split=split, table=table)
        what = TaskCheck(task=its_task, instances=instances)
    else:
        if check is None:
            refuse_given("there is no --check", {"task": task, "split": split, **table.columns})
            note(f"no --check: the vectors of {len(SENTENCES)} built-in sentences are compared, a weak test")
        what = vector_check(folder, tokenizer, SENTENCES if check is None else read_texts(check, table))
    result = quantize_recipe(
        folder,
        module,
        tokenizer,
        what,
        out,
        options,
        data=f"{len(SENTENCES)} built-in sentences" if check is None else str(check),
        overwrite=overwrite,
    )
    write_report(out / REPORT_FILE, quantization_page(result))
    return result


def _own_table(
    task: Task[Any], data: str | Path, table: TableOptions, split: str | None, tokenizer: Tokenizer
) -> TaskInstances[Any]:
    """The examples of a file or hub data set; if only the labels are amiss, the error says so."""
    table.check(task.kind, task.known_columns)
    if not any(isinstance(source, HubDataset) for source in resolve_sources([data])):
        refuse_given(f"{data} has no splits", {"split": split})
    columns, split = task.columns.changed(table), split or "test"
    try:
        return task.encode(task.read(data, columns, split=split), tokenizer)
    except InputError as error:
        if _is_readable(task, data, columns, split):
            raise InputError(f"{error}; for a file without labels use bertkit predict") from None
        raise


def _is_readable(task: Task[Any], data: str | Path, columns: Columns, split: str) -> bool:
    """Whether there is nothing amiss but labels."""
    try:
        task.read(data, columns, split=split, labelled=False)
    except InputError:
        return False
    return True


@checked
def examine_corpus(
    data: str | Path,
    *,
    against: Sequence[str | Path] = (),
    report: str | Path | None = None,
    overwrite: bool = False,
) -> CorpusExamination:
    """What the folder that `prepare` wrote holds, in numbers, and which texts of benchmarks it has.

    `against` are folders or files of benchmarks; `report` is a page to write, with plots; `overwrite` replaces
    what is there. Raises `InputError`.
    """
    inputs = [data, *against]
    if report is not None:
        if Path(report).suffix != ".html":
            raise InputError(f"{report} must end in .html: the report is a page")
        check_output_file(report, inputs=inputs, overwrite=overwrite)
    files = benchmark_files(against)
    corpus = PreparedCorpus.open(Path(data))
    examined = CorpusExamination(
        folder=str(data), figures=corpus_figures(corpus), overlap=text_overlap(corpus, files) if files else []
    )
    if report is not None:
        write_report(Path(report), corpus_report(examined), inputs=inputs, overwrite=overwrite)
    return examined
