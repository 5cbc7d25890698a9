"""StyleGAN3, written naively from the papers in float64, and small networks of random numbers to compare.

Naively: zeros are put between the samples, everything is filtered at the highest rate, and most samples are dropped.
"""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional as F

from inference_server.checkpoints.inert import Inert
from inference_server.generators.kinds import build
from inference_server.generators.stylegan3 import StyleGAN3, state_shapes
from inference_server.generators.stylegan3_config import LayerConfig, StyleGAN3Config


def layer(
    inputs: int, outputs: int, size: int, out: int, kernel: int = 3, up: int = 2, down: int = 2, **rest
) -> LayerConfig:
    """A layer with centred filters, of 6 taps for each factor of resampling."""
    taps = 6 * up + 6 * down - 2
    total = (out - 1) * down + 1 - (size + kernel - 1) * up + taps
    before = (total + up) // 2
    return LayerConfig(
        in_channels=inputs,
        out_channels=outputs,
        in_size=(size, size),
        out_size=(out, out),
        kernel=kernel,
        up=up,
        down=down,
        up_taps=6 * up,
        down_taps=6 * down,
        padding=(before, total - before) * 2,
        **rest,
    )


def colours(inputs: int, size: int, outputs: int = 3) -> LayerConfig:
    return LayerConfig(inputs, outputs, (size, size), (size, size), 1, is_colour=True, half=True)


def tensors(config: StyleGAN3Config, seed: int = 0) -> dict[str, torch.Tensor]:
    """Random numbers for all tensors of a network. Filters are not symmetric, so that their direction matters."""
    torch.manual_seed(seed)
    made = {name: torch.randn(shape) for name, shape in state_shapes(config).items()}
    for name, values in made.items():
        if name.endswith("_filter"):
            # A blurring window, made asymmetric.
            window = torch.hann_window(len(values) + 2)[1:-1] ** 4
            values.mul_(0.2).add_(1).mul_(window if values.ndim == 1 else torch.outer(window, window))
            values.div_(values.sum())
        elif name.endswith("magnitude_ema"):
            values.abs_().add_(0.5)
        elif name.endswith(".bias"):
            values.mul_(0.3)
        elif name == "synthesis.input.transform":
            values.mul_(0.2).add_(torch.eye(3))
        elif name.startswith("mapping.fc") and name.endswith("weight"):
            values.div_(config.mapping_lr)
    return made


def make(config: StyleGAN3Config, seed: int = 0) -> StyleGAN3:
    generator = build("stylegan3", config, tensors(config, seed), {})
    assert isinstance(generator, StyleGAN3)
    return generator


def naive_filtered_lrelu(
    x: torch.Tensor, config: LayerConfig, up_filter: torch.Tensor | None, down_filter: torch.Tensor | None
) -> torch.Tensor:
    """(n, c, h, w): zeros in between, pad, convolve, leaky ReLU, clamp, convolve, drop samples."""
    n, channels, height, width = x.shape
    stuffed = x.new_zeros(n, channels, height, config.up, width, config.up)
    stuffed[:, :, :, 0, :, 0] = x
    x = F.pad(stuffed.reshape(n, channels, height * config.up, width * config.up), config.padding)

    def convolve(x: torch.Tensor, taps: torch.Tensor) -> torch.Tensor:
        filtered = F.conv2d(x.flatten(0, 1)[:, None], taps.to(x).flip(0, 1)[None, None])
        return filtered.unflatten(0, (n, channels))[:, :, 0]

    if up_filter is not None:
        x = convolve(convolve(x, up_filter[None]), up_filter[:, None])
    x = F.leaky_relu(x * config.up**2, 0.2)
    x = x if config.clamp is None else x.clamp(-config.clamp, config.clamp)
    if down_filter is not None:
        x = convolve(x, torch.outer(down_filter, down_filter) if down_filter.ndim == 1 else down_filter)
    return x[:, :, :: config.down, :: config.down]


