"""Pre-training and fine-tuning as a user runs them, made from the rooms below.

Other rooms import:

- `pretrain`: `pretrain`, `PretrainResult`; `estimate`: `plan_run`, `describe_run`, `RunOutcome`
- `finetune`: `finetune`; `finetune_result`: `FinetuneResult`, `SeedResult`; `grid`: `finetune_grid`, `GridResult`
- `finetune_seed`: `FinetuneLoader`, `FinetuneObjective`
- `options`: `PretrainOptions`, `FinetuneOptions`, `GridOptions`, `MachineCost`; `presets` (both without torch)
"""
