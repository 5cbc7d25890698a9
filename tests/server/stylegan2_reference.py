"""StyleGAN2 in numpy and float64, written from the papers in a different way than the network; and random networks."""

from __future__ import annotations

import itertools

import numpy as np
import torch

from inference_server.generators.stylegan2 import StyleGAN2
from inference_server.generators.stylegan2_config import StyleGAN2Config


def make(config: StyleGAN2Config, seed: int = 3) -> StyleGAN2:
    """A network whose biases, noise strengths and average w are not zero: zeros would hide mistakes."""
    torch.manual_seed(seed)
    generator = StyleGAN2(config).eval().requires_grad_(False)
    for name, values in generator.state_dict().items():
        if name.endswith((".bias", "noise_strength", "w_avg")):
            values.add_(torch.randn_like(values) * 0.5)
    return generator


class Reference:
    """numpy, float64, one picture at a time: weights are modulated (not features), and all filters are plain loops."""

    def __init__(self, generator: StyleGAN2) -> None:
        self.config = generator.config
        self.state = {key: value.double().numpy() for key, value in generator.state_dict().items()}

    def dense(self, name: str, x: np.ndarray, lr: float = 1.0) -> np.ndarray:
        weight, bias = self.state[f"{name}.weight"], self.state[f"{name}.bias"]
        return np.array([sum(row * x) * lr / len(x) ** 0.5 for row in weight]) + bias * lr

    def map(self, z: np.ndarray, classes: np.ndarray | None) -> np.ndarray:
        parts = [z] if classes is None else [z, self.dense("mapping.embed", classes)]
        parts = [np.concatenate(parts)] if self.config.joint_normalization else parts
        x = np.concatenate([part / np.sqrt(np.mean(part**2) + 1e-8) for part in parts])
        for index in range(self.config.mapping_layers):
            x = self.dense(f"mapping.fc{index}", x, self.config.mapping_lr)
            x = np.where(x < 0, 0.2 * x, x) * 2**0.5
        return x

    @staticmethod
    def correlate(x: np.ndarray, kernel: np.ndarray) -> np.ndarray:
        """Convolve (i, h, w) with (o, i, k, k), without padding."""
        size = kernel.shape[-1]
        height, width = x.shape[1] - size + 1, x.shape[2] - size + 1
        out = np.zeros((len(kernel), height, width))
        for y, column in itertools.product(range(height), range(width)):
            out[:, y, column] = (kernel * x[None, :, y : y + size, column : column + size]).sum(axis=(1, 2, 3))
        return out

    @staticmethod
    def zero_stuffed(x: np.ndarray, before: int, after: int) -> np.ndarray:
        """Put a zero between every two pixels, then a border of zeros."""
        out = np.zeros((len(x), 2 * x.shape[1] - 1, 2 * x.shape[2] - 1))
        out[:, ::2, ::2] = x
        return np.pad(out, ((0, 0), (before, after), (before, after)))

    def blurred(self, x: np.ndarray) -> np.ndarray:
        """Apply the binomial filter, with the gain 4 that the zeros between pixels need; without padding."""
        row = np.array([1, 3, 3, 1]) / 4
        return np.concatenate([self.correlate(plane[None], np.outer(row, row)[None, None]) for plane in x])

    def convolved(self, x: np.ndarray, name: str, w: np.ndarray, up: bool, colour: bool) -> np.ndarray:
        weight = self.state[f"{name}.weight"]
        styles = self.dense(f"{name}.affine", w)
        if colour:
            return self.correlate(x, weight * styles[None, :, None, None] / len(styles) ** 0.5)
        weight = weight * styles[None, :, None, None]
        weight = weight / np.sqrt((weight**2).sum(axis=(1, 2, 3), keepdims=True) + 1e-8)
        if up:  # a transposed convolution correlates the zero-stuffed picture with the flipped kernel
            return self.blurred(
                np.pad(self.correlate(self.zero_stuffed(x, 2, 2), weight[:, :, ::-1, ::-1]), ((0, 0), (1, 1), (1, 1)))
            )
        return self.correlate(np.pad(x, ((0, 0), (1, 1), (1, 1))), weight)

    def clamped(self, x: np.ndarray) -> np.ndarray:
        limit = self.config.conv_clamp
        return x if limit is None else np.clip(x, -limit, limit)

    def synthesize(self, ws: np.ndarray, noise: list[np.ndarray] | None) -> np.ndarray:
        """(num_ws, w_dim) to (channels, height, width)."""
        x, image, layer = self.state["synthesis.blocks.0.const"], None, 0
        for index in range(len(self.config.channels)):
            block = f"synthesis.blocks.{index}"
            entered = x
            for part in ("conv0", "conv1")[index == 0 :]:
                name = f"{block}.{part}"
                x = self.convolved(x, name, ws[layer], up=part == "conv0", colour=False)
                if noise is not None:
                    x = x + noise[layer] * self.state[f"{name}.noise_strength"]
                x = x + self.state[f"{name}.bias"][:, None, None]
                x = self.clamped(np.where(x < 0, 0.2 * x, x) * 2**0.5)
                layer += 1
            if f"{block}.skip.weight" in self.state:
                weight = self.state[f"{block}.skip.weight"]
                skipped = self.correlate(entered, weight / weight.shape[1] ** 0.5)
                x = (x + self.blurred(self.zero_stuffed(skipped, 2, 2))) / 2**0.5
            if f"{block}.torgb.weight" not in self.state:
                continue
            colours = self.convolved(x, f"{block}.torgb", ws[layer], up=False, colour=True)
            colours = self.clamped(colours + self.state[f"{block}.torgb.bias"][:, None, None])
            image = colours if image is None else self.blurred(self.zero_stuffed(image, 2, 2)) + colours
        return image

    def stored_noise(self) -> list[np.ndarray] | None:
        maps = [value for key, value in self.state.items() if key.endswith("noise_const")]
        return maps if self.config.use_noise else None
