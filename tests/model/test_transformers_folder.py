"""Folders of transformers: the model with its head, its contract, and what cannot be loaded."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from toy_models import load, refused, work_folder

from edgepack.contract import ImageInput, TensorInput
from edgepack.model import torchvision_operators
from edgepack.model.inference import tensors
from edgepack.silence import quiet

torchvision_operators.declare()
with quiet():
    transformers: Any = pytest.importorskip("transformers")
SMALL = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    with quiet():
        transformers.logging.disable_progress_bar()
        yield work_folder(tmp_path, monkeypatch)


def saved(kind: str, configuration: Any, path: Path) -> Any:
    """A model with drawn weights, in a folder that transformers wrote."""
    torch.manual_seed(0)
    with quiet():
        model = getattr(transformers, kind)(configuration).eval()
        model.save_pretrained(path)
    return model


def bert(**keys: Any) -> Any:
    return transformers.BertConfig(vocab_size=50, max_position_embeddings=24, **SMALL, **keys)


def test_a_text_classifier_with_its_labels_and_a_mask(folder: Path) -> None:
    model = saved(
        "BertForSequenceClassification", bert(id2label={0: "bad", 1: "good", 2: "so so"}), folder / "t"
    )
    found = load("t", ())
    assert [(each.name, each.shape) for each in found.contract.inputs] == [
        ("input_ids", (1, 24)),
        ("attention_mask", (1, 24)),
    ]
    assert all(isinstance(each, TensorInput) and each.dtype == "int64" for each in found.contract.inputs)
    assert found.contract.classes is not None
    assert found.contract.classes.labels == ("bad", "good", "so so")
    assert (found.contract.classes.name, found.contract.classes.activation) == ("logits", "softmax")
    ids, mask = tensors(found.evaluation.inputs[0])
    with torch.no_grad():
        wanted = model(input_ids=ids, attention_mask=mask).logits.numpy()
    np.testing.assert_allclose(found.reference[0][0], wanted, atol=1e-5)
    (again,) = found.exported.module()(ids, mask)
    np.testing.assert_allclose(again.detach().numpy(), wanted, atol=1e-5)
    assert any("texts of 24 tokens" in note for note in found.notes)


def test_inputs_of_the_user_and_a_reference_with_hf(folder: Path) -> None:
    model = saved("BertModel", bert(), folder / "t")
    inputs = tuple(f"{name}=tensor:1x8:int64" for name in ("attention_mask", "token_type_ids", "input_ids"))
    found = load("hf:t", inputs)
    assert [each.name for each in found.contract.outputs] == ["last_hidden_state", "pooler_output"]
    mask, kinds, ids = tensors(found.evaluation.inputs[0])
    with torch.no_grad():
        wanted = model(input_ids=ids, attention_mask=mask, token_type_ids=kinds)
    np.testing.assert_allclose(found.reference[0][0], wanted.last_hidden_state.numpy(), atol=1e-5)
    np.testing.assert_allclose(found.reference[0][1], wanted.pooler_output.numpy(), atol=1e-5)


def test_a_sentence_encoder_pools_over_the_mask_and_normalizes(folder: Path) -> None:
    model = saved("BertModel", bert(), folder / "t")
    steps = [
        {"idx": n, "path": path, "type": f"sentence_transformers.models.{kind}"}
        for n, (path, kind) in enumerate([("", "Transformer"), ("1_Pooling", "Pooling"), ("2", "Normalize")])
    ]
    (folder / "t" / "modules.json").write_text(json.dumps(steps))
    (folder / "t" / "1_Pooling").mkdir()
    modes = {"pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True}
    (folder / "t" / "1_Pooling" / "config.json").write_text(json.dumps(modes))
    (folder / "t" / "sentence_bert_config.json").write_text('{"max_seq_length": 12}')
    found = load("t", ())
    assert found.contract.inputs[0].shape == (1, 12)
    assert [(each.kind, each.name) for each in found.contract.outputs] == [
        ("embedding", "sentence_embedding")
    ]
    ids, mask = tensors(found.evaluation.inputs[0])
    with torch.no_grad():
        hidden = model(input_ids=ids, attention_mask=mask).last_hidden_state[0]
    mean = hidden[mask[0] == 1].mean(0)
    np.testing.assert_allclose(found.reference[0][0][0], (mean / mean.norm()).numpy(), atol=1e-5)
    steps[2]["type"] = "sentence_transformers.models.Dense"
    (folder / "t" / "modules.json").write_text(json.dumps(steps))
    assert "names steps that are not known: Dense" in refused(model="t", inputs=())


def test_an_image_classifier_by_its_processor(folder: Path) -> None:
    configuration = transformers.ViTConfig(image_size=16, patch_size=8, num_labels=4, **SMALL)
    model = saved("ViTForImageClassification", configuration, folder / "v")
    said = {
        "size": {"height": 16, "width": 16},
        "resample": 3,
        "image_mean": [0.5, 0.4, 0.3],
        "image_std": [0.2, 0.3, 0.4],
        "do_normalize": True,
        "rescale_factor": 1 / 255,
    }
    (folder / "v" / "preprocessor_config.json").write_text(json.dumps(said))
    found = load("v", ())
    (taken,) = found.contract.inputs
    assert isinstance(taken, ImageInput)
    assert (taken.name, taken.size, taken.resize, taken.interpolation) == (
        "pixel_values",
        (16, 16),
        "stretch",
        "bicubic",
    )
    assert (taken.mean, taken.std, taken.value_range) == ((0.5, 0.4, 0.3), (0.2, 0.3, 0.4), (0.0, 1.0))
    assert found.contract.labels == ("LABEL_0", "LABEL_1", "LABEL_2", "LABEL_3")
    with torch.no_grad():
        wanted = model(*tensors(found.evaluation.inputs[0])).logits.numpy()
    np.testing.assert_allclose(found.reference[0][0], wanted, atol=1e-5)


@pytest.mark.parametrize(
    ("processor", "wanted"),
    [
        (
            {"size": {"shortest_edge": 20}, "do_center_crop": True, "crop_size": {"height": 16, "width": 16}},
            {"resize": "shorter-side", "resize_to": 20, "size": (16, 16)},
        ),
        ({"size": {"shortest_edge": 16}, "crop_pct": 0.875}, {"resize_to": 18, "size": (16, 16)}),
        (
            {"size": 16, "do_normalize": False, "resample": 2},
            {"resize": "stretch", "mean": (), "size": (16, 16)},
        ),
        ({"size": 16, "do_rescale": False, "do_normalize": False}, {"value_range": (0.0, 255.0)}),
        ({"size": 16, "do_flip_channel_order": True}, {"channels": "BGR", "mean": (0.5, 0.5, 0.5)}),
    ],
)
def test_processors(folder: Path, processor: dict[str, Any], wanted: dict[str, Any]) -> None:
    from edgepack.model import transformers_inputs

    (folder / "preprocessor_config.json").write_text(json.dumps(processor))
    configuration = transformers.ViTConfig(image_size=16)
    module = transformers.ViTForImageClassification
    (table,), _ = transformers_inputs.tables(folder, configuration, module, ["pixel_values"])
    image = ImageInput.model_validate(table)
    assert {key: getattr(image, key) for key in wanted} == wanted


def test_a_length_that_no_file_names_and_inputs_of_two_kinds(folder: Path) -> None:
    from edgepack.model import transformers_inputs

    module = transformers.BertModel
    (ids,), _ = transformers_inputs.tables(folder, object(), module, ["input_ids"])
    assert ids["shape"] == [1, 128]
    assert transformers_inputs.tables(folder, object(), module, ["input_ids", "pixel_values"])[0] == ()


def test_weights_by_flag(folder: Path) -> None:
    model = saved("BertModel", bert(), folder / "t")
    torch.save(
        {"model": {f"bert.{key}": value for key, value in model.state_dict().items()}}, folder / "w.pth"
    )
    (folder / "t" / "model.safetensors").unlink()
    assert "transformers cannot load t" in refused(model="t", inputs=())
    found = load("t", (), weights="w.pth")
    with torch.no_grad():
        ids, mask = tensors(found.evaluation.inputs[0])
        wanted = model(input_ids=ids, attention_mask=mask).last_hidden_state.numpy()
    np.testing.assert_allclose(found.reference[0][0], wanted, atol=1e-5)
    assert any("'model' of w.pth was taken" in note for note in found.notes)


def test_folders_that_cannot_be_loaded(folder: Path) -> None:
    saved("BertModel", bert(), folder / "t")
    path = folder / "t" / "config.json"
    whole = json.loads(path.read_text())
    for change, words in (
        ({"architectures": ["BertForSequenceClassification"]}, "the weights in t lack classifier.bias"),
        ({"architectures": ["MyBert"]}, "names MyBert, which transformers"),
        ({"model_type": "mine"}, "transformers cannot read t/config.json"),
        ({"quantization_config": {"load_in_8bit": True}}, "already quantized"),
    ):
        path.write_text(json.dumps({**whole, **change}))
        assert words in refused(model="t", inputs=())
    transformers.T5Config().save_pretrained(folder / "t")
    assert "holds an encoder and a decoder" in refused(model="t", inputs=())
    path.write_text("{")
    assert "transformers cannot read t/config.json" in refused(model="t", inputs=())
    (folder / "empty").mkdir()
    assert "empty is a folder without an edgepack.toml" in refused(model="empty")
    assert "it has no config.json" in refused(model="hf:empty")
