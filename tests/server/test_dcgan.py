"""Compare DCGANs with the layers of torch.nn: a generator from a file makes the same pictures as the layers."""

from __future__ import annotations

from argparse import Namespace
from collections import OrderedDict
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from inference_server.checkpoints import dcgan_torch, dcgan_torch7
from inference_server.checkpoints.errors import CheckpointError
from inference_server.checkpoints.inert import Inert
from inference_server.checkpoints.native import save_generator
from inference_server.checkpoints.opening import load_generator
from inference_server.checkpoints.reading import read_file
from inference_server.generators.dcgan import DCGAN, DCGANConfig, DCGANLayer, DCGANProjection, state_shapes
from inference_server.generators.kinds import build
from torch7_writer import Lua, Writer

FIXTURES = Path(__file__).parent / "fixtures"


class Examples(nn.Module):
    """Layers in one Sequential called main, 32 x 32 pixels."""

    def __init__(self, z: int = 6, channels: int = 3) -> None:
        super().__init__()
        self.main = nn.Sequential(
            nn.ConvTranspose2d(z, 8, 4, 1, 0, bias=False),
            nn.BatchNorm2d(8),
            nn.ReLU(True),
            nn.ConvTranspose2d(8, 5, 4, 2, 1, bias=False),
            nn.BatchNorm2d(5),
            nn.ReLU(True),
            nn.ConvTranspose2d(5, 4, 4, 2, 1, bias=False),
            nn.BatchNorm2d(4),
            nn.ReLU(True),
            nn.ConvTranspose2d(4, channels, 4, 2, 1, bias=False),
            nn.Tanh(),
        )

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        return self.main(z)


class Projected(nn.Module):
    """Project and reshape, to a picture that is not square, with 5 x 5 kernels; the activations are in the code."""

    def __init__(self, size: tuple[int, int] = (3, 3)) -> None:
        super().__init__()
        self.size = size
        self.project = nn.Linear(6, 7 * size[0] * size[1])
        self.norm0 = nn.BatchNorm2d(7)
        self.deconv1 = nn.ConvTranspose2d(7, 5, 5, 2, 2, output_padding=1)
        self.norm1 = nn.BatchNorm2d(5)
        self.deconv2 = nn.ConvTranspose2d(5, 1, 5, 2, 2, output_padding=1)

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.norm0(self.project(z.flatten(1)).view(-1, 7, *self.size)))
        return torch.tanh(self.deconv2(torch.relu(self.norm1(self.deconv1(x)))))


def trained(module: nn.Module) -> nn.Module:
    """Give a network weights, biases and statistics that differ from those of a new network."""
    torch.manual_seed(4)
    for name, values in module.state_dict().items():
        if values.is_floating_point():
            values.copy_(
                torch.rand_like(values) + 0.5 if name.endswith("running_var") else torch.randn_like(values) / 2
            )
    return module.eval().requires_grad_(False)


def opened(value: Any, folder: Path) -> DCGAN:
    """The generator that is read from a file in which torch stored a value."""
    path = folder / "netG_epoch_24.pth"
    torch.save(value, path)
    kept = read_file(path)[1]
    assert dcgan_torch.recognises(kept)
    generator = dcgan_torch.convert(kept, path.name).build(path.name)
    assert isinstance(generator, DCGAN)
    return generator


def pictures(generator: DCGAN, z: torch.Tensor) -> torch.Tensor:
    return generator.synthesize(generator.truncate(generator.broadcast(generator.map(z)), 0.5, None), "const")


def assert_same_pictures(generator: DCGAN, module: nn.Module) -> None:
    z = torch.randn(3, generator.info.z_dim)
    expected = module(z[:, :, None, None])
    assert expected.shape[1:] == (generator.info.channels, generator.info.height, generator.info.width)
    torch.testing.assert_close(pictures(generator, z), expected, rtol=1e-5, atol=1e-6)


