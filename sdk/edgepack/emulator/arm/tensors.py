"""Samples in the file format of the runners, which `native/samples.h` documents."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edgepack.arrays import Array, Sample


def write(samples: tuple[Sample, ...], path: Path) -> None:
    """Write samples for a runner."""
    with path.open("wb") as file:
        for sample in samples:
            for array in sample:
                plain = np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<"), copy=False)
                file.write(" ".join([array.dtype.name, *map(str, array.shape)]).encode() + b"\n")
                file.write(plain.tobytes())
            file.write(b"end\n")


def read(path: Path) -> tuple[Sample, ...]:
    """Read the samples that a runner wrote. Raises ValueError if the file is truncated."""
    samples: list[Sample] = []
    sample: list[Array] = []
    with path.open("rb") as file:
        for line in iter(file.readline, b""):
            if line == b"end\n":
                samples.append(tuple(sample))
                sample = []
                continue
            name, *sizes = line.decode("ascii").split()
            shape = tuple(int(size) for size in sizes)
            dtype = np.dtype(name).newbyteorder("<")
            data = file.read(dtype.itemsize * int(np.prod(shape, dtype=np.int64)))
            sample.append(np.frombuffer(data, dtype).reshape(shape).astype(dtype.newbyteorder("=")))
    if sample:
        raise ValueError(f"{path} ends within a sample")
    return tuple(samples)
