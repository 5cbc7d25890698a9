"""Networks as trainers save them: wrappers, averaged weights, normalised weights, safetensors of others, dill."""

from __future__ import annotations

import copyreg
import io
import pickle
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn.utils import parametrizations

from inference_server.checkpoints import CheckpointError, load_generator
from inference_server.checkpoints.reading import read_file
from inference_server.checkpoints.snapshots import find_snapshots
from inference_server.checkpoints.unsaid import Unsaid, read_settings
from inference_server.checkpoints.wrappers import candidates, without_norms
from inference_server.commands import cli

SEEDS = (1, 2, 3)


def network(
    wrap: Callable[[nn.Module], nn.Module] = lambda layer: layer,
    activation: Callable[[], nn.Module] = nn.ReLU,
    output: Callable[[], nn.Module] = nn.Tanh,
    last_norm: bool = False,
) -> nn.Sequential:
    """A small DCGAN with settled statistics; seeded."""
    torch.manual_seed(0)
    sizes, layers = [6, 8, 8, 4, 3], []
    for index in range(4):
        layer = nn.ConvTranspose2d(sizes[index], sizes[index + 1], 4, 2 if index else 1, 1 if index else 0, bias=False)
        nn.init.normal_(layer.weight, 0, 0.2)
        layers.append(wrap(layer))
        if index < 3:
            layers += [nn.BatchNorm2d(sizes[index + 1]), activation()]
    layers += [nn.BatchNorm2d(3)] if last_norm else []
    net = nn.Sequential(*layers, output())
    return settled(net, 6)


def settled(net: nn.Sequential, z_dim: int, *shape: int) -> nn.Sequential:
    net.train()
    with torch.no_grad():
        for _ in range(6):
            net(torch.randn(8, z_dim, *(shape or (1, 1))))
    return net.eval()


def latents(z_dim: int) -> torch.Tensor:
    return torch.from_numpy(np.stack([np.random.RandomState(s).randn(z_dim) for s in SEEDS]).astype(np.float32))


def pictures(path: Path, given: dict[str, str] | None = None) -> torch.Tensor:
    generator = load_generator(path, given)
    return generator.synthesize(generator.broadcast(generator.map(latents(generator.info.z_dim))), "none")


def right(net: nn.Module, z_dim: int = 6, flat: bool = False) -> torch.Tensor:
    with torch.no_grad():
        return net(latents(z_dim) if flat else latents(z_dim)[:, :, None, None])


def assert_right(path: Path, net: nn.Module, given: dict[str, str] | None = None) -> None:
    torch.testing.assert_close(pictures(path, given), right(net), atol=2e-6, rtol=1e-5)


def named(net: nn.Module, prefix: str) -> dict[str, torch.Tensor]:
    return {prefix + key: value for key, value in net.state_dict().items()}


OTHER = {f"{name}.weight": torch.zeros(2, 2, 1, 1) for name in ("0", "1")}
WRAPPED: dict[str, Callable[[nn.Module], Any]] = {
    "DataParallel": lambda net: named(net, "module."),
    "compiled": lambda net: named(net, "_orig_mod."),
    "both": lambda net: named(net, "module._orig_mod."),
    "compiled inside": lambda net: named(net, "main._orig_mod."),
    "Lightning": lambda net: {
        "state_dict": {**named(net, "generator."), **{f"discriminator.{k}": v for k, v in OTHER.items()}},
        "epoch": 3,
        "optimizer_states": [{"state": {}, "param_groups": []}],
    },
    "Lightning, module in module": lambda net: {
        "state_dict": {**named(net, "netG.main."), "netD.0.weight": OTHER["0.weight"]}
    },
    "averaged": lambda net: {"generator": named(network(activation=nn.Identity), ""), "generator_ema": named(net, "")},
    "params_ema": lambda net: {
        "params": named(network(activation=nn.Identity), ""),
        "params_ema": named(net, "module."),
    },
    "ema of prefixes": lambda net: {**named(network(activation=nn.Identity), "G."), **named(net, "G_ema.")},
    "ema-pytorch": lambda net: {**named(network(activation=nn.Identity), "online_model."), **named(net, "ema_model.")},
    "AveragedModel": lambda net: {**named(net, "module."), "n_averaged": torch.tensor(5)},
    "model_state_dict": lambda net: {"model_state_dict": named(net, ""), "loss": 0.3},
    "netG in checkpoint": lambda net: {"checkpoint": {"netG": named(net, "module.")}, "netD": OTHER},
}


