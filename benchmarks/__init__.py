"""Benchmarks: the cost of edgepack compared with plain export scripts, and the quality of its files.

    python -m benchmarks            time and memory of a build, compared with plain scripts
    python -m benchmarks formats    size, accuracy and speed of every format and scheme
    python -m benchmarks peers      the same for compression by the libraries themselves
    python -m benchmarks device     instructions of an inference on emulated ARM cores
    python -m benchmarks startup    duration of quick commands, compared with importing typer and pydantic

Run them in the root of the checkout.
"""
