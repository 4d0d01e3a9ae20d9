"""BN-Inception against Figure 5, in the reading whose sums hold (docs/paper.md)."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from bnfold.errors import UsageError
from bnfold_models import create

# output (H, W, C); parameters without a convolution's bias; millions of multiply-adds
FIGURE_5 = {
    "stem.conv1": ((112, 112, 64), 9_536, 118.0),
    "stem.pool1": ((56, 56, 64), 0, 0.0),
    "stem.conv2": ((56, 56, 192), 110_976, 346.8),
    "stem.pool2": ((28, 28, 192), 0, 0.0),
    "mixed.inception3a": ((28, 28, 256), 219_072, 171.0),
    "mixed.inception3b": ((28, 28, 320), 260_160, 203.1),
    "mixed.inception3c": ((14, 14, 576), 385_088, 143.9),
    "mixed.inception4a": ((14, 14, 576), 609_984, 119.2),
    "mixed.inception4b": ((14, 14, 576), 665_344, 130.1),
    "mixed.inception4c": ((14, 14, 576), 895_936, 175.2),
    "mixed.inception4d": ((14, 14, 576), 1_108_032, 216.8),
    "mixed.inception4e": ((7, 7, 1024), 1_439_744, 162.6),
    "mixed.inception5a": ((7, 7, 1024), 2_182_272, 106.8),
    "mixed.inception5b": ((7, 7, 1024), 2_279_616, 111.5),
    "linear": ((1000,), 1_025_000, 1.0),
}
COUNTS = {  # parameters, and billions of multiply-adds
    "bn-inception": (11_194_984, 2.0189),
    "bn-inception,stem=separable": (11_188_288, 1.9349),
    "bn-inception,norm=false": (11_185_032, 2.0189),  # what a fold leaves
    "inception": (11_185_032, 2.0189),
    "inception,stem=separable": (11_178_336, 1.9349),
}
VARIANTS = (
    "inception", "inception,nonlinearity=sigmoid", "bn-inception,lrn=true,dropout=0.4",
    "bn-inception", "bn-inception,nonlinearity=sigmoid", "bn-inception,stem=separable",
)  # fmt: skip


def counted(name: str) -> tuple[nn.Module, dict[str, tuple[int, ...]], dict[str, int]]:
    """The network, the (H, W, C) of each module's output and its own multiply-adds, on shapes."""
    shapes: dict[str, tuple[int, ...]] = {}
    products: dict[str, int] = {}

    def told(path: str, module: nn.Module):
        def hook(_, __, out):
            shapes[path] = tuple(out.shape[2:]) + tuple(out.shape[1:2])
            if isinstance(module, nn.Conv2d | nn.Linear):
                products[path] = out[0].numel() * module.weight[0].numel()

        return hook

    with torch.device("meta"):
        model = create(name, classes=1000, channels=3, size=(224, 224))
        for path, module in model.named_modules():
            module.register_forward_hook(told(path, module))
        model(torch.empty(2, 3, 224, 224))
    return model, shapes, products


def test_figure_5():
    model, shapes, products = counted("bn-inception")
    found = {
        path: (
            shapes[path],
            sum(p.numel() for p in model.get_submodule(path).parameters()),
            round(sum(v for k, v in products.items() if f"{k}.".startswith(f"{path}.")) / 1e6, 1),
        )
        for path in FIGURE_5
    }
    assert found == FIGURE_5


@pytest.mark.parametrize("name", COUNTS)
def test_counts(name):
    model, _, products = counted(name)
    count = sum(p.numel() for p in model.parameters())
    assert (count, round(sum(products.values()) / 1e9, 4)) == COUNTS[name]


def test_statistics_and_biases():
    """69 BatchNorms over 9,952 maps; none of their convolutions has a bias."""
    with torch.device("meta"):
        model = create("bn-inception", classes=1000, channels=3)
    running = [b for n, b in model.named_buffers() if "running" in n]
    assert sum(b.numel() for b in running) == 19_904
    convs = [m for m in model.modules() if isinstance(m, nn.Conv2d)]
    assert len(convs) == 69
    assert all(c.bias is None for c in convs)