class Reference:
    """One picture at a time, from a generator's tensors."""

    def __init__(self, generator: StyleGAN3) -> None:
        self.config = generator.config
        self.state = {name: values.double() for name, values in generator.state_dict().items()}

    def dense(self, name: str, x: torch.Tensor, lr: float = 1.0) -> torch.Tensor:
        weight = self.state[f"{name}.weight"]
        return (weight @ x) * lr / weight.shape[1] ** 0.5 + self.state[f"{name}.bias"] * lr

    def map(self, z: torch.Tensor, classes: torch.Tensor | None) -> torch.Tensor:
        def unit(x: torch.Tensor) -> torch.Tensor:
            return x / (x.square().mean() + 1e-8).sqrt()

        x = unit(z.double())
        if classes is not None:
            if self.config.embedding:
                row = sum(
                    share * row for share, row in zip(classes.double(), self.state["mapping.embedding"], strict=True)
                )
                embedded = F.leaky_relu(self.dense("mapping.embed", row), 0.2) * 2**0.5
            else:
                embedded = self.dense("mapping.embed", classes.double())
            x = torch.cat([x, unit(embedded)])
        for index in range(self.config.mapping_layers):
            x = F.leaky_relu(self.dense(f"mapping.fc{index}", x, self.config.mapping_lr), 0.2) * 2**0.5
        return x

    def features(self, w: torch.Tensor, transform: torch.Tensor) -> torch.Tensor:
        """(1, channels, height, width)"""
        config, name = self.config, "synthesis.input"
        learned = self.dense(f"{name}.affine", w.double())
        cos, sin, x, y = learned / learned[:2].square().sum().sqrt()
        turn = torch.tensor([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]], dtype=torch.float64)
        move = torch.tensor([[1, 0, -x], [0, 1, -y], [0, 0, 1]], dtype=torch.float64)
        matrix = turn @ move @ transform.double()
        width, height = config.input_size
        grid = torch.ones(height, width, 3, dtype=torch.float64)
        grid[..., 0] = (torch.arange(width) + 0.5 - width / 2) / config.input_rate
        grid[..., 1] = ((torch.arange(height) + 0.5 - height / 2) / config.input_rate)[:, None]
        places = grid @ matrix.T
        freqs = self.state[f"{name}.freqs"]
        waves = torch.sin(2 * torch.pi * (places[..., :2] @ freqs.T + self.state[f"{name}.phases"]))
        length = (freqs @ matrix[:2, :2]).norm(dim=1)
        nyquist = config.input_rate / 2
        waves = waves * ((nyquist - length) / (nyquist - config.input_bandwidth)).clamp(0, 1)
        weight = self.state[f"{name}.weight"]
        return (waves @ weight.T / len(weight) ** 0.5).permute(2, 0, 1)[None]

    def synthesize(self, ws: torch.Tensor, transform: torch.Tensor | None = None) -> torch.Tensor:
        """ws (num_ws, w_dim) to (channels, height, width)."""
        x = self.features(ws[0], self.state["synthesis.input.transform"] if transform is None else transform)
        for index, config in enumerate(self.config.layers):
            name = f"synthesis.layers.{index}"
            styles, weight = self.dense(f"{name}.affine", ws[index + 1].double()), self.state[f"{name}.weight"]
            if config.is_colour:
                weight = weight * styles[:, None, None] / weight[0].numel() ** 0.5
            else:
                weight = weight * styles[:, None, None]
                weight = weight / weight.square().sum(dim=(1, 2, 3), keepdim=True).sqrt()
            weight = weight / self.state[f"{name}.magnitude_ema"].sqrt()
            x = F.conv2d(x, weight, padding=config.kernel - 1) + self.state[f"{name}.bias"][:, None, None]
            if config.is_colour:
                x = x if config.clamp is None else x.clamp(-config.clamp, config.clamp)
            else:
                # The gain, sqrt(2), goes before the clamp.
                up_filter, down_filter = (self.state.get(f"{name}.{which}_filter") for which in ("up", "down"))
                x = naive_filtered_lrelu(x * 2**0.5, config, up_filter, down_filter)
        return x[0] * self.config.output_scale


def foreign(config: StyleGAN3Config, own: dict[str, torch.Tensor], table_rows: int = 0) -> Inert:
    """The same network as the objects that are read from a pickle of the original projects.

    table_rows: rows of StyleGAN-XL's table of embeddings; the first rows are the classes.
    """
    names = [f"L{index}_{made.out_size[0]}_{made.out_channels}" for index, made in enumerate(config.layers)]

    def module(name: str, prefix: str, children: dict[str, Inert], **state) -> Inert:
        here = {key.removeprefix(prefix): values for key, values in own.items() if key.startswith(prefix)}
        mine = {key: values for key, values in here.items() if "." not in key}
        buffers = {"w_avg", "transform", "freqs", "phases", "magnitude_ema", "up_filter", "down_filter"}
        for child in {key.partition(".")[0] for key in here if "." in key} - children.keys():
            children[child] = module("FullyConnectedLayer", f"{prefix}{child}.", {}, bias_gain=1)
        return Inert(
            "persistent",
            name,
            state={
                **state,
                "_parameters": {key: values for key, values in mine.items() if key not in buffers},
                "_buffers": {key: values for key, values in mine.items() if key in buffers},
                "_modules": children,
            },
        )

    features = module(
        "SynthesisInput",
        "synthesis.input.",
        {},
        size=np.array(config.input_size),
        sampling_rate=np.float64(config.input_rate),
        bandwidth=np.float64(config.input_bandwidth),
    )
    layers = {}
    for index, made in enumerate(config.layers):
        layers[names[index]] = module(
            "SynthesisLayer",
            f"synthesis.layers.{index}.",
            {},
            is_torgb=made.is_colour,
            use_fp16=np.bool_(made.half),
            in_size=np.array(made.in_size),
            out_size=np.array(made.out_size),
            conv_clamp=made.clamp,
            up_factor=made.up,
            down_factor=made.down,
            padding=list(made.padding),
        )
    synthesis = module(
        "SynthesisNetwork",
        "nothing.",
        {"input": features, **layers},
        layer_names=names,
        output_scale=config.output_scale,
    )
    children = {
        f"fc{index}": module("FullyConnectedLayer", f"mapping.fc{index}.", {}, bias_gain=config.mapping_lr)
        for index in range(config.mapping_layers)
    }
    if config.embedding:
        children["embed_proj"] = module("FullyConnectedLayer", "mapping.embed.", {}, bias_gain=1)
    mapping = module("MappingNetwork", "mapping.", children, c_dim=config.num_classes, num_layers=config.mapping_layers)
    if config.embedding or table_rows:
        table = torch.randn(table_rows, config.embedding or 5)
        if config.embedding:
            children.pop("embed")
            del mapping.state["_parameters"]["embedding"]
            table[: config.num_classes] = own["mapping.embedding"]
        children["embed"] = Inert(
            "torch.nn.modules.sparse",
            "Embedding",
            state={"_parameters": {"weight": table}, "_buffers": {}, "_modules": {}},
        )
    return Inert(
        "persistent",
        "Generator",
        state={"_parameters": {}, "_buffers": {}, "_modules": {"synthesis": synthesis, "mapping": mapping}},
    )
