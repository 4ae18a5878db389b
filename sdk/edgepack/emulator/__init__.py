"""Emulators: they run written model files where the device itself is not at hand."""
