"""Folders that transformers saved: `config.json` and weights, with the contract that their files imply.

Nothing is downloaded, and no code in the folder is run.
"""

from __future__ import annotations

import inspect
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from edgepack.contract import Output
from edgepack.errors import SourceError, first_line
from edgepack.model import checkpoint, packages, transformers_inputs, weights
from edgepack.model.binding import signature_of
from edgepack.model.loaded_model import LoadedModel
from edgepack.silence import quiet

_CLASSIFIERS = ("ForSequenceClassification", "ForImageClassification", "ForAudioClassification")


def load(folder: Path, weights_file: Path | None, *, trust_pickle: bool, has_inputs: bool) -> LoadedModel:
    """The model of a folder, in eval mode and float32, with the head that its configuration names.

    Weights come from `weights_file`, else from the folder. With `has_inputs`, the user declares the inputs,
    and no note tells where they come from. Raises SourceError if the folder needs code of its own, or its
    weights do not fit.
    """
    packages.check("transformers", "transformers")
    os.environ["HF_HUB_OFFLINE"] = "1"  # read when huggingface_hub is imported
    with quiet():
        import transformers

        transformers.logging.disable_progress_bar()
    configuration = _configuration(transformers, folder)
    kind = _class(transformers, configuration, folder)
    notes = []
    if weights_file:
        module = _built(kind, configuration)
        notes += weights.put(checkpoint.read(weights_file, trust_pickle=trust_pickle), module)
    else:
        module, notes = _with_own_weights(kind, folder)
    signature = signature_of(module)
    names = [parameter.name for parameter in signature.parameters]
    tables, told = transformers_inputs.tables(folder, configuration, module, names)
    task = _task(module.eval().float(), folder)
    outputs = _outputs(kind, configuration, task, tables)
    if not has_inputs:
        notes.append(f"contract: {kind.__name__} of transformers; {told}")
    name = folder.resolve().name
    return LoadedModel(
        name if name != "model" else folder.resolve().parent.name,
        task,
        tables,
        outputs,
        signature=signature,
        notes=tuple(notes),
    )


def _configuration(transformers: Any, folder: Path) -> Any:
    try:
        with quiet():
            found = transformers.AutoConfig.from_pretrained(folder, local_files_only=True)
    except Exception as cause:  # transformers documents no common base of its errors
        raise SourceError(
            f"transformers cannot read {folder / 'config.json'}: {first_line(cause)}",
            hint="a model with code of its own is given as file.py:name, with a callable that returns it",
        ) from cause
    if getattr(found, "quantization_config", None):
        raise SourceError(
            f"the weights in {folder} are already quantized",
            hint="give the float model, which edgepack quantizes",
        )
    if getattr(found, "is_encoder_decoder", False):
        raise SourceError(
            f"{folder} holds an encoder and a decoder, which run a different number of times",
            hint="give each as file.py:name, with a callable that returns it, such as model.get_encoder()",
        )
    for key, value in (("use_cache", False), ("return_dict", True), ("output_attentions", False)):
        setattr(found, key, value)
    return found


def _class(transformers: Any, configuration: Any, folder: Path) -> Any:
    """The class that the configuration names, which decides the head."""
    names = configuration.architectures or []
    if not names:
        return transformers.AutoModel
    with quiet():  # the class's module is imported here
        kind = getattr(transformers, names[0], None)
    if kind is None:
        raise SourceError(
            f"{folder / 'config.json'} names {names[0]}, which transformers {transformers.__version__} lacks",
            hint="give the model as file.py:name, with a callable that returns it",
        )
    return kind


def _built(kind: Any, configuration: Any) -> torch.nn.Module:
    with quiet():
        configuration._attn_implementation = "eager"
        make = kind.from_config if hasattr(kind, "from_config") else kind
        module: torch.nn.Module = make(configuration)
    return module


def _with_own_weights(kind: Any, folder: Path) -> tuple[torch.nn.Module, list[str]]:
    """The model with the weights beside its configuration. Raises SourceError if some are missing."""
    try:
        with quiet():
            module, found = kind.from_pretrained(
                folder,
                local_files_only=True,
                dtype=torch.float32,
                attn_implementation="eager",
                output_loading_info=True,
            )
    except Exception as cause:  # transformers documents no common base of its errors
        raise SourceError(f"transformers cannot load {folder}: {first_line(cause)}") from cause
    missing = sorted(found["missing_keys"])
    if missing:
        raise SourceError(
            f"the weights in {folder} lack {weights.first(missing)} of {kind.__name__}",
            hint="save the trained model with save_pretrained, or give --weights",
        )
    extra = sorted(found["unexpected_keys"])
    return module, [f"weights: {weights.first(extra)} belong to no part of {kind.__name__}"] if extra else []