@pytest.mark.parametrize("name", VARIANTS)
def test_one_step_at_reduced_resolution(name):
    model = create(name, classes=10, channels=3, size=(64, 64))
    torch.nn.functional.cross_entropy(
        model(torch.randn(4, 3, 64, 64)), torch.arange(4)
    ).backward()  # fmt: skip
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize(("options", "kept"), [
    ("lrn=true", {nn.LocalResponseNorm: 2}), ("dropout=0.4", {nn.LocalResponseNorm: 0}),
    ("nonlinearity=sigmoid", {nn.Sigmoid: 69, nn.ReLU: 0}),
    ("norm=false,width=0.25", {nn.BatchNorm2d: 0, nn.ReLU: 69}),
], ids=str)  # fmt: skip
def test_options(options, kept):
    model = create(f"bn-inception-small,{options}")
    for kind, count in kept.items():
        assert sum(isinstance(m, kind) for m in model.modules()) == count
    assert model.dropout.p == (0.4 if options == "dropout=0.4" else 0.0)


def test_small_keeps_half_of_the_size():
    """28 pixels: 3a at 14, 4a at 7, 5a at 4."""
    model = create("bn-inception-small")
    sizes = {}
    for path in ("stem", "mixed.inception3c", "mixed.inception4e"):
        model.get_submodule(path).register_forward_hook(
            lambda _, __, out, path=path: sizes.update({path: out.shape[2]})
        )
    model(torch.randn(2, 1, 28, 28))
    assert list(sizes.values()) == [14, 7, 4]


@pytest.mark.parametrize(("last", "maps", "size"), [
    (1, 204, (28, 28)), (2, 404, (28, 20)), (1, 204, (9, 33)),
], ids=str)  # fmt: skip
def test_per_activation(last, maps, size):
    """Sizes of 28, 20, 9, 33 leave 4, 3, 2, 5; each place has the mean zero by itself."""
    grid = math.prod(-(-side // 8) for side in size)
    model = create(f"bn-inception-small,per_activation={last}", size=size)
    own = [m for m in model.modules() if isinstance(m, nn.BatchNorm1d)]
    assert sum(m.num_features for m in own) == maps * grid
    found = {}
    own[0].register_forward_hook(lambda _, __, out: found.update(y=out))
    model(torch.randn(16, 1, *size))
    assert torch.allclose(found["y"].mean(0), torch.zeros(()), atol=1e-5)


def test_gain_scales_kernels_alone():
    drawn = []
    for gain in (1, 2):
        torch.manual_seed(0)
        drawn.append(create(f"bn-inception-small,gain={gain}").state_dict())
    kernel, linear = "mixed.inception3a.branches.conv1x1.conv.weight", "linear.weight"
    assert torch.equal(drawn[1][kernel], 2 * drawn[0][kernel])
    assert torch.equal(drawn[1][linear], drawn[0][linear])


@pytest.mark.parametrize(("name", "says"), [
    ("bn-inception,depth=3", "no option 'depth'"), ("bn-inception,dropout=much", "not a number"),
    ("bn-inception,lrn=2", "not true or false"), ("bn-inception,dropout=1", "dropout must lie"),
    ("bn-inception,stem=big,width=x", "not one of plain, separable, small; width=x"),
    ("bn-inception,width=nan", "width"), ("bn-inception,per_activation=3", "0..2"),
    ("digits,width=2", "has no options"),
    ("bn-inceptoin,width=2", "unknown model 'bn-inceptoin'"),
], ids=lambda v: v if "," in v else "")  # fmt: skip
def test_bad_options(name, says):
    with pytest.raises(UsageError) as caught:
        create(name)
    assert says in str(caught.value)
