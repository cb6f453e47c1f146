"""bertkit's own engine for x86-64 CPUs, in C: whole encoders over packed batches in float32, bf16 and int8, no torch.

`engine.h` says how the C files share the work: `blocks.c` and `amx.c` (inner loops of matrix products), `steps.c`
(what happens to rows between them), `attention.c`, `encoder.c` (the forward pass), `threads.c`, `cpu.c` (which
instructions there are; weights packed). `library.py` loads what was compiled, `linear.py` packs layers, `encoder.py` is
the encoder that Python calls.
"""
