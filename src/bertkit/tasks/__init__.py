"""Tasks: what a kind of task must say, the kinds, the table of benchmarks, and the folder of a fine-tuned model.

A kind is one file here and one line in `kinds.py`; a benchmark is a row in `benchmarks.py`. Other rooms import:

- `contract`: `Task`, `TaskInstances`, `Scorer`, `Definition`, `LossShape`, `IGNORED`
- `kinds`: `KINDS`, `Kind`, `task_family`; `options`: `Columns`, `TableOptions`, `TaskOptions` (both without torch)
- `data`: `TaskData`, `read_task_data`; `benchmarks`: `BENCHMARKS`, `find_benchmark`; `glue`: `GLUE`
- `model`: `TaskModel`, `new_task_model`, `save_task_model`, `load_task_model`; `task_folder`: `load_task`, `has_task`
- `examples`: `Examples`, `hold_out`; `labelled`: `LabelledExamples`; `predictions`: `Prediction` and one for each kind
- the kinds themselves, for what is about one of them: `classification`, `multi_label`, `regression`, `choice`,
  `questions.task`, `tagging.task`
"""