WRAPPINGS = {
    "plain": lambda module: module.state_dict(),
    "netG": lambda module: {"netG": module.state_dict(), "netD": discriminator().state_dict(), "epoch": 3},
    "state_dict": lambda module: {"state_dict": module.state_dict(), "args": Namespace(nz=6)},
    "G in nets": lambda module: {"nets": {"D": discriminator().state_dict(), "G": module.state_dict()}},
    "with a tensor": lambda module: {"generator": module.state_dict(), "fixed_noise": torch.randn(2, 6, 1, 1)},
    "parallel": lambda module: nn.DataParallel(module).state_dict(),
    "one dict for both": lambda module: {
        **{f"discriminator.{key}": value for key, value in discriminator().state_dict().items()},
        **{f"generator.{key}": value for key, value in module.state_dict().items()},
    },
    "sorted by letters": lambda module: OrderedDict(sorted(module.state_dict().items())),
    "whole": lambda module: module,
    "whole, parallel": nn.DataParallel,
    "whole, in a dict": lambda module: {"D": discriminator(), "G": module},
    "half": lambda module: {key: value.half() for key, value in module.state_dict().items()},
}


def discriminator() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 4, 2, 1), nn.LeakyReLU(0.2), nn.Conv2d(4, 8, 4, 2, 1), nn.Conv2d(8, 1, 4))


@pytest.mark.parametrize("wrap", WRAPPINGS.values(), ids=WRAPPINGS.keys())
def test_pictures_are_those_of_the_module(wrap, tmp_path):
    module = trained(Examples())
    generator = opened(wrap(module), tmp_path)
    if wrap is WRAPPINGS["half"]:
        module.load_state_dict({key: value.half() for key, value in module.state_dict().items()})
    assert_same_pictures(generator, module)
    assert generator.info.to_dict() == {
        "kind": "dcgan",
        "name": "netG_epoch_24",
        "z_dim": 6,
        "w_dim": 6,
        "num_ws": 1,
        "width": 32,
        "height": 32,
        "channels": 3,
        "num_classes": 0,
        "spaces": ["z"],
        "has_noise": False,
        "licence": "",
        "training": "",
        "origin": "DCGAN (PyTorch)",
        "assumed": "",
        "has_truncation": False,
        "default_cutoff": None,
        "has_transform": False,
        "normalises_z": False,
        "canvas_step": 8,
    }


def test_a_saved_copy_makes_the_same_pictures(tmp_path):
    for module in (trained(Examples()), trained(Projected())):
        torch.save(module, tmp_path / "net.pth")
        generator = load_generator(tmp_path / "net.pth")
        save_generator(generator, tmp_path / "net.safetensors", {}, torch.float32)
        copy = load_generator(tmp_path / "net.safetensors")
        assert copy.info == generator.info
        assert_same_pictures(copy, module)


def test_averaged_weights_are_preferred(tmp_path):
    module = trained(Examples())
    generator = opened({"netG": Examples().state_dict(), "netG_ema": module.state_dict()}, tmp_path)
    assert_same_pictures(generator, module)


def test_more_than_ten_layers_in_the_order_of_letters(tmp_path):
    layers: list[nn.Module] = [nn.ConvTranspose2d(3, 9, 1), nn.ReLU()]
    for outputs in (8, 7, 6, 5, 3):
        layers += [nn.ConvTranspose2d(layers[-2].out_channels, outputs, 4, 2, 1), nn.ReLU()]
    module = trained(nn.Sequential(*layers[:-1], nn.Tanh()))
    state = module.state_dict()
    assert list(state) != sorted(state)
    assert_same_pictures(opened(dict(sorted(state.items())), tmp_path), module)


@pytest.mark.parametrize(
    ("kernel", "rule"), [(2, (2, 0, 0)), (4, (2, 1, 0)), (5, (2, 2, 1)), (6, (2, 2, 0)), (8, (4, 2, 0))]
)
def test_strides_are_told_from_kernels(kernel, rule, tmp_path):
    stride, padding, more = rule
    module = trained(
        nn.Sequential(
            nn.ConvTranspose2d(5, 4, (3, 2)),
            nn.ReLU(),
            nn.ConvTranspose2d(4, 3, kernel, stride, padding, more, bias=False),
            nn.Tanh(),
        )
    )
    generator = opened(module.state_dict(), tmp_path)
    assert (generator.info.height, generator.info.width) == (3 * stride, 2 * stride)
    assert_same_pictures(generator, module)