@pytest.mark.parametrize("name", WRAPPED)
@pytest.mark.parametrize("ending", [".pth", ".ckpt", ".pth.tar", ".bin", ""])
def test_wrappers_and_endings_do_not_matter(tmp_path: Path, name: str, ending: str) -> None:
    net = network()
    torch.save(WRAPPED[name](net), tmp_path / f"net{ending}")
    assert_right(tmp_path / f"net{ending}", net)


def test_safetensors_of_others(tmp_path: Path) -> None:
    net = network()
    save_file({key: value.contiguous() for key, value in named(net, "module.").items()}, tmp_path / "net.safetensors")
    assert_right(tmp_path / "net.safetensors", net)


def test_folders_know_the_same_endings(tmp_path: Path) -> None:
    net = network()
    for step in (100, 20, 3):
        torch.save({"state_dict": named(net, "generator.")}, tmp_path / f"epoch={step // 3}-step={step}.ckpt")
    assert [path.stem for path in find_snapshots(tmp_path)] == [
        "epoch=1-step=3",
        "epoch=6-step=20",
        "epoch=33-step=100",
    ]


NORMED: dict[str, Callable[[nn.Module], nn.Module]] = {
    "spectral, old": lambda layer: torch.nn.utils.spectral_norm(layer, n_power_iterations=5),
    "spectral": lambda layer: parametrizations.spectral_norm(layer, n_power_iterations=5),
    "weight, old": lambda layer: torch.nn.utils.weight_norm(layer, dim=1),
    "weight": lambda layer: parametrizations.weight_norm(layer),
}


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("name", NORMED)
def test_normalised_weights_are_put_together(tmp_path: Path, name: str) -> None:
    net = network(NORMED[name])  # the layer from 8 to 8 channels does not show by its shape which axis is normalised
    torch.save(net.state_dict(), tmp_path / "net.pth")
    torch.testing.assert_close(pictures(tmp_path / "net.pth"), right(net), atol=2e-5, rtol=1e-4)


def test_names_that_only_look_normalised_stay() -> None:
    odd = {"a.weight_g": torch.ones(3), "b.weight_orig": torch.ones(2, 2)}
    assert without_norms(odd).keys() == odd.keys()


def test_a_norm_after_the_last_convolution_counts(tmp_path: Path) -> None:
    net = network(last_norm=True)
    torch.save(net.state_dict(), tmp_path / "net.pth")
    assert_right(tmp_path / "net.pth", net)


