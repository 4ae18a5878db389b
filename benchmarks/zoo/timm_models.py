"""Architectures of timm (https://github.com/huggingface/pytorch-image-models): one of each family."""

from __future__ import annotations

from torch import nn

from benchmarks.zoo.architecture import Architecture, picture
from benchmarks.zoo.samples import CLASSES

_SIDES = {
    "resnet10t": 64,
    "resnet26d": 64,
    "seresnet50": 64,
    "ecaresnet26t": 64,
    "resnetv2_50": 64,
    "resnest14d": 64,
    "res2net50_14w_8s": 64,
    "skresnet18": 64,
    "regnetx_002": 64,
    "regnety_002": 64,
    "regnetz_005": 64,
    "convnext_atto": 64,
    "convnextv2_atto": 64,
    "efficientnet_lite0": 64,
    "tf_efficientnet_b0": 64,
    "tf_efficientnetv2_b0": 64,
    "efficientnetv2_rw_t": 64,
    "mobilenetv3_small_050": 64,
    "mobilenetv3_large_100": 64,
    "mobilenetv4_conv_small_035": 64,
    "mobilenetv4_hybrid_medium": 96,
    "mobilevit_xxs": 64,
    "mobilevitv2_050": 64,
    "fastvit_t8": 64,
    "vit_tiny_patch16_224": 64,
    "vit_small_patch32_224": 64,
    "deit_tiny_patch16_224": 64,
    "deit3_small_patch16_224": 64,
    "swin_tiny_patch4_window7_224": 224,
    "swinv2_cr_tiny_224": 224,
    "maxvit_rmlp_pico_rw_256": 256,
    "coatnet_pico_rw_224": 224,
    "repvgg_a0": 64,
    "repvit_m1": 64,
    "ghostnet_050": 64,
    "ghostnetv2_100": 64,
    "tinynet_e": 64,
    "lcnet_035": 64,
    "hardcorenas_a": 64,
    "mixnet_s": 64,
    "mnasnet_small": 64,
    "fbnetc_100": 64,
    "fbnetv3_b": 64,
    "dla46_c": 64,
    "dpn48b": 64,
    "hrnet_w18_small": 64,
    "ese_vovnet19b_slim_dw": 64,
    "selecsls42b": 64,
    "cs3darknet_s": 64,
    "edgenext_xx_small": 64,
    "efficientformer_l1": 224,
    "efficientformerv2_s0": 224,
    "efficientvit_b0": 64,
    "efficientvit_m0": 224,
    "poolformer_s12": 64,
    "pvt_v2_b0": 64,
    "xcit_nano_12_p16_224": 64,
    "cait_xxs24_224": 224,
    "convit_tiny": 224,
    "coat_lite_tiny": 224,
    "crossvit_tiny_240": 240,
    "levit_128s": 224,
    "mixer_s32_224": 224,
    "gmlp_ti16_224": 224,
    "resmlp_12_224": 224,
    "pit_ti_224": 224,
    "twins_svt_small": 224,
    "visformer_tiny": 224,
    "nest_tiny": 224,
    "gcvit_xxtiny": 224,
    "davit_tiny": 64,
    "focalnet_tiny_srf": 64,
    "inception_next_atto": 64,
    "caformer_s18": 64,
    "mvitv2_tiny": 64,
    "hiera_tiny_224": 224,
    "starnet_s1": 64,
    "shvit_s1": 64,
    "swiftformer_xs": 224,
    "tiny_vit_5m_224": 224,
    "rdnet_tiny": 64,
    "eca_nfnet_l0": 64,
    "hgnetv2_b0": 64,
    "rexnet_100": 64,
    "mambaout_femto": 64,
    "fasternet_t0": 64,
    "densenet121": 64,
    "botnet26t_256": 256,
    "xception41p": 64,
    "eva02_tiny_patch14_224": 224,
}
"""Names, with a side of the image that the network takes sensibly."""


def _make(name: str, side: int) -> nn.Module:
    import timm

    try:
        module: nn.Module = timm.create_model(name, num_classes=CLASSES, img_size=side)
    except TypeError:  # convolutions take any size
        module = timm.create_model(name, num_classes=CLASSES)
    return module


def _architecture(name: str, side: int) -> Architecture:
    return Architecture(f"timm/{name}", lambda: _make(name, side), picture(side))


def architectures() -> list[Architecture]:
    """One of each family."""
    return [_architecture(name, side) for name, side in _SIDES.items()]
