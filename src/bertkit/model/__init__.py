"""The encoder of every architecture and its heads, over packed batches; knows no disk, no text and no training.

Public names: `config.BertConfig`, `config.ModernBertConfig`, `config.PRESETS` and `config.MODERN_PRESETS` (these need
no torch); `encoder.Encoder` and `encoder.EncoderOutput`; `architectures.architecture_of` and the functions there that
make heads; `architecture.Architecture`, which a new architecture fills; `pretraining.PretrainingModel`;
`initialization.initialize` and the `start_with_...` functions; `size.ParameterCounts` and `size.training_flops`.
"""
