"""The precisions a user can ask for."""

from typing import Literal

Precision = Literal["auto", "bf16", "float32"]
"""`auto` is bf16 where the device multiplies it in hardware, else float32."""
