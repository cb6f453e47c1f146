"""What runs a model. A backend is a file of its own that offers what `base.Backend` names; `Engine` takes any.

Public names: of `base`, `Backend`, the requests `PooledStates`, `SequenceStates`, `TokenStates` and `HeadLogits`, and
the positions `TokensWithId`; `torch_packed.TorchPacked`, bertkit's own modules over packed batches. An engine speaks
NumPy: a backend gets `core.packing.PackedArrays` and gives float32 arrays.
"""
