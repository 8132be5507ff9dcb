"""torch modules as graphs: every ATen operator of the table, real architectures, and what happens where export fails."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from netassay.errors import ModelError, UnsupportedOperatorError, UsageError
from netassay.models.aten_operators import HANDLERS
from netassay.models.scores import Meaning
from netassay.models.torch_export import graph_from_module
from netassay.models.torch_graph import GraphModule
from netassay.models.torch_module import ModuleNetwork, from_module
from netassay.models.torch_network import GraphNetwork
from netassay.numerics.box import Box

Shape = tuple[int, ...]


class Of(nn.Module):
    """A function as a module."""

    def __init__(self, function: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Any:
        return self.function(x)


def seeded(make: Callable[[], nn.Module]) -> nn.Module:
    torch.manual_seed(0)
    return make().eval()


FIXED = torch.randn(3, 4, generator=torch.Generator().manual_seed(1))
FUNCTIONS: dict[str, tuple[Callable[[Tensor], Any], Shape]] = {
    "abs": (torch.abs, (3, 4)),
    "adaptive_avg_pool1d": (lambda x: F.adaptive_avg_pool1d(x, 2), (3, 4)),
    "adaptive_avg_pool2d": (lambda x: F.adaptive_avg_pool2d(x, (2, 1)), (2, 6, 5)),
    "adaptive_max_pool2d": (lambda x: F.adaptive_max_pool2d(x, 1), (2, 6, 5)),
    "add": (lambda x: torch.add(x, FIXED, alpha=2) + 1.5 + x, (3, 4)),
    "addmm": (lambda x: torch.addmm(FIXED[0, :3], x, FIXED.T), (4,)),
    "alias": (lambda x: torch.ops.aten.alias.default(x), (3, 4)),
    "alpha_dropout": (lambda x: F.alpha_dropout(x, 0.5, training=False), (3, 4)),
    "amax": (lambda x: x.amax(dim=2), (3, 4)),
    "amin": (lambda x: x.amin(dim=(1, 2), keepdim=True), (3, 4)),
    "avg_pool1d": (lambda x: F.avg_pool1d(x, 3, 2, 1), (2, 7)),
    "avg_pool2d": (lambda x: F.avg_pool2d(x, 3, 2, 1, ceil_mode=True, count_include_pad=False), (2, 8, 7)),
    "avg_pool3d": (lambda x: F.avg_pool3d(x, 2, divisor_override=3), (2, 4, 4, 4)),
    "bmm": (lambda x: torch.bmm(x, x.transpose(1, 2)), (3, 4)),
    "cat": (lambda x: torch.cat([x, 2 * x, FIXED[None].expand(x.shape[0], -1, -1)], dim=2), (3, 4)),
    "chunk": (lambda x: x.chunk(2, dim=2)[1], (3, 5)),
    "clamp": (lambda x: x.clamp(-0.5, 0.7), (3, 4)),
    "clamp_max": (lambda x: torch.clamp_max(x, 0.3), (3, 4)),
    "clamp_min": (lambda x: torch.clamp_min(x, 0.3), (3, 4)),
    "clone": (lambda x: x.clone() + 0, (3, 4)),
    "contiguous": (lambda x: x.transpose(1, 2).contiguous(), (3, 4)),
    "cos": (torch.cos, (3, 4)),
    "detach": (lambda x: x.detach(), (3, 4)),
    "div": (lambda x: (x / FIXED + 2.0 / (x.abs() + 1)) / (x * x + 1), (3, 4)),
    "elu": (lambda x: F.elu(x, 0.7), (3, 4)),
    "erf": (torch.erf, (3, 4)),
    "exp": (torch.exp, (3, 4)),
    "expand": (lambda x: x[:, :, None].expand(-1, -1, 5), (4,)),
    "feature_dropout": (lambda x: F.dropout2d(x, 0.5, training=False), (2, 3, 3)),
    "flatten": (lambda x: x.flatten(2), (2, 3, 4)),
    "gelu": (lambda x: F.gelu(x) + F.gelu(x, approximate="tanh"), (3, 4)),
    "hardsigmoid": (F.hardsigmoid, (3, 4)),
    "hardswish": (F.hardswish, (3, 4)),
    "hardtanh": (lambda x: F.hardtanh(x, -0.3, 0.4), (3, 4)),
    "index_select": (lambda x: x.index_select(1, torch.tensor([2, 0])), (3, 4)),
    "leaky_relu": (lambda x: F.leaky_relu(x, 0.3), (3, 4)),
    "lift_fresh_copy": (lambda x: x * torch.tensor([1.0, 2.0, 3.0, 4.0]), (3, 4)),
    "log": (lambda x: torch.log(x.abs() + 1), (3, 4)),
    "log_softmax": (lambda x: x.log_softmax(1), (3, 4)),
    "matmul": (lambda x: FIXED.T @ x @ x.transpose(1, 2) @ x, (3, 4)),
    "max": (lambda x: x.max(dim=1).values, (3, 4)),
    "max_pool1d": (lambda x: F.max_pool1d(x, 3, 2, 1), (2, 7)),
    "max_pool2d": (lambda x: F.max_pool2d(x, 3, 2, 1, ceil_mode=True), (2, 8, 7)),
    "max_pool3d": (lambda x: F.max_pool3d(x, 2), (1, 4, 4, 4)),
    "maximum": (lambda x: torch.maximum(x, FIXED) + torch.maximum(x, -x), (3, 4)),
    "mean": (lambda x: x.mean(dim=(1, 2)), (3, 4)),
    "min": (lambda x: torch.min(x, FIXED) + x.min(dim=1, keepdim=True).values, (3, 4)),
    "minimum": (lambda x: torch.minimum(x, torch.tensor(0.2)), (3, 4)),
    "mm": (lambda x: torch.mm(x, FIXED.T), (4,)),
    "mul": (lambda x: x * FIXED * x * 3, (3, 4)),
    "neg": (lambda x: -x, (3, 4)),
    "pad": (lambda x: F.pad(F.pad(x, (1, 2, 0, 1), value=0.3), (2, 1, 1, 1), mode="reflect"), (2, 4, 5)),
    "permute": (lambda x: x.permute(0, 2, 1), (3, 4)),
    "pow": (lambda x: x**2 + (x.abs() + 1) ** 1.5, (3, 4)),
    "reciprocal": (lambda x: torch.reciprocal(x.abs() + 1), (3, 4)),
    "relu": (lambda x: torch.relu_(x * 2), (3, 4)),
    "relu6": (lambda x: F.relu6(8 * x), (3, 4)),
    "reshape": (lambda x: x.reshape(x.shape[0], 2, 6), (3, 4)),
    "rsqrt": (lambda x: torch.rsqrt(x.abs() + 1), (3, 4)),
    "rsub": (lambda x: torch.rsub(x, FIXED) + (1 - x), (3, 4)),
    "select": (lambda x: x[:, 1] + x[:, -1], (3, 4)),
    "selu": (F.selu, (3, 4)),
    "sigmoid": (torch.sigmoid, (3, 4)),
    "silu": (F.silu, (3, 4)),
    "sin": (torch.sin, (3, 4)),
    "slice": (lambda x: x[:, 1:, :-1:2], (3, 6)),
    "softmax": (lambda x: torch.softmax(x, -1) + 1, (3, 4)),
    "softplus": (lambda x: F.softplus(x) + F.softplus(x, beta=2), (3, 4)),
    "split": (lambda x: x.split(2, dim=2)[1] + x.split([2, 3], dim=2)[0], (3, 5)),
    "split_with_sizes": (lambda x: torch.split_with_sizes(x, [2, 3], 2)[1], (3, 5)),
    "sqrt": (lambda x: torch.sqrt(x.abs() + 1), (3, 4)),
    "square": (torch.square, (3, 4)),
    "squeeze": (lambda x: x.unsqueeze(1).squeeze(1).squeeze(2), (3, 1)),
    "stack": (lambda x: torch.stack([x, 2 * x], dim=-1), (3, 4)),
    "sub": (lambda x: x - FIXED - 0.5, (3, 4)),
    "sum": (lambda x: x.sum(dim=1, keepdim=True), (3, 4)),
    "sym_size": (lambda x: x.view(x.shape[0], x.shape[1] * x.shape[2]), (3, 4)),
    "t": (lambda x: (x.reshape(x.shape[0], 12) @ torch.ones(12, 5)).t().t(), (3, 4)),
    "tanh": (torch.tanh, (3, 4)),
    "to": (lambda x: x.to(torch.float32) * 2, (3, 4)),
    "transpose": (lambda x: x.transpose(1, 2) * 2, (3, 4)),
    "unbind": (lambda x: x.unbind(1)[2], (3, 4)),
    "unflatten": (lambda x: x.unflatten(1, (2, -1)), (6,)),
    "unsqueeze": (lambda x: x.unsqueeze(-1) + FIXED[0], (3,)),
    "view": (lambda x: x.view(-1, 12), (3, 4)),
}
MODULES: dict[str, tuple[Callable[[], nn.Module], Shape]] = {
    "batch_norm": (lambda: nn.BatchNorm2d(3), (3, 4, 4)),
    "conv1d": (lambda: nn.Conv1d(3, 4, 3, padding="same", dilation=2), (3, 9)),
    "conv2d": (lambda: nn.Conv2d(4, 6, (3, 2), (2, 1), (1, 0), groups=2, bias=False), (4, 7, 8)),
    "conv3d": (lambda: nn.Conv3d(1, 2, 2), (1, 3, 3, 3)),
    "conv_transpose1d": (lambda: nn.ConvTranspose1d(3, 2, 3, 2, 1, 1), (3, 5)),
    "conv_transpose2d": (lambda: nn.ConvTranspose2d(4, 2, 3, 2, groups=2), (4, 3, 3)),
    "conv_transpose3d": (lambda: nn.ConvTranspose3d(1, 2, 2), (1, 2, 2, 2)),
    "dropout": (lambda: nn.Dropout(0.5), (3, 4)),
    "group_norm": (lambda: nn.GroupNorm(2, 4), (4, 3, 3)),
    "layer_norm": (lambda: nn.LayerNorm((3, 4)), (2, 3, 4)),
    "linear": (lambda: nn.Linear(4, 3), (2, 4)),
    "lstm": (lambda: nn.Sequential(nn.LSTM(4, 3, 2, batch_first=True, bidirectional=True), Of(lambda r: r[0])), (5, 4)),
    "prelu": (lambda: nn.PReLU(3, 0.3), (3, 4)),
    "scaled_dot_product_attention": (lambda: Of(lambda x: F.scaled_dot_product_attention(x, 2 * x, x + 1, is_causal=True)), (2, 5, 4)),
}


def agree(module: nn.Module, shape: Shape, rtol: float = 1e-5) -> None:
    exported = graph_from_module(module, shape)
    x = torch.randn(5, *shape, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        expected = module(x.clone()).reshape(5, -1)
    found = GraphModule(exported.graph)(x)
    torch.testing.assert_close(found, expected, rtol=rtol, atol=2e-6)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_function_agrees_with_torch(name: str) -> None:
    function, shape = FUNCTIONS[name]
    agree(Of(function).eval(), shape)


@pytest.mark.parametrize("name", MODULES)
def test_module_agrees_with_torch(name: str) -> None:
    make, shape = MODULES[name]
    module = seeded(make)
    for buffer in module.buffers():
        if buffer.is_floating_point():
            buffer.uniform_(0.5, 2.0)
    agree(module, shape)


def test_every_operator_of_the_table_has_a_case() -> None:
    assert set(FUNCTIONS) | set(MODULES) == set(HANDLERS)


def test_hidden_state_and_layers_of_an_lstm() -> None:
    agree(seeded(LastState), (5, 4))


class LastState(nn.Module):
    """A classifier on the last hidden states of both directions."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(4, 3, 2, batch_first=True, bidirectional=True)
        self.head = nn.Linear(6, 2)

    def forward(self, x: Tensor) -> Tensor:
        _, (hidden, _) = self.lstm(x)
        return self.head(torch.cat([hidden[-2], hidden[-1]], dim=1))


