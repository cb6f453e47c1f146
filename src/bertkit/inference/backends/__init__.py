"""What runs a model. A backend is a file of its own that offers what `base.Backend` names; `Engine` takes any.

Public names: of `base`, `Backend`, the requests `PooledStates`, `TokenStates`, `LayerStates` and `HeadLogits`, and the
positions `TokensWithId`; `torch_packed.TorchPacked`, bertkit's own modules over packed batches.
"""
