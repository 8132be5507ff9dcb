"""A network of ResNet-50's size exports, agrees and evaluates within memory."""

from __future__ import annotations

import resource

import torch
from torch import Tensor, nn

from netassay.models.query_counter import QueryCounter
from netassay.models.torch_module import from_module
from netassay.models.torch_network import GraphNetwork
from netassay.numerics.box import Box

GIBIBYTE = 1024**3


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions with a shortcut (He et al., 2015, https://arxiv.org/abs/1512.03385)."""

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for i, o, k, s in ((inputs, width, 1, 1), (width, width, 3, stride), (width, 4 * width, 1, 1)):
            layers += [nn.Conv2d(i, o, k, s, k // 2, bias=False), nn.BatchNorm2d(o), nn.ReLU(inplace=True)]
        self.body = nn.Sequential(*layers[:-1])
        same = stride == 1 and inputs == 4 * width
        self.shortcut = (
            nn.Identity() if same else nn.Sequential(nn.Conv2d(inputs, 4 * width, 1, stride, bias=False), nn.BatchNorm2d(4 * width))
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.body(x) + self.shortcut(x))


def resnet50() -> nn.Module:
    torch.manual_seed(0)
    layers: list[nn.Module] = [nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1)]
    inputs = 64
    for width, count, stride in ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2)):
        for i in range(count):
            layers.append(Bottleneck(inputs, width, stride if i == 0 else 1))
            inputs = 4 * width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inputs, 1000)).eval()


def test_resnet50_size() -> None:
    module = resnet50()
    network = from_module(module, domain=Box.filled((3, 224, 224), 0, 1))
    assert isinstance(network, GraphNetwork), network.notes
    assert sum(p.numel() for p in module.parameters()) == 25_557_032
    counter = QueryCounter(network, GIBIBYTE // 4)
    assert 1 <= counter.gradient_rows <= counter.rows < 64
    x = torch.rand(2, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with torch.no_grad():
        found = counter.outputs(x)
        torch.testing.assert_close(found, module(x), rtol=1e-3, atol=1e-5)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    assert grown < GIBIBYTE
