"""Evaluation: run a written model file, compare it with the float model, and check it."""
