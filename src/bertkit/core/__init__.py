"""What every other room stands on: files, devices, processes, randomness, packed batches; imports nothing of bertkit.

Other rooms import:

- `errors`: `BertkitError`, `InputError`, `ResourceError`, `MemoryLimitError`, `RankError`, `DivergedError`
- `files`: `atomic_path`, `atomic_folder`, `exclusive`, `remove_leftovers`, `full_disk_named`, `read_json`,
  `write_json`, `sha256`; `records`: `read_record`, `write_record`, `read_foreign`,
  `from_json`; `yaml_files`: `read_yaml`
- `outputs`, for what a user names: `output_file`, `output_folder`, `check_output_file`, `check_output_folder`
- `console`: `note`, `progress`, `ProgressBar`, `counted`, `format_duration`, `parse_duration`
- `interrupts`: `Interrupts`, `Terminated`
- `machine`: `Precision`, `InferencePrecision`, `WeightRange`, `Launch`, `available_memory`, `tune_allocator`
- `randomness`: `derive_key`, `generator`, `uniforms`, `mix64`, `GAMMA`
- `arrays`: `run_starts`, `run_bounds`, `run_positions`, `padded_runs`, `softmax`, `NpyAppender`; `packing`:
  `PackedArrays`, `token_budget_batches`; `lazy`: `lazy_module`
- `workers`: `EngineOptions`, `Engine`, `MachineShard`, `process_engine`, `CallProcesses`
- `checksums`: `check_sums`, `write_sums`; `arguments`: `checked`
- with torch: `batch` (`PackedBatch`, `pack`, `side_by_side`), `devices` (`default_device`,
  `token_budget`, `resolve_precision`, `autocast`, `seed_torch`, `full_memory_named`, `peak_memory`,
  `describe_machine`), `distributed` (`ProcessGroup`, `joined`)
"""