def test_projection_of_a_state_dict_is_square(tmp_path):
    module = trained(Projected())
    generator = opened(module.state_dict(), tmp_path)
    assert_same_pictures(generator, module)
    assert (generator.info.width, generator.info.channels, generator.info.canvas_step) == (12, 1, 0)


def test_projection_of_a_module_with_code_of_its_own(tmp_path):
    module = trained(Projected())
    assert_same_pictures(opened(module, tmp_path), module)


@pytest.mark.parametrize(
    "beside",
    [
        {"height": 12, "width": 20},
        {"args": Namespace(output_height=12, output_width=20, input_height=8, input_width=8, lr=0.1)},
        {"config": {"imageHeight": 12, "imageWidth": 20, "height": "tall"}},
    ],
)
def test_projection_of_a_state_dict_whose_size_stands_beside_it(beside, tmp_path):
    module = trained(Projected((3, 5)))
    generator = opened({"netG": module.state_dict(), **beside}, tmp_path)
    assert_same_pictures(generator, module)
    assert (generator.info.width, generator.info.height) == (20, 12)


@pytest.mark.parametrize("norm", [nn.BatchNorm1d(2 * 3 * 5), nn.Identity()])
def test_projection_that_is_not_square(norm, tmp_path):
    module = trained(
        nn.Sequential(
            nn.Flatten(),
            nn.Linear(6, 2 * 3 * 5, bias=False),
            norm,
            nn.LeakyReLU(0.3),
            nn.Dropout(),
            nn.Unflatten(1, (2, 3, 5)),
            nn.ConvTranspose2d(2, 4, 4, 2, 1),
            nn.BatchNorm2d(4, eps=0.01),
            nn.LeakyReLU(0.1),
            nn.ConvTranspose2d(4, 3, 3, 2, 1, 1),
            nn.Sigmoid(),
        )
    )
    generator = opened(module, tmp_path)
    assert (generator.info.height, generator.info.width) == (12, 20)
    z = torch.randn(3, 6)
    torch.testing.assert_close(pictures(generator, z), module(z) * 2 - 1, rtol=1e-5, atol=1e-6)


def test_a_module_is_obeyed_where_a_state_dict_could_not_tell(tmp_path):
    module = trained(
        nn.Sequential(
            nn.ConvTranspose2d(6, 4, (4, 3), 1, 0),
            nn.ConvTranspose2d(4, 4, 3, 1, 1),
            nn.BatchNorm2d(4, affine=False),
            nn.Tanh(),
            nn.ConvTranspose2d(4, 1, (3, 4), (1, 2), 1),
        )
    )
    generator = opened(module, tmp_path)
    assert_same_pictures(generator, module)
    assert generator.info.canvas_step == 0


def test_a_canvas_is_a_larger_picture(tmp_path):
    module = trained(Examples())
    generator = opened(module.state_dict(), tmp_path)
    z = torch.randn(2, 6, 3, 5)
    image = pictures(generator, z)
    assert image.shape == (2, 3, 32 + 2 * generator.info.canvas_step, 32 + 4 * generator.info.canvas_step)
    torch.testing.assert_close(image, module(z), rtol=1e-5, atol=1e-6)
    one = torch.randn(2, 6)
    torch.testing.assert_close(pictures(generator, one[:, :, None, None]), pictures(generator, one))


def frozen(module: nn.Module, z_dim: int = 6) -> nn.Module:
    """Give a network the statistics of 256 z of seed 0, as torch's own layers compute them."""
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = None
            layer.reset_running_stats()
    z = torch.from_numpy(np.random.RandomState(0).randn(256, z_dim).astype(np.float32))
    module.train()(z[:, :, None, None])
    return module.eval()