class Residual(nn.Module):
    """A block of a residual network with batch normalisation and in-place activations."""

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(inputs, width, 3, stride, 1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
            nn.Conv2d(width, width, 3, 1, 1, bias=False),
            nn.BatchNorm2d(width),
        )
        self.shortcut = nn.Sequential(nn.Conv2d(inputs, width, 1, stride, bias=False), nn.BatchNorm2d(width))

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.body(x) + self.shortcut(x), inplace=True)


class InvertedResidual(nn.Module):
    """A MobileNet block: expansion, depthwise convolution, projection."""

    def __init__(self, width: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for convolution in (
            nn.Conv2d(width, 3 * width, 1, bias=False),
            nn.Conv2d(3 * width, 3 * width, 3, 1, 1, groups=3 * width, bias=False),
            nn.Conv2d(3 * width, width, 1, bias=False),
        ):
            layers += [convolution, nn.BatchNorm2d(convolution.out_channels), nn.ReLU6(inplace=True)]
        self.body = nn.Sequential(*layers[:-1])

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


def resnet() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 8, 3), Residual(8, 8, 1), Residual(8, 12, 2), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(12, 4))


def mobilenet() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, 2), InvertedResidual(4), nn.Hardswish(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(), nn.Linear(4, 4)
    )


class Attention(nn.Module):
    """A small vision transformer's encoder layer over patches."""

    def __init__(self) -> None:
        super().__init__()
        self.token = nn.Parameter(torch.randn(1, 1, 8))
        self.embed = nn.Linear(12, 8)
        self.qkv = nn.Linear(8, 24)
        self.norm = nn.LayerNorm(8)
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        patches = x.reshape(-1, 3, 4, 2, 4, 2).permute(0, 2, 4, 1, 3, 5).reshape(-1, 16, 12)
        h = torch.cat([self.token.expand(x.shape[0], -1, -1), self.embed(patches)], dim=1)
        q, k, v = (t.reshape(-1, 17, 2, 4).transpose(1, 2) for t in self.qkv(self.norm(h)).chunk(3, dim=-1))
        attended = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(-1, 17, 8)
        return self.head((h + F.gelu(attended))[:, 0])


