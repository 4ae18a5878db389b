"""The contract of a model: what an app must feed it, and what it can read from it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, model_validator

from edgepack.contract.inputs import AudioInput, ImageInput, Input
from edgepack.contract.outputs import Output
from edgepack.toml import Strict


class State(Strict):
    """A tensor carried from call to call: an output of one call is an input of the next."""

    input: str
    """Name of the input that takes the tensor."""
    output: str
    """Name of the output that returns it."""
    initial: float = 0.0
    """Value of the whole input in the first call."""


class Contract(Strict):
    """Inputs and outputs of a model, in its order."""

    schema_number: Literal[2] = 2
    """Version of `contract.json`; `contract.schema.json`, in this folder, is its JSON Schema."""
    inputs: Annotated[tuple[Input, ...], Field(min_length=1)]
    """In the order in which the model takes them."""
    outputs: Annotated[tuple[Output, ...], Field(min_length=1)]
    """In the order in which the model returns them."""
    state: tuple[State, ...] = ()

    @model_validator(mode="after")
    def _consistent(self) -> Contract:
        names = [value.name for value in (*self.inputs, *self.outputs)]
        if len(set(names)) != len(names):
            raise ValueError(f"two inputs or outputs have one name: {', '.join(names)}")
        for state in self.state:
            self._check_state(state)
        for output in self.outputs:
            output.meaning.check(self.outputs)
        return self

    def _check_state(self, state: State) -> None:
        for name, values in ((state.input, self.inputs), (state.output, self.outputs)):
            names = [value.name for value in values]
            if name not in names:
                raise ValueError(f"state names '{name}', which is none of {', '.join(names)}")

    @property
    def image(self) -> ImageInput | None:
        """The image input, if it is the model's only input."""
        first = self.inputs[0]
        return first if isinstance(first, ImageInput) and len(self.inputs) == 1 else None

    @property
    def audio(self) -> AudioInput | None:
        """The audio input, if it is the model's only input apart from its state."""
        carried = {state.input for state in self.state}
        given = [value for value in self.inputs if value.name not in carried]
        first = given[0] if len(given) == 1 else None
        return first if isinstance(first, AudioInput) else None

    @property
    def classes(self) -> Output | None:
        """The first output, if it has one score per class."""
        return self.outputs[0] if self.outputs[0].kind == "classification" else None

    def with_output(self, output: Output) -> Contract:
        """This contract with another first output."""
        return self.model_copy(update={"outputs": (output, *self.outputs[1:])})

    @property
    def classifies(self) -> bool:
        """Whether the first output predicts a class, by scores or by its number."""
        return self.outputs[0].meaning.has_class

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the classes, from the first output that has them."""
        return next((output.labels for output in self.outputs if output.labels), ())

    @property
    def free_dims(self) -> tuple[str, ...]:
        """Names of the dimensions that may have any size."""
        dims = (dim for value in self.inputs for dim in value.shape if isinstance(dim, str))
        return tuple(dict.fromkeys(dims))

    def sized(self, sizes: Mapping[str, int]) -> Contract:
        """This contract with numbers in place of named dimensions."""
        inputs = []
        for value in self.inputs:
            shape = tuple(sizes.get(dim, dim) if isinstance(dim, str) else dim for dim in value.shape)
            is_free = shape != tuple(value.shape)
            inputs.append(value.model_copy(update={"shape": shape}) if is_free else value)
        return self.model_copy(update={"inputs": tuple(inputs)})
