"""Benchmarks: what edgepack costs beside plain export scripts, and what its files are worth.

    python -m benchmarks            time and memory of a build, held against plain scripts
    python -m benchmarks formats    size, accuracy and speed of every format and scheme
    python -m benchmarks peers      the same of the libraries' own int8 and palettes, beside edgepack's

Run them from the top of the checkout.
"""