class _Task(torch.nn.Module):
    """A model that returns the tensors of its output, in their order, without what is None."""

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.model = model
        self.training = False

    def named(self, *inputs: torch.Tensor, **keywords: torch.Tensor) -> dict[str, torch.Tensor]:
        """The outputs by name."""
        found: Mapping[str, Any] = self.model(*inputs, **keywords)
        return {name: value for name, value in found.items() if isinstance(value, torch.Tensor)}

    def forward(self, *inputs: torch.Tensor, **keywords: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return tuple(self.named(*inputs, **keywords).values())


class _SentenceEncoder(_Task):
    """An encoder with the pooling and normalization that `modules.json` of sentence-transformers names."""

    def __init__(self, model: torch.nn.Module, pooling: str, normalizes: bool) -> None:
        super().__init__(model)
        self.pooling = pooling
        self.normalizes = normalizes

    def named(self, *inputs: torch.Tensor, **keywords: torch.Tensor) -> dict[str, torch.Tensor]:
        given = inspect.signature(self.model.forward).bind(*inputs, **keywords).arguments
        tokens = self.model(*inputs, **keywords)[0]
        mask = given.get("attention_mask")
        vector = self._pooled(tokens, torch.ones_like(tokens[..., 0]) if mask is None else mask)
        return {
            "sentence_embedding": torch.nn.functional.normalize(vector, dim=-1) if self.normalizes else vector
        }

    def _pooled(self, tokens: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """`tokens` [1, length, width] as [1, width]."""
        if self.pooling == "cls_token":
            return tokens[:, 0]
        share = mask.unsqueeze(-1).to(tokens.dtype)
        return (tokens * share).sum(1) / share.sum(1).clamp(min=1e-9)


def _task(module: torch.nn.Module, folder: Path) -> _Task:
    """`module` with the steps after it that sentence-transformers names, if it saved the folder."""
    steps = _json(folder / "modules.json") or []
    kinds = [str(step.get("type", "")).rpartition(".")[2] for step in steps]
    if "Pooling" not in kinds:
        return _Task(module)
    pooling = _json(folder / steps[kinds.index("Pooling")]["path"] / "config.json") or {}
    modes = [key.removeprefix("pooling_mode_") for key, value in pooling.items() if value is True]
    modes = [mode for mode in modes if mode != "include_prompt"]
    rest = [kind for kind in kinds if kind not in ("Transformer", "Pooling", "Normalize")]
    if rest or modes not in (["mean_tokens"], ["cls_token"]):
        raise SourceError(
            f"{folder / 'modules.json'} names steps that are not known: {', '.join(rest or modes)}",
            hint="give the model as file.py:name, with a callable that returns it",
        )
    return _SentenceEncoder(module, modes[0], "Normalize" in kinds)


def _outputs(
    kind: Any, configuration: Any, task: _Task, tables: tuple[dict[str, Any], ...]
) -> tuple[Output, ...]:
    """The outputs by the names that transformers gives them; the model is run once."""
    if not tables:
        return ()
    example = transformers_inputs.example(tables)
    try:
        with torch.no_grad():
            names = list(task.named(**example))
    except Exception as cause:  # whatever a model's code raises
        raise SourceError(f"{kind.__name__} raises on its own inputs: {first_line(cause)}") from cause
    rest = tuple(Output(name=name) for name in names[1:])
    if isinstance(task, _SentenceEncoder):
        return (Output(kind="embedding", name=names[0]), *rest)
    if not kind.__name__.endswith(_CLASSIFIERS) or configuration.num_labels == 1:
        return (Output(name=names[0]), *rest)
    labels = tuple(str(configuration.id2label[n]) for n in range(configuration.num_labels))
    several = configuration.problem_type == "multi_label_classification"
    first = Output(
        kind="classification",
        name=names[0],
        labels=labels,
        activation="sigmoid" if several else "softmax",
    )
    return (first, *rest)


def _json(path: Path) -> Any:
    """The content of a JSON file; None if there is none. Raises SourceError if it is damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
    except (OSError, ValueError) as cause:
        raise SourceError(f"{path} cannot be read: {cause}") from cause
