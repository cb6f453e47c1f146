"""Training of any model on any objective: the loop and its parts. Knows neither data nor tasks.

Other rooms import:

- `loop`: `train`, `accumulate_gradients`, `Watch` and `Advice`
- `step`: `Objective`, `LossTerm`, `Halving`, `StepFigures`
- `parallel`: `Replicas`, `compile_layers`, `recompute_layers`
- `optimizers`: `new_optimizer`, `ParameterSchedule`; `layerwise`: `layerwise_schedules`, `joining_epochs`, `freeze`
- `schedule`: `RunProgress`, `TrainingResult`, `ShortBudgetError`; `metrics`: `measure_matrix_peak`
- `run_folder`: `RunFolder`, `as_yaml`, `flat`; `options`: `TrainingOptions`, `OptimizerOptions` (both without torch)
"""
