"""The model as a package: `Model` runs it, `read` makes of a file what it is fed."""

from .model import Answer, Model
from .sample import Sample, SampleError, of_picture, of_text, read

__all__ = ["Answer", "Model", "Sample", "SampleError", "of_picture", "of_text", "read"]
