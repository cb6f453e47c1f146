"""What torchrun says to the processes that it starts; needs no torch."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

_NAMES = ("RANK", "LOCAL_RANK", "WORLD_SIZE")


@dataclass(frozen=True, kw_only=True)
class Launch:
    """Which of how many processes this one is; the only one where nothing launched several."""

    rank: int = 0
    local_rank: int = 0
    """Among the processes of this machine."""
    size: int = 1
    restarts: int = 0
    """How often the launcher has started all of them anew."""
    address: str = ""
    """Where the processes meet, as host:port."""

    @classmethod
    def read(cls, environment: Mapping[str, str] = os.environ) -> Launch:
        """Take it from torchrun's variables."""
        if not all(name in environment for name in _NAMES):
            return cls()
        rank, local_rank, size = (int(environment[name]) for name in _NAMES)
        address = f"{environment.get('MASTER_ADDR', 'localhost')}:{environment.get('MASTER_PORT', '')}"
        restarts = int(environment.get("TORCHELASTIC_RESTART_COUNT", 0))
        return cls(rank=rank, local_rank=local_rank, size=size, restarts=restarts, address=address)
