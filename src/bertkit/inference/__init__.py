"""Loading a model folder and using it: predictions, filled masks, vectors, features, conversion; never training.

Public names: `load.load`, which gives a `predictor.Predictor`; `loaded_model.LoadedModel`, what it holds;
`engine.Engine`, the one forward loop, over a `backends.base.Backend`; `evaluation.evaluate`, `compute_logits` and
`tune` for a task's model, also one in training; `features.FeaturePlan`; `feature_layers` (layers by name, without
torch); `feature_file` and `prediction_file`, which write files of any size, with `bulk.BulkOptions` for who does the
work; `convert.convert`; `seen_ids.SeenIds`.
"""
