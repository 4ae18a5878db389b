"""Compression: a source becomes a smaller one by a recipe. Prune, recover, repair, quantize, search."""
