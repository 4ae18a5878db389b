"""A classifier's answer in the evaluator."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgepack.silence import quiet

with quiet():
    import coremltools as ct
    from coremltools.converters.mil.mil import Builder as mb

    from edgepack.emulator import coreml


@pytest.mark.parametrize("classes", [["cat", "dog", "fish"], [7, 8, 9]])
def test_a_classifier_names_its_best_class(classes: list[str] | list[int], tmp_path: Path) -> None:
    path = tmp_path / "classifier.mlpackage"
    with quiet():
        program = mb.program(input_specs=[mb.TensorSpec(shape=(1, 3))], opset_version=ct.target.iOS16)(
            lambda x: mb.softmax(x=x, axis=-1)
        )
        ct.convert(
            program,
            convert_to="mlprogram",
            minimum_deployment_target=ct.target.iOS16,
            compute_precision=ct.precision.FLOAT32,
            classifier_config=ct.ClassifierConfig(classes),
            skip_model_load=True,
        ).save(str(path))
    shares = np.array([[0.2, 0.7, 0.1]], np.float32)
    label, scores = coreml.read(path).run({"x": np.log(shares)}).values()
    assert label == classes[1]
    assert scores == {name: pytest.approx(share) for name, share in zip(classes, shares[0].tolist())}