@pytest.mark.parametrize(("make", "shape"), [(resnet, (3, 16, 16)), (mobilenet, (3, 16, 16)), (Attention, (3, 8, 8)), (LastState, (5, 4))])
def test_architectures_become_graph_networks(make: Callable[[], nn.Module], shape: Shape) -> None:
    module = seeded(make)
    for m in module.modules():
        if isinstance(m, nn.BatchNorm2d):
            m.running_mean.normal_(generator=torch.Generator().manual_seed(3))  # type: ignore[union-attr]
            m.running_var.uniform_(0.5, 2)  # type: ignore[union-attr]
    network = from_module(module, shape, graph="required")
    assert isinstance(network, GraphNetwork)
    x = torch.randn(4, *shape)
    torch.testing.assert_close(network.outputs(x), module(x).detach(), rtol=1e-4, atol=1e-5)
    ((name, evaluate),) = network.originals().items()
    assert name == "torch-module-float32"
    np.testing.assert_allclose(evaluate(x.numpy()), network.outputs(x), rtol=1e-4, atol=1e-5)


def test_the_users_module_is_not_changed() -> None:
    module = nn.Sequential(nn.BatchNorm1d(4), nn.Dropout(0.9), nn.Linear(4, 2)).train()
    before = copy.deepcopy(module.state_dict())
    network = from_module(module, (4,))
    assert module.training
    assert all(p.requires_grad for p in module.parameters())
    for name, tensor in module.state_dict().items():
        assert torch.equal(tensor, before[name])
    x = torch.randn(50, 4)
    torch.testing.assert_close(network.outputs(x), network.outputs(x))
    with torch.no_grad():
        module[2].weight.zero_()  # type: ignore[union-attr, operator]
    assert float(network.outputs(x).std()) > 0


