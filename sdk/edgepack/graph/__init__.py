"""A captured graph: its layers, tensor ranges, constant folding and palettes."""