@pytest.mark.parametrize("missing", ["not stored", "those of a new network"])
def test_missing_statistics_are_those_of_a_fixed_batch(missing, tmp_path):
    module = trained(Examples())
    state = module.state_dict()
    for name in list(state):
        if name.endswith("running_mean"):
            state[name] = torch.zeros_like(state[name])
        elif name.endswith("running_var"):
            state[name] = torch.ones_like(state[name])
        if missing == "not stored" and ("running" in name or "tracked" in name):
            del state[name]
    generator = opened(state, tmp_path)
    frozen(module)
    for norm in module.modules():
        if isinstance(norm, nn.BatchNorm2d):  # torch stores the unbiased variance, and normalises with the biased one
            count = 256 * {8: 16, 5: 64, 4: 256}[norm.num_features]
            norm.running_var *= (count - 1) / count
    z = torch.randn(3, 6)
    torch.testing.assert_close(pictures(generator, z), module(z[:, :, None, None]), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(pictures(generator, z[:1]), pictures(generator, z)[:1], rtol=1e-5, atol=1e-6)


def test_statistics_of_the_batch_on_demand(tmp_path):
    module = trained(Examples())
    generator = opened(module.state_dict(), tmp_path)
    z = torch.randn(5, 6)
    stored = pictures(generator, z)
    generator.use_batch_statistics(True)
    torch.testing.assert_close(pictures(generator, z), module.train()(z[:, :, None, None]), rtol=1e-4, atol=1e-4)
    generator.use_batch_statistics(False)
    assert torch.equal(pictures(generator, z), stored)


def test_a_picture_does_not_depend_on_its_batch_mates(tmp_path):
    generator = opened(trained(Examples()).state_dict(), tmp_path)
    z = torch.randn(4, 6)
    together = pictures(generator, z)
    for row in range(4):
        torch.testing.assert_close(pictures(generator, z[row : row + 1])[0], together[row])


REFUSED = {
    "kernel": (
        nn.Sequential(nn.ConvTranspose2d(6, 4, 4), nn.ConvTranspose2d(4, 3, 3, 2, 1, 1)).state_dict(),
        "whole mod",
    ),
    "picture": (Projected((2, 3)).state_dict(), "how wide"),
    "picture of another size": ({"netG": Projected((2, 3)).state_dict(), "height": 5, "width": 5}, "how wide"),
    "two linear layers": (
        nn.Sequential(
            nn.Linear(4, 6), nn.Linear(6, 4), nn.ConvTranspose2d(4, 4, 4), nn.ConvTranspose2d(4, 3, 4)
        ).state_dict(),
        "stack",
    ),
    "a convolution of the other kind": (
        nn.Sequential(nn.ConvTranspose2d(6, 4, 4), nn.Conv2d(4, 4, 3, 2), nn.ConvTranspose2d(4, 3, 4)),
        "has groups or steps",
    ),
    "groups": (
        nn.Sequential(nn.ConvTranspose2d(4, 4, 4), nn.ConvTranspose2d(4, 1, 4, groups=1, dilation=2)),
        "dilated",
    ),
    "order": (
        nn.Sequential(nn.ConvTranspose2d(6, 4, 4), nn.ReLU(), nn.BatchNorm2d(4), nn.ConvTranspose2d(4, 3, 4)),
        "follow",
    ),
    "two activations": (
        nn.Sequential(nn.ConvTranspose2d(6, 4, 4), nn.ReLU(), nn.Tanh(), nn.ConvTranspose2d(4, 3, 4)),
        "two activations",
    ),
    "begins with a norm": (
        nn.Sequential(nn.BatchNorm2d(6), nn.ConvTranspose2d(6, 4, 4), nn.ConvTranspose2d(4, 3, 4)),
        "begin",
    ),
    "too large": (
        nn.Sequential(nn.ConvTranspose2d(6, 3, 4), *[nn.ConvTranspose2d(3, 3, 1, 16) for _ in range(4)]),
        "limit",
    ),
}


@pytest.mark.parametrize(("value", "word"), REFUSED.values(), ids=REFUSED.keys())
def test_what_is_no_dcgan_is_refused_with_its_reason(value, word, tmp_path):
    torch.save(value, tmp_path / "odd.pth")
    kept = read_file(tmp_path / "odd.pth")[1]
    assert dcgan_torch.recognises(kept)
    with pytest.raises(CheckpointError, match=rf"^odd\.pth is .*{word}"):
        dcgan_torch.convert(kept, "odd.pth")


def damaged(name: str, value: Any) -> Any:
    state: dict[str, Any] = dict(trained(Examples()).state_dict())
    state[name] = value
    return state


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("main.1.running_var", torch.ones(7)),
        ("main.1.weight", torch.ones(8, dtype=torch.int64)),
        ("main.3.bias", torch.ones(4)),
        ("main.3.bias", torch.ones(5, 1)),
        ("main.0.weight", torch.ones(0, 8, 4, 4)),
        ("main.0.weight", torch.ones(6, 8, 0, 4)),
    ],
)
def test_tensors_that_do_not_fit_are_named(name, value):
    state = damaged(name, value)
    assert dcgan_torch.recognises(state)
    with pytest.raises(CheckpointError, match=r"^net\.pth is "):
        dcgan_torch.convert(state, "net.pth").build("net.pth")