class DataDependent(nn.Module):
    """Branches on its values: no single graph says what it computes."""

    def forward(self, x: Tensor) -> Tensor:
        return x[:, :2] * 2 if bool(x.sum() > 0) else x[:, :2]


class Unknown(nn.Module):
    """Exports, but with an operator that the graph does not know."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.cumsum(x, dim=1)


@pytest.mark.parametrize(("make", "why"), [(DataDependent, "torch.export cannot follow"), (Unknown, "unknown operator aten::cumsum")])
def test_without_a_graph_the_module_itself_serves_and_says_so(make: Callable[[], nn.Module], why: str) -> None:
    network = from_module(make(), (3,), name="odd")
    assert isinstance(network, ModuleNetwork)
    assert network.graph is None
    assert network.differentiable
    assert any(why in note and "no operator graph" in note for note in network.notes)
    x = torch.randn(6, 3)
    torch.testing.assert_close(network.outputs(x), make()(x))
    double = network.in_float64()
    assert double is not None
    assert double.outputs(x.double()).dtype is torch.float64
    with pytest.raises(ModelError, match=why):
        from_module(make(), (3,), graph="required")


def _through_a_view(x: Tensor) -> Tensor:
    x = x * 2
    x[:, :2].clamp_(max=6.0)
    return x


def _through_a_dropout(x: Tensor) -> Tensor:
    x = x * 2
    F.dropout(x, 0.5, False).clamp_(max=6.0)
    return x


def _below_a_view(x: Tensor) -> Tensor:
    x = x * 2
    rows = x.view(-1, 3, 1)
    x.clamp_(max=6.0)
    return rows.flatten(1)


def _of_one_piece(x: Tensor) -> Tensor:
    first, second = (x * 2).split([1, 2], dim=1)
    second.clamp_(max=6.0)
    return torch.cat([first, second], dim=1)


def _early_softplus(x: Tensor) -> Tensor:
    return F.softplus(x, threshold=5.0)


def _halved(x: Tensor) -> Tensor:
    return x.half().float()


ODD = [_through_a_view, _through_a_dropout, _below_a_view, _early_softplus, _halved]


@pytest.mark.parametrize("function", ODD, ids=lambda f: f.__name__)
def test_what_random_inputs_would_not_show_is_refused(function: Callable[[Tensor], Tensor]) -> None:
    """What is changed in place under another name, an early end of a softplus, half precision: no graph of another function."""
    network = from_module(Of(function), (3,))
    assert network.graph is None
    x = torch.tensor([[4.0, 7.0, -3.0]])
    torch.testing.assert_close(network.outputs(x), function(x))


def test_numbers_changed_in_place_whose_other_names_are_not_read_again() -> None:
    agree(Of(lambda x: F.relu_((x * 2).flatten(1))), (3,))
    agree(Of(lambda x: F.relu((x * 2).view(-1, 3), inplace=True) + 1), (3,))


def test_unknown_operator_lists_the_known_ones() -> None:
    with pytest.raises(UnsupportedOperatorError, match=r"call 'cumsum'.*known: abs.*view"):
        graph_from_module(Unknown(), (3,))


def test_graph_never_is_said() -> None:
    network = from_module(nn.Linear(3, 2), (3,), graph="never")
    assert isinstance(network, ModuleNetwork)
    assert any("as asked" in n for n in network.notes)


class BatchMean(nn.Module):
    """Its rows depend on each other: on a batch it is another function than row by row."""

    def forward(self, x: Tensor) -> Tensor:
        return x - x.mean(dim=0, keepdim=True) + x.sum(dim=1, keepdim=True)


def test_a_module_that_mixes_its_batch_gets_no_graph() -> None:
    with pytest.raises(ModelError, match="deviates from the torch module"):
        from_module(BatchMean(), (3,), graph="required")


class OnlyFloat32(BatchMean):
    """The same, and it does not run in float64, in which such deviations are looked at again."""

    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(super().forward(x).float())


def test_a_module_that_does_not_run_in_float64_serves_by_itself() -> None:
    network = from_module(OnlyFloat32(), (3,))
    assert network.graph is None
    assert any("does not run in float64" in note for note in network.notes)


BAD: list[tuple[str, Callable[[], nn.Module], str]] = [
    ("tuple", lambda: Of(lambda x: (x, x)), "returns tuple"),
    ("dict", lambda: Of(lambda x: {"logits": x}), "returns dict"),
    ("labels", lambda: Of(lambda x: x.argmax(dim=1)), "not labels"),
    ("one row", lambda: Of(lambda x: x.sum()), "one row per input"),
    ("width", lambda: nn.Linear(5, 2), "fails on a batch of shape"),
    ("half", lambda: nn.Linear(3, 2).half(), r"convert it with \.float"),
]


@pytest.mark.parametrize(("make", "match"), [b[1:] for b in BAD], ids=[b[0] for b in BAD])
def test_modules_that_cannot_be_used(make: Callable[[], nn.Module], match: str) -> None:
    with pytest.raises(ModelError, match=match):
        from_module(make(), (3,))


@pytest.mark.parametrize("graph", ["auto", "never"])
def test_nan_weights_are_refused_with_and_without_a_graph(graph: Any) -> None:
    module = nn.Linear(3, 2)
    with torch.no_grad():
        module.weight[0, 1] = float("nan")
    with pytest.raises(ModelError, match="'weight' holds NaN"):
        from_module(module, (3,), graph=graph)


def test_shapes_and_modes_are_asked_for() -> None:
    with pytest.raises(UsageError, match="give input_shape"):
        from_module(nn.Linear(3, 2))
    with pytest.raises(UsageError, match="differ"):
        from_module(nn.Linear(3, 2), (3,), domain=Box.filled((4,), 0, 1))
    with pytest.raises(UsageError, match="unknown graph mode 'maybe'"):
        from_module(nn.Linear(3, 2), (3,), graph="maybe")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="device 'nonsense'"):
        from_module(nn.Linear(3, 2), (3,), device="nonsense")


def test_final_softmax_of_a_module_is_taken_off_and_its_program_replays_the_logits() -> None:
    module = seeded(lambda: nn.Sequential(nn.Linear(4, 3), nn.Softmax(dim=-1)))
    network = from_module(module, (4,))
    assert network.convention.meaning is Meaning.LOGITS
    assert network.graph is not None
    assert [n.operator.name for n in network.graph.nodes] == ["Dense"]
    x = 200 * torch.randn(5, 4)  # probabilities of exactly 0 and 1 in float32
    ((name, evaluate),) = network.originals().items()
    assert name == "torch-program-float32"
    np.testing.assert_allclose(evaluate(x.numpy()), network.outputs(x), rtol=1e-5)


def test_double_modules_stay_double() -> None:
    network = from_module(nn.Linear(3, 2).double(), (3,))
    assert network.dtype == "float64"
    assert network.in_float64() is network
