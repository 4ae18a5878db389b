"""What models return besides tensors: opened, or left out and told."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, NamedTuple

import pytest
import torch

from edgepack.errors import SourceError
from edgepack.model.outputs import flattened

A, B = torch.zeros(1), torch.ones(1)


@dataclass
class Record:
    logits: Any
    extra: Any


class Named(NamedTuple):
    logits: Any
    extra: Any


class Opaque:
    pass


@pytest.mark.parametrize(
    ("returned", "paths", "notes"),
    [
        (A, [""], ()),
        ((A, None), ["[0]"], ("output '[1]' is None: it is left out",)),
        ([A, B], ["[0]", "[1]"], ()),
        (Record(A, B), ["logits", "extra"], ()),
        (Named(A, None), ["logits"], ("output 'extra' is None: it is left out",)),
        (OrderedDict(logits=A, extra=(A, B)), ["logits", "extra[0]", "extra[1]"], ()),
        ({"a": A, "b": {"c": Record(B, 0.5)}}, ["a", "b.c.logits"], ("output 'b.c.extra' is a float (0.5)",)),
        ({"a b": A, "a-b": B}, ["a b", "a-b"], ()),
        ({0: A}, ["0"], ()),
        ({"x": A, "cache": Opaque()}, ["x"], ("output 'cache' is an Opaque, not a tensor",)),
        (torch.return_types.max((A, B)), ["[0]", "[1]"], ()),
    ],
)
def test_tensors_are_found_and_the_rest_is_told(
    returned: Any, paths: list[str], notes: tuple[str, ...]
) -> None:
    found = flattened(returned)
    assert all(isinstance(leaf.value, torch.Tensor) for leaf in found.tensors)
    assert [leaf.path for leaf in found.tensors] == paths
    assert len(found.notes) == len(notes)
    assert all(said.startswith(words) for said, words in zip(found.notes, notes))


@pytest.mark.parametrize(
    ("returned", "words"),
    [
        ("cat", "the output is a str ('cat')"),
        ((), "it returns nothing"),
        ({"scale": 1.5, "more": [None]}, "output 'scale' is a float (1.5); output 'more[0]' is None"),
    ],
)
def test_a_model_without_tensors_is_refused(returned: Any, words: str) -> None:
    with pytest.raises(SourceError) as raised:
        flattened(returned)
    assert words in str(raised.value)