@pytest.mark.parametrize("path", sorted(FIXTURES.glob("*.pkl")), ids=lambda path: path.stem)
def test_style_generators_are_not_recognised(path):
    value = read_file(path)[1]
    assert not dcgan_torch.recognises(value)
    assert not dcgan_torch7.recognises(value)


@pytest.mark.parametrize(
    "value",
    [
        None,
        3,
        {},
        {"a": {"b": {"c": {"d": {}}}}},
        {1: torch.ones(2)},
        {"weight": "text"},
        {"w": torch.ones(3, 3, 4, 4)},
        discriminator().state_dict(),
        nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 3)).state_dict(),
        damaged("main.2.alpha", torch.ones(1)),
        Inert("torch.nn", "Module", state={"_modules": {"a": 3}}),
        Inert("torch.nn", "Module", state={"_modules": {"a": Inert("x", "ConvTranspose2d", state={"_modules": {}})}}),
    ],
)
def test_other_things_are_not_recognised(value):
    assert dcgan_torch.recognises(value) is False
    assert dcgan_torch7.recognises(value) is False


def test_modules_within_modules_without_end_are_survived():
    inner = Inert("torch.nn", "Sequential", state={"_modules": {}})
    for _ in range(40):
        inner = Inert("torch.nn", "Sequential", state={"_modules": {str(key): inner for key in range(50)}})
    inner.state["_modules"]["itself"] = inner
    assert dcgan_torch.recognises(inner) is False
    table = Inert("torch7", "nn.Sequential", state={"modules": {}})
    for _ in range(40):
        table = Inert("torch7", "nn.Sequential", state={"modules": dict.fromkeys(range(50), table)})
    table.state["modules"][51] = table
    assert dcgan_torch7.recognises(table) is False


# Torch7


def in_torch7(module: nn.Sequential, cleared: bool = False, old: bool = False) -> Inert:
    """The object that Torch7 would store for the same layers."""
    layers = [_layer_in_torch7(layer, cleared, old) for layer in module]
    return Inert("torch7", "nn.Sequential", state={"modules": dict(enumerate(layers, 1)), "train": True})


