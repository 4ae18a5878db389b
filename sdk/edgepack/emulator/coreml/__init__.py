"""Core ML's ML Programs evaluated in torch, where there is no Core ML.

    program = coreml.read(Path("net.mlpackage"))
    outputs = program.run({"image": picture})

It shows what the file computes: its weights as they are stored, every operation, fp16 rounded after each.
It cannot show the Neural Engine's own arithmetic, speed or placement, nor that Core ML's compiler takes
the file.
"""

from __future__ import annotations

from edgepack.emulator.coreml.ml_program import Function, Program, State, read

__all__ = ["Function", "Program", "State", "read"]
