"""An interpreter of ML Programs (Core ML) in torch, for hosts without Core ML.

    program = coreml.read(Path("net.mlpackage"))
    outputs = program.run({"image": image})

It computes with the stored weights, runs every operation, and rounds results to fp16 where the program
declares it. It does not reproduce the arithmetic, speed or placement of the Neural Engine, and does not test
whether the compiler of Core ML accepts the file.
"""

from __future__ import annotations

from edgepack.emulator.coreml.ml_program import Function, Program, State, read

__all__ = ["Function", "Program", "State", "read"]
