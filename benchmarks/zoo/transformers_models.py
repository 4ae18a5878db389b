"""Architectures of transformers (https://github.com/huggingface/transformers), with few and narrow layers."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from benchmarks.zoo.architecture import Architecture, Feed, picture
from benchmarks.zoo.samples import CLASSES

_TEXT = 24
"""Tokens of a text."""
_VOCABULARY = 200
_NARROW = {
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 128,
    "vocab_size": _VOCABULARY,
    "num_labels": CLASSES,
}
_DISTILBERT = {
    "dim": 64, "hidden_dim": 128, "n_layers": 2, "n_heads": 4, "vocab_size": _VOCABULARY,
    "num_labels": CLASSES,
}  # fmt: skip
_MOBILEBERT = {**_NARROW, "num_attention_heads": 4, "embedding_size": 32, "intra_bottleneck_size": 32}
_FUNNEL = {"vocab_size": _VOCABULARY, "d_model": 64, "n_head": 4, "d_head": 16, "d_inner": 128,
           "block_sizes": [1, 1, 1], "num_decoder_layers": 1, "num_labels": CLASSES}  # fmt: skip
_CLASSIFIERS: dict[str, tuple[str, dict[str, Any]]] = {
    "bert": ("Bert", _NARROW),
    "distilbert": ("DistilBert", _DISTILBERT),
    "roberta": ("Roberta", _NARROW),
    "albert": ("Albert", {**_NARROW, "embedding_size": 32}),
    "mobilebert": ("MobileBert", _MOBILEBERT),
    "electra": ("Electra", {**_NARROW, "embedding_size": 32}),
    "mpnet": ("MPNet", _NARROW),
    "squeezebert": ("SqueezeBert", {**_NARROW, "embedding_size": 64}),
    "convbert": ("ConvBert", {**_NARROW, "embedding_size": 32, "head_ratio": 2}),
    "camembert": ("Camembert", _NARROW),
    "xlm_roberta": ("XLMRoberta", _NARROW),
    "modernbert": ("ModernBert", {**_NARROW, "pad_token_id": 0, "reference_compile": False}),
    "deberta_v2": ("DebertaV2", _NARROW),
    "layoutlm": ("LayoutLM", _NARROW),
}
"""Text classifiers: class name without its ending, and the configuration."""
_IMAGES: dict[str, tuple[str, dict[str, Any], int]] = {
    "vit": ("ViT", {**_NARROW, "image_size": 64, "patch_size": 16}, 64),
    "deit": ("DeiT", {**_NARROW, "image_size": 64, "patch_size": 16}, 64),
    "swin": ("Swin", {"image_size": 64, "embed_dim": 32, "depths": [1, 1], "num_heads": [2, 4],
                      "window_size": 4, "num_labels": CLASSES}, 64),
    "segformer": ("Segformer", {"depths": [1, 1, 1, 1], "hidden_sizes": [16, 32, 48, 64],
                                "num_labels": CLASSES}, 64),
    "mobilevit": ("MobileViT", {"hidden_sizes": [32, 48, 64], "image_size": 64, "num_labels": CLASSES}, 64),
    "mobilenet_v1": ("MobileNetV1", {"num_labels": CLASSES}, 64),
    "convnext": ("ConvNext", {"depths": [1, 1, 1, 1], "hidden_sizes": [16, 32, 48, 64],
                              "num_labels": CLASSES}, 64),
    "dinov2": ("Dinov2", {**_NARROW, "image_size": 56, "patch_size": 14}, 56),
    "pvt": ("Pvt", {"image_size": 64, "depths": [1, 1, 1, 1], "num_labels": CLASSES}, 64),
    "poolformer": ("PoolFormer", {"depths": [1, 1, 1, 1], "num_labels": CLASSES}, 64),
    "levit": ("Levit", {"image_size": 64, "hidden_sizes": [32, 48, 64], "depths": [1, 1, 1],
                        "num_attention_heads": [2, 3, 4], "num_labels": CLASSES}, 64),
}  # fmt: skip
"""Image classifiers: class name without its ending, the configuration, and the side of the image."""


class _Leaf(nn.Module):
    """One output of a model."""

    def __init__(self, net: nn.Module, output: str, fixed: dict[str, Any] | None = None) -> None:
        super().__init__()
        self.net = net
        self.output = output
        self.fixed = fixed or {}

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = getattr(self.net(x, **self.fixed), self.output)
        return found


class _Text(nn.Module):
    """The scores of a text classifier."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        scores: torch.Tensor = self.net(input_ids=input_ids, attention_mask=attention_mask).logits
        return scores


class _Encoder(nn.Module):
    """The hidden states of an encoder."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        states: torch.Tensor = self.net(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        return states


class _Decoder(nn.Module):
    """One step of a decoder with an explicit cache: keys and values in, keys and values out."""

    def __init__(self, layers: int = 2, heads: int = 4, width: int = 64) -> None:
        super().__init__()
        self.embedding = nn.Embedding(_VOCABULARY, width)
        self.layers = nn.ModuleList(_CachedLayer(width, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, _VOCABULARY)

    def forward(self, token: torch.Tensor, cache: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Ids [1, 1] and the cache [layers, 2, T, width] -> scores [1, 1, vocabulary] and the cache of T."""
        state, caches = self.embedding(token), []
        for number, layer in enumerate(self.layers):
            state, new = layer(state, cache[number])
            caches.append(new)
        return self.head(self.norm(state)), torch.stack(caches)


