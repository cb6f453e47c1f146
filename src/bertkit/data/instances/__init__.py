"""What pre-training draws from a prepared corpus: instances, masks, batches; knows no model.

Other rooms import:

- `options`: `InstanceOptions`, `MaskingOptions`, `StageOptions`, `StaticOptions`; `stages`: `BatchPhase`,
  `plan_stages` (both without torch)
- `batches`: `PretrainingBatch`, `InstanceSource`; `loader`: `PhasedLoader`, `evaluation_batches`
- `drawn`: `DrawnInstances`, `FullSentences`; `sampling`: `check_documents`
- `fixed`: `open_prepared`, `Prepared`, `FixedInstances`; `google_files`: `prepare_static`, `InstanceManifest`
- `statistics`: `corpus_figures`, `CorpusFigures`, `Lengths`
"""