def test_what_a_state_dict_does_not_say_is_told_and_can_be_given(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    net = network(activation=lambda: nn.LeakyReLU(0.2), output=nn.Sigmoid)
    path = tmp_path / "net.pth"
    torch.save(net.state_dict(), path)
    assert load_generator(path).info.assumed == "activation=relu, output=tanh"
    given = {"activation": "leaky_relu:0.2", "output": "sigmoid"}
    # Our pictures are black at -1, and a sigmoid's at 0.
    torch.testing.assert_close(pictures(path, given), right(net) * 2 - 1, atol=2e-6, rtol=1e-5)
    words = [word for key, value in given.items() for word in ("--set", f"{key}={value}")]
    out = tmp_path / "told.safetensors"
    assert cli.main(["convert", str(path), str(out), *words]) == 0
    assert load_generator(out).info.assumed == ""
    torch.testing.assert_close(pictures(out), pictures(path, given))
    assert cli.main(["info", str(path)]) == 0
    assert "assumed        activation=relu, output=tanh" in capsys.readouterr().out
    array = tmp_path / "x.npy"
    command = ["generate", "--checkpoint", str(path), "--seeds", "1,2,3", "--out", str(array), "--noise", "none"]
    assert cli.main([*command, *words]) == 0
    np.testing.assert_allclose(np.load(array), pictures(path, given).numpy(), atol=1e-6)
    torch.save(network(activation=lambda: nn.LeakyReLU(0.2)), tmp_path / "whole.pth")
    assert load_generator(tmp_path / "whole.pth").info.assumed == ""  # a whole module says everything


def test_settings_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "net.pth"
    torch.save(network().state_dict(), path)
    for given, words in (
        ({"activation": "swish"}, "activation cannot be 'swish': relu, or leaky_relu"),
        ({"conv_clamp": "256"}, "says its own conv_clamp, or its kind of network has none"),
    ):
        with pytest.raises(CheckpointError, match=words):
            load_generator(path, given)
    with pytest.raises(ValueError, match=r"'colour=red' is not a setting\. There are activation"):
        read_settings(["colour=red"])
    unsaid = Unsaid({"mapping_lr": "much"})
    with pytest.raises(ValueError, match="mapping_lr cannot be 'much': a number from 0 to 10"):
        unsaid.number("mapping_lr", 0.01, 0, 10)


class Enlarging(nn.Module):
    """As in a widely copied tutorial: a linear stem, and Upsample with Conv2d."""

    def __init__(self) -> None:
        super().__init__()
        self.l1 = nn.Sequential(nn.Linear(6, 8 * 4 * 4))
        self.conv_blocks = nn.Sequential(
            nn.BatchNorm2d(8),
            nn.Upsample(scale_factor=2),
            nn.Conv2d(8, 8, 3, stride=1, padding=1),
            nn.BatchNorm2d(8, 0.8),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Upsample(scale_factor=2),
            nn.Conv2d(8, 5, 5, stride=1, padding=2),
            nn.BatchNorm2d(5, 0.8),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(5, 3, 3, stride=1, padding=1),
            nn.Tanh(),
        )

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        return self.conv_blocks(self.l1(z).view(-1, 8, 4, 4))


def test_upsample_and_convolution_are_one_transposed_convolution(tmp_path: Path) -> None:
    torch.manual_seed(1)
    net = Enlarging().train()
    with torch.no_grad():
        for _ in range(4):
            net(torch.randn(8, 6))
    net.eval()
    torch.save(net, tmp_path / "whole.pth")
    torch.testing.assert_close(pictures(tmp_path / "whole.pth"), right(net, flat=True), atol=3e-6, rtol=1e-4)
    torch.save(net.state_dict(), tmp_path / "net.pth")
    with pytest.raises(
        CheckpointError, match="Upsample and Conv2d layers; a state dict does not say where it enlarges"
    ):
        load_generator(tmp_path / "net.pth")


def test_a_prelu_is_not_taken_for_a_norm(tmp_path: Path) -> None:
    torch.save(network(activation=lambda: nn.PReLU(1)).state_dict(), tmp_path / "net.pth")
    with pytest.raises(CheckpointError, match="of the class PReLU, which a DCGAN does not have"):
        load_generator(tmp_path / "net.pth")


def test_a_wild_dict_is_looked_through_quickly() -> None:
    """A dict that holds itself, and one with very many names."""
    loop: dict[str, Any] = {}
    loop["model"] = loop["generator"] = loop
    assert sum(1 for _ in candidates(loop)) < 1000
    wide = {f"net{number}": {f"g{number}": {}} for number in range(5000)}
    assert sum(1 for _ in candidates(wide)) < 1000


@pytest.fixture
def dill(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """A module with dill's functions, so that pickles name them."""
    package, module = types.ModuleType("dill"), types.ModuleType("dill._dill")
    for name in ("_import_module", "_get_attr", "_create_array"):
        function = types.FunctionType((lambda *arguments: None).__code__, {}, name)
        function.__module__, function.__qualname__ = "dill._dill", name
        setattr(module, name, function)
    package._dill = module
    monkeypatch.setitem(sys.modules, "dill", package)
    monkeypatch.setitem(sys.modules, "dill._dill", module)
    return module


class Call:
    """Pickles as a call."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.parts = function, arguments

    def __reduce__(self) -> Any:
        return self.parts


def pickled(value: Any) -> bytes:
    file = io.BytesIO()
    pickler = pickle.Pickler(file, 4)
    pickler.dispatch_table = copyreg.dispatch_table.copy()
    pickler.dump(value)
    return file.getvalue()


@pytest.mark.parametrize(
    "core", ["numpy.core._multiarray_umath", "numpy._core._multiarray_umath", "numpy.core.multiarray"]
)
def test_dill_names_functions_of_numpy(tmp_path: Path, dill: types.ModuleType, core: str) -> None:
    """dill 0.3.4 and 0.4.1 write arrays and single numbers like this."""
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    reconstruct, (kind, shape, code), state = array.__reduce__()
    scalar = Call(dill._get_attr, Call(dill._import_module, core), "scalar")
    value = {
        "array": Call(dill._create_array, reconstruct, (kind, shape, code), state, None),
        "number": _Applied(scalar, np.dtype("f4"), np.float32(2.5).tobytes()),
        "other": Call(dill._get_attr, Call(dill._import_module, "os"), "system"),
        "run": _Applied(Call(dill._get_attr, Call(dill._import_module, "os"), "system"), "touch ran"),
    }
    (tmp_path / "net.pkl").write_bytes(pickled(value))
    _, found = read_file(tmp_path / "net.pkl")
    assert (found["array"] == array).all() and found["number"] == 2.5
    assert type(found["other"]).__name__ == type(found["run"]).__name__ == "Inert"
    assert not Path("ran").exists()


class _Applied:
    """Pickles as a call of the value of another call."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.function, self.arguments = function, arguments

    def __reduce__(self) -> Any:
        return _Callable(self.function), self.arguments


class _Callable:
    def __init__(self, inner: Any) -> None:
        self.inner = inner

    def __call__(self, *arguments: Any) -> Any:
        raise AssertionError("only the description is pickled")

    def __reduce__(self) -> Any:
        return self.inner.parts


@pytest.mark.parametrize(
    ("names", "kind"),
    [
        (("init.init.0.weight_orig", "feat_8.1.weight", "se_64.main.1.weight", "to_big.weight"), "FastGAN"),
        (("module.feat_4.0.weight", "module.to_128.weight"), "FastGAN"),
        (("synthesis.main.init.init.0.weight", "synthesis.main.feat_8.1.weight"), "Projected GAN's FastGAN"),
        (("Model.MainLayers.0.Layers.0.LinearLayer1.Layer.weight",), "R3GAN"),
        (("progression_4.conv.1.conv.weight", "to_rgb_4.conv.weight"), "Progressive GAN"),
        (("embeddings.weight", "generator.layers.0.bn_0.scale.weight"), "BigGAN"),
        (("to_rgb1.conv.weight", "to_rgbs.0.iwt.ll"), "SWAGAN"),
    ],
)
def test_other_networks_are_called_by_their_names(tmp_path: Path, names: tuple[str, ...], kind: str) -> None:
    state = {name: torch.zeros(2, 2) for name in names}
    for value in (state, {"g_ema": state}):
        torch.save(value, tmp_path / "net.pth")
        with pytest.raises(CheckpointError, match=f"is a {kind}.*: a different network, which is not read"):
            load_generator(tmp_path / "net.pth")


def test_folders_of_tensorflow_and_films_are_called_so(tmp_path: Path) -> None:
    for name in (
        "DCGAN.model-5002.index",
        "DCGAN.model-5002.meta",
        "DCGAN.model-5002.data-00000-of-00001",
        "checkpoint",
    ):
        (tmp_path / name).write_bytes(b"\x00\x01")
    with pytest.raises(CheckpointError, match="is a folder of TensorFlow checkpoints, which is not read"):
        find_snapshots(tmp_path)
    (tmp_path / "net.pt").write_bytes(b"\0\0\0\x20ftypisom" + bytes(100))
    with pytest.raises(CheckpointError, match="is a film and not a checkpoint; to train on it, make a data set"):
        load_generator(tmp_path / "net.pt")
