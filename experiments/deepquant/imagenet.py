"""The five ImageNet networks of Fig. 7 (b), for users who have torchvision and its weights: one function for each.

Give them by name, as ``deepquant.imagenet:alexnet``, to ``fig7b --model``; the weights are fetched by torchvision.
"""

from __future__ import annotations

from importlib import import_module

import netassay as na
from netassay.models.network import Network

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet's training images, by which the networks expect their pixels normalised."""

SHAPE = (3, 224, 224)


def _published(name: str) -> Network:
    """A network of torchvision with its best published weights, on images in [0, 1]."""
    models = import_module("torchvision.models")
    return na.Network(getattr(models, name)(weights="DEFAULT"), input_shape=SHAPE, domain=(0, 1), mean=MEAN, std=STD, name=name)


def alexnet() -> Network:
    """AlexNet, 8 layers."""
    return _published("alexnet")


def vgg16() -> Network:
    """VGG-16."""
    return _published("vgg16")


def vgg19() -> Network:
    """VGG-19."""
    return _published("vgg19")


def resnet50() -> Network:
    """ResNet-50."""
    return _published("resnet50")


def resnet101() -> Network:
    """ResNet-101."""
    return _published("resnet101")