def _layer_in_torch7(layer: nn.Module, cleared: bool, old: bool) -> Inert:
    empty = torch.empty(0)
    state: dict[str, Any] = {"output": empty, "gradInput": empty, "_type": "torch.FloatTensor"}
    if isinstance(layer, nn.ConvTranspose2d):
        state |= {"weight": layer.weight.data, "nInputPlane": layer.in_channels, "nOutputPlane": layer.out_channels}
        state |= {"gradWeight": empty} if cleared else {"gradWeight": torch.zeros_like(layer.weight)}
        state |= {"bias": layer.bias.data} if layer.bias is not None else {"noBias": True}
        state |= {"kH": layer.kernel_size[0], "kW": layer.kernel_size[1], "dH": layer.stride[0], "dW": layer.stride[1]}
        state |= {"padH": layer.padding[0], "padW": layer.padding[1]}
        state |= {"adjH": layer.output_padding[0], "adjW": layer.output_padding[1]}
        return Inert("torch7", "nn.SpatialFullConvolution", state=state)
    if isinstance(layer, nn.BatchNorm2d):
        state |= {
            "weight": layer.weight.data,
            "bias": layer.bias.data,
            "eps": layer.eps,
            "affine": True,
            "momentum": 0.1,
        }
        state |= {"running_mean": layer.running_mean}
        deviation = (layer.running_var.double() + layer.eps) ** -0.5
        state |= {"running_std": deviation.float()} if old else {"running_var": layer.running_var}
        return Inert("torch7", "nn.SpatialBatchNormalization", state=state)
    if isinstance(layer, nn.Linear):
        return Inert("torch7", "nn.Linear", state={**state, "weight": layer.weight.data, "bias": layer.bias.data})
    if isinstance(layer, nn.Unflatten):
        size = torch.tensor([-1, *layer.unflattened_size])
        return Inert("torch7", "nn.View", state={**state, "size": size, "numElements": 30})
    if isinstance(layer, nn.LeakyReLU):
        return Inert("torch7", "nn.LeakyReLU", state={**state, "negval": layer.negative_slope})
    return Inert("torch7", f"nn.{type(layer).__name__}", state={**state, "inplace": True, "val": 0, "threshold": 0})


@pytest.mark.parametrize("cleared", [True, False])
@pytest.mark.parametrize("old", [True, False])
@pytest.mark.parametrize("wrapped", ["alone", "in a table", "parallel"])
def test_torch7(cleared, old, wrapped):
    module = trained(Examples())
    value: Any = in_torch7(module.main, cleared, old)
    if wrapped == "in a table":
        value = {"epoch": 3, "netD": Inert("torch7", "nn.Sequential", state={"modules": {}}), "netG": value}
    elif wrapped == "parallel":
        value = Inert("torch7", "nn.DataParallelTable", state={"modules": {1: value, 2: in_torch7(module.main)}})
    assert dcgan_torch7.recognises(value)
    generator = dcgan_torch7.convert(value, "landscapes.t7").build("landscapes.t7")
    assert isinstance(generator, DCGAN)
    assert_same_pictures(generator, module)
    assert generator.info.origin == "DCGAN (Torch7)"
    assert generator.info.canvas_step == 8


def test_torch7_projection():
    module = trained(
        nn.Sequential(
            nn.Linear(6, 30),
            nn.Unflatten(1, (2, 3, 5)),
            nn.BatchNorm2d(2),
            nn.LeakyReLU(0.3),
            nn.ConvTranspose2d(2, 3, (4, 2), 2, (1, 0)),
            nn.Tanh(),
        )
    )
    generator = dcgan_torch7.convert(in_torch7(module), "net.t7").build("net.t7")
    z = torch.randn(2, 6)
    torch.testing.assert_close(pictures(generator, z), module(z), rtol=1e-5, atol=1e-6)
    assert (generator.info.height, generator.info.width) == (6, 10)


@pytest.mark.parametrize("name", ["nn.View", "nn.Reshape"])
def test_torch7_shapes_on_top_only_arrange_z(name):
    """art-DCGAN's generate.lua drops them, too."""
    module = trained(Examples())
    value = in_torch7(module.main)
    top = Inert("torch7", name, state={"size": torch.tensor([-1, 6, 1, 1]), "numElements": 6})
    value.state["modules"] = dict(enumerate([top, *value.state["modules"].values()], 1))
    generator = dcgan_torch7.convert(value, "net.t7").build("net.t7")
    z = torch.randn(2, 6)
    torch.testing.assert_close(pictures(generator, z), module(z[:, :, None, None]), rtol=1e-5, atol=1e-6)


