"""Make random weights for generators.py: KIND SIZE FILE CHECKOUT.

If CHECKOUT is not empty, the original in it makes the network, and the file is a pickle.
"""

from __future__ import annotations

import pickle
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from inference_server.checkpoints import save_generator
from inference_server.generators.base import Generator
from inference_server.generators.dcgan import DCGAN, DCGANConfig, DCGANLayer
from inference_server.generators.stylegan1 import StyleGAN1, StyleGAN1Config
from inference_server.generators.stylegan2 import StyleGAN2, StyleGAN2Config
from inference_server.generators.stylegan3 import StyleGAN3, StyleGAN3Config
from inference_server.generators.stylegan3_config import LayerConfig


def main(kind: str, size: str, path: str, checkout: str) -> None:
    """Write the file."""
    torch.manual_seed(0)
    if checkout:
        network = _original(kind, int(size), checkout)
        with open(path, "wb") as file:
            pickle.dump({"G": None, "D": None, "G_ema": network}, file)
    else:
        save_generator(_ours(kind, int(size)), path, {}, torch.float32)


def _original(kind: str, size: int, checkout: str) -> torch.nn.Module:
    """Return the network as the original's own training makes it, in the sizes of its authors' published models."""
    sys.path.insert(0, checkout)
    import dnnlib

    base = 16384 if size <= 256 else 32768
    settings = {
        "stylegan2": {"mapping_kwargs": {"num_layers": 8}},
        "stylegan3-t": {"mapping_kwargs": {"num_layers": 2}},
        "stylegan3-r": {"mapping_kwargs": {"num_layers": 2}, "conv_kernel": 1, "use_radial_filters": True},
    }[kind]
    radial = 2 if kind == "stylegan3-r" else 1
    widths = {"channel_base": base * radial, "channel_max": 512 * radial}
    name = f"training.networks_{kind.partition('-')[0]}.Generator"
    if not (Path(checkout) / "training" / "networks_stylegan3.py").exists():
        name, settings["synthesis_kwargs"] = (
            "training.networks.Generator",
            {**widths, "num_fp16_res": 4, "conv_clamp": 256},
        )
        widths = {}
    sizes = {"z_dim": 512, "c_dim": 0, "w_dim": 512, "img_resolution": size, "img_channels": 3}
    network = dnnlib.util.construct_class_by_name(class_name=name, **sizes, **settings, **widths)
    return network.eval().requires_grad_(False)


def _ours(kind: str, size: int) -> Generator:
    """Return a network of the same sizes, made by Latent Lantern."""
    channels = tuple(
        min((16384 if size <= 256 else 32768) // (4 << index), 512) for index in range(size.bit_length() - 2)
    )
    if kind == "stylegan2":
        return StyleGAN2(StyleGAN2Config(512, 512, channels, conv_clamp=256.0))
    if kind == "stylegan1":
        return StyleGAN1(StyleGAN1Config(512, (512,) * 8, channels))
    if kind == "dcgan":
        widths = (100, *(min(2560, 160 << (4 - index)) for index in range(5)))
        first = DCGANLayer(widths[0], widths[1], stride=(1, 1), padding=(0, 0))
        middle = [DCGANLayer(a, b) for a, b in pairwise(widths[1:])]
        return DCGAN(DCGANConfig(100, (first, *middle, DCGANLayer(widths[-1], 3, batch_norm=False, activation="tanh"))))
    return StyleGAN3(_stylegan3(size, radial=kind == "stylegan3-r"))


def _stylegan3(size: int, radial: bool) -> StyleGAN3Config:
    """Return the layers of 2106.12423, section 3.2: 14, of which 2 are critically sampled, and one to colour."""
    count, critical, margin, taps = 14, 2, 10, 6
    progress = np.minimum(np.arange(count + 1) / (count - critical), 1)
    cutoffs = 2 * (size / 2 / 2) ** progress
    stopbands = 2**2.1 * (size / 2 * 2**0.3 / 2**2.1) ** progress
    rates = np.exp2(np.ceil(np.log2(np.minimum(stopbands * 2, size)))).astype(int).tolist()
    sides = [rate + 2 * margin for rate in rates[:-2]] + [size, size]
    wide = 2 if radial else 1
    base = wide * (16384 if size <= 256 else 32768)
    channels = np.rint(np.minimum(base / 2 / cutoffs, 512 * wide)).astype(int).tolist()
    channels[-1] = 3
    layers = []
    for index in range(count + 1):
        before, colour = max(index - 1, 0), index == count
        kernel = 1 if colour or radial else 3
        lrelu_rate = max(rates[before], rates[index]) * (1 if colour else 2)
        up, down = lrelu_rate // rates[before], lrelu_rate // rates[index]
        up_taps, down_taps = (1 if factor == 1 else taps * factor for factor in (up, down))
        missing = (sides[index] - 1) * down + 1 - (sides[before] + kernel - 1) * up + up_taps + down_taps - 2
        low = (missing + up) // 2
        layers.append(
            LayerConfig(
                in_channels=channels[before],
                out_channels=channels[index],
                in_size=(sides[before],) * 2,
                out_size=(sides[index],) * 2,
                kernel=kernel,
                up=up,
                down=down,
                up_taps=up_taps,
                down_taps=down_taps,
                radial=radial and down > 1 and index < count - critical,
                padding=(low, missing - low) * 2,
                half=rates[index] * 16 > size,
                is_colour=colour,
            )
        )
    return StyleGAN3Config(512, 512, channels[0], (sides[0],) * 2, rates[0], cutoffs[0], tuple(layers))


if __name__ == "__main__":
    main(*sys.argv[1:])
