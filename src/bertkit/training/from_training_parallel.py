"""How several processes share a model."""

from typing import Literal

Parallel = Literal["ddp", "fsdp"]
"""`ddp` keeps the model whole in every process; `fsdp` gives each a share of every weight, gradient and moment."""
