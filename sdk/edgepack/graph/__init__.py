"""A captured graph: its layers, tensor ranges and palettes."""