def test_torch7_without_statistics():
    module = trained(Examples())
    value = in_torch7(module.main, cleared=True)
    for layer in value.state["modules"].values():
        for name in ("running_mean", "running_var"):
            if name in layer.state:
                layer.state[name] = torch.empty(0)
    generator = dcgan_torch7.convert(value, "net.t7").build("net.t7")
    again = dcgan_torch.convert(
        {key: tensor for key, tensor in module.state_dict().items() if "running" not in key}, "net.pth"
    ).build("net.pth")
    for name, tensor in generator.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name])


@pytest.mark.parametrize(
    ("index", "change", "word"),
    [
        (1, {"weight": torch.empty(0)}, "no weights"),
        (1, {"weight": torch.ones(3, 4)}, "shape"),
        (1, {"dW": "two"}, "dW"),
        (1, {"dW": 0}, "stride"),
        (1, {"groups": 2}, "groups"),
        (1, {"kW": 1, "padW": 9}, "padding|pixels"),
        (2, dict.fromkeys(("weight", "bias", "running_mean", "running_var")), "no numbers"),
        (2, {"eps": float("nan")}, "eps"),
        (2, {"running_var": torch.ones(3)}, "running_var"),
        (4, {"weight": torch.ones(9, 5, 4, 4)}, "channels"),
    ],
)
def test_torch7_damage_is_named(index, change, word):
    value = in_torch7(trained(Examples()).main)
    value.state["modules"][index].state.update(change)
    assert dcgan_torch7.recognises(value)
    with pytest.raises(CheckpointError, match=rf"^net\.t7 is .*({word})"):
        dcgan_torch7.convert(value, "net.t7").build("net.t7")


def test_torch7_layers_of_other_kinds_are_named():
    value = in_torch7(trained(Examples()).main)
    value.state["modules"][3].name = "nn.SpatialConvolution"
    with pytest.raises(CheckpointError, match=r"nn\.SpatialConvolution"):
        dcgan_torch7.convert(value, "net.t7")


def as_lua(value: Any, prefix: str) -> Any:
    """For the writer of Torch7's files; ``prefix`` replaces ``nn.`` for layers that exist in cudnn."""
    if isinstance(value, Inert):
        name = value.name if value.name == "nn.Sequential" else value.name.replace("nn.", prefix)
        return Lua(name, as_lua(value.state, prefix))
    if isinstance(value, dict):
        return {key: as_lua(item, prefix) for key, item in value.items()}
    return value.numpy() if isinstance(value, torch.Tensor) else value


@pytest.mark.parametrize(
    ("prefix", "cuda", "text"), [("nn.", False, False), ("cudnn.", True, False), ("nn.", False, True)]
)
def test_torch7_file(prefix, cuda, text, tmp_path):
    module = trained(Examples())
    path = tmp_path / "walls.t7"
    path.write_bytes(Writer(text=text, cuda=cuda).write(as_lua(in_torch7(module.main, cleared=True), prefix)).bytes())
    kind, value = read_file(path)
    assert kind == "torch7"
    assert dcgan_torch7.recognises(value)
    assert not dcgan_torch.recognises(value)
    generator = dcgan_torch7.convert(value, path.name).build(path.name)
    assert isinstance(generator, DCGAN)
    assert_same_pictures(generator, module)


# The network itself

PLAIN = DCGANConfig(
    z_dim=4, layers=(DCGANLayer(4, 5, stride=(1, 1), padding=(0, 0)), DCGANLayer(5, 3, bias=True, batch_norm=False))
)
SMALL = DCGANProjection(shape=(4, 2, 3), batch_norm="features")