class _CachedLayer(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.before, self.after = nn.LayerNorm(width), nn.LayerNorm(width)
        self.project, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.feed_forward = nn.Sequential(nn.Linear(width, 2 * width), nn.SiLU(), nn.Linear(2 * width, width))

    def forward(self, state: torch.Tensor, cache: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        query, key, value = self.project(self.before(state)).chunk(3, dim=-1)
        keys = torch.cat([cache[0, 1:], key[0]])
        values = torch.cat([cache[1, 1:], value[0]])
        attended = nn.functional.scaled_dot_product_attention(
            self._split(query[0]), self._split(keys), self._split(values)
        )
        state = state + self.out(attended.transpose(0, 1).flatten(1))[None]
        return state + self.feed_forward(self.after(state)), torch.stack([keys, values])

    def _split(self, rows: torch.Tensor) -> torch.Tensor:
        split: torch.Tensor = rows.unflatten(-1, (self.heads, -1)).transpose(0, 1)
        return split


def _model(name: str, ending: str, options: dict[str, Any]) -> nn.Module:
    transformers = importlib.import_module("transformers")
    config = getattr(transformers, f"{name}Config")(**options)
    net: nn.Module = getattr(transformers, f"{name}{ending}")(config)
    return net


def _text(name: str, make: Callable[[], nn.Module]) -> Architecture:
    ids = Feed("input_ids", "tokens", (1, _TEXT), _VOCABULARY)
    return Architecture(f"transformers/{name}", make, (ids, Feed("attention_mask", "mask", (1, _TEXT))))


def _classifier(name: str) -> Architecture:
    kind, options = _CLASSIFIERS[name]
    return _text(name, lambda: _Text(_model(kind, "ForSequenceClassification", options)))


def _image(name: str) -> Architecture:
    kind, options, side = _IMAGES[name]
    make = lambda: _Leaf(_model(kind, "ForImageClassification", options), "logits")  # noqa: E731
    return Architecture(f"transformers/{name}", make, picture(side))


def _t5() -> nn.Module:
    options = {
        "vocab_size": _VOCABULARY,
        "d_model": 64,
        "d_kv": 16,
        "d_ff": 128,
        "num_layers": 2,
        "num_heads": 4,
    }
    return _Encoder(_model("T5", "EncoderModel", options))


def _clip_text() -> nn.Module:
    options = {**_NARROW, "max_position_embeddings": _TEXT, "eos_token_id": 1, "bos_token_id": 2}
    return _Encoder(_model("CLIPText", "Model", options))


def _whisper() -> nn.Module:
    options = {"d_model": 64, "encoder_layers": 2, "encoder_attention_heads": 4, "encoder_ffn_dim": 128,
               "num_mel_bins": 40, "max_source_positions": 50, "decoder_layers": 1,
               "decoder_attention_heads": 4, "decoder_ffn_dim": 64, "vocab_size": _VOCABULARY,
               "pad_token_id": 0, "bos_token_id": 1,
               "eos_token_id": 2, "decoder_start_token_id": 1}  # fmt: skip
    return _Leaf(_model("Whisper", "Model", options).get_submodule("encoder"), "last_hidden_state")


_SPEECH: dict[str, Any] = {
    **_NARROW, "conv_dim": [32, 32, 32], "conv_stride": [5, 4, 4], "conv_kernel": [10, 8, 8],
    "num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 4, "classifier_proj_size": 32,
}  # fmt: skip


def _speech(name: str, kind: str) -> Architecture:
    return Architecture(
        f"transformers/{name}",
        lambda: _Leaf(_model(kind, "ForCTC", _SPEECH), "logits"),
        (Feed("x", "tones", (1, 2000)),),
    )


def _ast() -> nn.Module:
    options = {**_NARROW, "max_length": 64, "num_mel_bins": 32, "patch_size": 16, "frequency_stride": 16,
               "time_stride": 16}  # fmt: skip
    return _Leaf(_model("AST", "ForAudioClassification", options), "logits")


def _yolos() -> nn.Module:
    options = {**_NARROW, "image_size": [64, 64], "num_detection_tokens": 10}
    return _Leaf(_model("Yolos", "ForObjectDetection", options), "pred_boxes")


def architectures() -> list[Architecture]:
    """Encoders of text, images and speech, and a decoder."""
    decoder = (Feed("token", "tokens", (1, 1), _VOCABULARY), Feed("cache", "features", (2, 2, 16, 64)))
    return [
        *(_classifier(name) for name in _CLASSIFIERS),
        _text("t5_encoder", _t5),
        _text("clip_text", _clip_text),
        *(_image(name) for name in _IMAGES),
        Architecture("transformers/yolos", _yolos, picture(64)),
        Architecture("transformers/whisper_encoder", _whisper, (Feed("x", "features", (1, 40, 100)),)),
        _speech("wav2vec2", "Wav2Vec2"),
        _speech("hubert", "Hubert"),
        Architecture("transformers/ast", _ast, (Feed("x", "features", (1, 64, 32)),)),
        Architecture("transformers/cached_decoder", _Decoder, decoder),
    ]