@pytest.mark.parametrize(
    "config",
    [PLAIN, replace(PLAIN, projection=SMALL), replace(PLAIN, projection=replace(SMALL, bias=False, batch_norm="none"))],
)
def test_config_goes_through_json_and_shapes_are_known_beforehand(config):
    assert DCGANConfig.from_dict(config.to_dict()) == config
    generator = DCGAN(config)
    assert state_shapes(config) == {key: tuple(value.shape) for key, value in generator.state_dict().items()}
    copy = build("dcgan", config, generator.state_dict(), {})
    assert copy.synthesize(torch.randn(2, 1, 4), "none").shape == (2, 3, *config.size)


@pytest.mark.parametrize(
    ("layer", "word"),
    [
        ({"inputs": 0}, "inputs"),
        ({"outputs": 2.0}, "outputs"),
        ({"kernel": (4,)}, "kernel"),
        ({"kernel": "44"}, "kernel"),
        ({"stride": (0, 1)}, "stride"),
        ({"padding": (-1, 0)}, "padding"),
        ({"output_padding": (1, 0)}, "output_padding"),
        ({"bias": 1}, "bias"),
        ({"batch_norm": "channels"}, "batch_norm"),
        ({"activation": "swish"}, "activation"),
        ({"slope": float("nan")}, "slope"),
        ({"epsilon": "small"}, "epsilon"),
        ({"depth": 3}, "depth"),
        ({"outputs": 6}, "channels"),
    ],
)
def test_a_layer_that_cannot_be_is_refused(layer, word):
    values = PLAIN.to_dict()
    values["layers"] = [{**values["layers"][0], **layer}, values["layers"][1]]
    with pytest.raises(ValueError, match=word):
        DCGANConfig.from_dict(values)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"z_dim": 0}, "z_dim"),
        ({"layers": []}, "layers"),
        ({"layers": 3}, "layers"),
        ({"layers": [3]}, "named values"),
        ({"layers": [{"inputs": 4}]}, "missing"),
        ({"layers": PLAIN.to_dict()["layers"][:1]}, "1, 3 or 4"),
        ({"projection": {"shape": [4, 2]}}, "shape"),
        ({"projection": {"shape": [4, 2, 3], "batch_norm": True}}, "batch_norm"),
        ({"projection": {"shape": [5, 2, 3]}}, "channels"),
        ({"projection": {"shape": [4, 8000, 8000]}}, "limit|too many"),
        ({"depth": 2}, "depth"),
    ],
)
def test_a_config_that_cannot_be_is_refused(change, word):
    with pytest.raises(ValueError, match=word):
        DCGANConfig.from_dict({**PLAIN.to_dict(), **change})


def test_wrong_shapes_are_refused():
    generator = DCGAN(PLAIN)
    projected = DCGAN(replace(PLAIN, projection=SMALL))
    for own, z in (
        (generator, torch.randn(1, 5)),
        (generator, torch.randn(1, 1, 4)),
        (projected, torch.randn(1, 4, 2, 2)),
    ):
        with pytest.raises(ValueError, match="z must have shape"):
            own.map(z)
    for own, ws in (
        (generator, torch.randn(1, 2, 4)),
        (generator, torch.randn(1, 5, 2, 2)),
        (projected, torch.randn(1, 4, 1, 1)),
    ):
        with pytest.raises(ValueError, match="ws must have shape"):
            own.synthesize(ws, "const")
    with pytest.raises(ValueError, match="noise"):
        generator.synthesize(torch.randn(1, 1, 4), "fresh")
    with pytest.raises(ValueError, match="classes"):
        generator.map(torch.randn(1, 4), torch.ones(1, 2))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_close(dtype):
    generator = DCGAN(PLAIN).eval().requires_grad_(False)
    for layer in generator.layers:
        layer.weight.normal_()
    ws = torch.randn(2, 1, 4)
    exact = generator.synthesize(ws, "const")
    generator.set_precision(dtype)
    rough = generator.synthesize(ws, "const")
    assert rough.dtype == torch.float32
    assert 0 < (rough - exact).abs().max() < 0.05 * exact.abs().max()
    generator.set_precision(None)
    assert torch.equal(generator.synthesize(ws, "const"), exact)
