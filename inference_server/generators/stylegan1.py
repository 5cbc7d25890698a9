"""StyleGAN's generator, written from the paper.

Karras, Laine, Aila: A Style-Based Generator Architecture for Generative Adversarial Networks, 1812.04948 (figure 1b:
noise, bias, leaky ReLU and adaptive instance normalisation after every convolution; section 2.1 and table 1: blurred
upsampling). Snapshots from the middle of a training make smaller pictures, or fade between two sizes, as in Karras et
al.: Progressive Growing of GANs, 1710.10196, section 2. How far a snapshot has grown is a number among its weights, so
all snapshots of a training have the same network and can be mixed.

The factors of equalised learning rates (1710.10196, section 4.1) are multiplied into the weights already. An upsampling
convolution is one transposed convolution of 4 x 4. The original may repeat pixels and then convolve them, or do both in
one step: these two differ only by a rotation of the kernel.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from math import isfinite
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from .configs import check_picture, check_row, check_whole, made
from .stylegan import StyleGAN

MAX_SIDE = 8192
MAX_CHANNELS = 8192
HALF_BLOCKS = 4
"""How many of the last blocks may run in half precision (in the first blocks it would save little time)."""
EPSILON = 1e-8


@dataclass(frozen=True)
class StyleGAN1Config:
    """Everything that decides the shapes and the arithmetic of a network; checked when it is made.

    Raises:
        ValueError: if a value is impossible; names it.
    """

    z_dim: int
    mapping: tuple[int, ...]
    """Outputs of each layer of the mapping network; the last is the size of w."""
    channels: tuple[int, ...]
    """Feature channels of each block, coarsest first; every block after the first doubles the size."""
    base_size: tuple[int, int] = (4, 4)
    """Height and width of the learned constant."""
    image_channels: int = 3
    num_classes: int = 0
    blur: tuple[float, ...] = (0.25, 0.5, 0.25)
    """The filter after upsampling, along each axis; an odd number of taps. (1.0,) is no filter."""
    slope: float = 0.2
    """Slope of the leaky ReLU in the synthesis network; 0 makes it a ReLU."""
    mapping_slope: float = 0.2
    progressive: bool = False
    """Whether the network may have sizes that it has not reached yet. If so, every block has a step to colour, and the
    state has a level of detail. Otherwise only the last block has a step to colour."""
    normalize_z: bool = True
    use_noise: bool = True
    instance_norm: bool = True
    pixel_norm: bool = False
    """Whether to normalise the features of each pixel, before the normalisation of each feature."""

    def __post_init__(self) -> None:
        for name, low, high in (("z_dim", 1, MAX_CHANNELS), ("num_classes", 0, 65536)):
            check_whole(name, getattr(self, name), low, high)
        for name, low, high in (("mapping", 1, 64), ("channels", 1, 12), ("base_size", 2, 2)):
            check_row(name, getattr(self, name), low, high, MAX_CHANNELS)
        check_picture(self.image_channels, self.size, MAX_SIDE)
        blur = self.blur
        if not isinstance(blur, tuple) or len(blur) not in (1, 3, 5, 7, 9) or not all(map(_is_number, blur)):
            raise ValueError(f"blur must be an odd number of up to 9 numbers, not {blur!r}")
        for name in ("slope", "mapping_slope"):
            value = getattr(self, name)
            if not _is_number(value) or not 0 <= value <= 1:
                raise ValueError(f"{name} must be a number from 0 to 1, not {value!r}")
        for name in ("progressive", "normalize_z", "use_noise", "instance_norm", "pixel_norm"):
            if type(getattr(self, name)) is not bool:
                raise ValueError(f"{name} must be true or false, not {getattr(self, name)!r}")

    @property
    def w_dim(self) -> int:
        return self.mapping[-1]

    @property
    def size(self) -> tuple[int, int]:
        """Return the height and width of the image."""
        scale = 2 ** (len(self.channels) - 1)
        return self.base_size[0] * scale, self.base_size[1] * scale

    @property
    def num_ws(self) -> int:
        """Return the number of rows of W+: two for each size. Rows of sizes not reached in training are not used."""
        return 2 * len(self.channels)

    @property
    def colours(self) -> range:
        """Return the indices of the blocks that have a step to colour."""
        return range(0 if self.progressive else len(self.channels) - 1, len(self.channels))

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values; ``from_dict`` reads them."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> StyleGAN1Config:
        """Return a configuration from JSON values, which may come from any file and are checked.

        Raises:
            ValueError: if a name is missing or unknown, or a value is impossible.
        """
        return made(cls, values)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)


def normalize(x: torch.Tensor) -> torch.Tensor:
    """Scale to a mean square of one over dimension 1."""
    return x * torch.rsqrt(x.square().mean(dim=1, keepdim=True) + EPSILON)


class Mapping(nn.Module):
    """The mapping network: z, and the embedded class if there is one, to w (1812.04948, section 2)."""

    w_avg: torch.Tensor

    def __init__(self, config: StyleGAN1Config) -> None:
        super().__init__()
        self.embed = nn.Linear(config.num_classes, config.z_dim, bias=False) if config.num_classes else None
        width = config.z_dim * (2 if config.num_classes else 1)
        for index, outputs in enumerate(config.mapping):
            self.add_module(f"fc{index}", nn.Linear(width, outputs))
            width = outputs
        self.register_buffer("w_avg", torch.zeros(width))
        self.num_layers = len(config.mapping)
        self.slope = config.mapping_slope
        self.normalize_z = config.normalize_z

    def forward(self, z: torch.Tensor, classes: torch.Tensor | None) -> torch.Tensor:
        # Instance normalisation magnifies the last digits of w. In double precision, which costs almost no time for a
        # few vectors, the pictures are closer to the original network's. Apple's GPUs have no double precision.
        exact = torch.float32 if z.device.type == "mps" else torch.float64
        x = z.to(exact)
        if self.embed is not None:
            assert classes is not None
            x = torch.cat([x, F.linear(classes.to(exact), self.embed.weight.to(exact))], dim=1)
        if self.normalize_z:
            x = normalize(x)
        for index in range(self.num_layers):
            layer: Any = self.get_submodule(f"fc{index}")
            x = F.leaky_relu(F.linear(x, layer.weight.to(exact), layer.bias.to(exact)), self.slope)
        return x.float()


@lru_cache(maxsize=128)
def blur_filter(taps: tuple[float, ...], channels: int, device: torch.device, dtype: torch.dtype) -> torch.Tensor:
    """Return the filter of both axes, repeated for each channel: (channels, 1, k, k)."""
    with torch.inference_mode(False):  # the filter is cached, and a later call may need gradients through it
        row = torch.tensor(taps, device=device)
        return torch.outer(row, row).to(dtype).repeat(channels, 1, 1, 1)


class SynthesisLayer(nn.Module):
    """Convolution, noise, bias, leaky ReLU, adaptive instance normalisation.

    With ``up``, ``weight`` belongs to a transposed convolution, (inputs, outputs, 4, 4); otherwise it is
    (outputs, inputs, 3, 3). The layer after the constant has no ``weight``. ``affine`` makes the styles: first the
    scales, then the shifts.
    """

    noise_const: torch.Tensor

    def __init__(self, config: StyleGAN1Config, inputs: int, outputs: int, size: tuple[int, int], up: bool) -> None:
        super().__init__()
        self.weight: nn.Parameter | None = None
        if inputs:
            shape = (inputs, outputs, 4, 4) if up else (outputs, inputs, 3, 3)
            self.weight = nn.Parameter(torch.normal(0.0, (2 / (inputs * 9)) ** 0.5, shape))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.affine = nn.Linear(config.w_dim, 2 * outputs)
        self.noise_strength: nn.Parameter | None = None
        if config.use_noise:
            self.noise_strength = nn.Parameter(torch.zeros(outputs))
            self.register_buffer("noise_const", torch.normal(0.0, 1.0, size))
        self.size = size
        self.up = up
        self.config = config

    def forward(self, x: torch.Tensor, w: torch.Tensor, noise: torch.Tensor | None) -> torch.Tensor:
        """Apply the layer. ``x`` is (n, inputs, h, w) of any floating dtype; ``noise`` broadcasts to (n, 1, h, w)."""
        x = self.convolved(x)
        if noise is not None and self.noise_strength is not None:
            x = x.addcmul_(noise.to(x.dtype), self.noise_strength.to(x.dtype)[:, None, None])
        x = F.leaky_relu_(x, self.config.slope)
        if self.config.pixel_norm:
            x = normalize(x.float()).to(x.dtype)
        scale, shift = self.affine(w)[:, :, None, None].chunk(2, dim=1)
        if self.config.instance_norm:
            # Two passes over x: as exact as torch.var_mean, and many times faster on CPUs. group_norm makes one pass,
            # and is less exact.
            x = x - x.mean(dim=(2, 3), keepdim=True)
            scale = scale * torch.rsqrt(x.float().square().mean(dim=(2, 3), keepdim=True) + EPSILON)
        return torch.addcmul(shift.to(x.dtype), x, scale.to(x.dtype))

    def convolved(self, x: torch.Tensor) -> torch.Tensor:
        """Return the convolution of x plus the bias, as a new tensor.

        The bias may be added before the noise, because the sum is the same.
        """
        bias = self.bias.to(x.dtype)
        if self.weight is None:
            return x + bias[:, None, None]
        weight = self.weight.to(x.dtype)
        if not self.up:
            return F.conv2d(x, weight, bias, padding=1)
        taps = self.config.blur
        if len(taps) == 1:
            return F.conv_transpose2d(x, weight * taps[0] ** 2, bias, stride=2, padding=1)
        x = F.conv_transpose2d(x, weight, stride=2, padding=1)
        kernel = blur_filter(taps, x.shape[1], x.device, x.dtype)
        return F.conv2d(x, kernel, bias, padding=len(taps) // 2, groups=x.shape[1])


class SynthesisBlock(nn.Module):
    """The layers of one size: the constant or an upsampling convolution, a convolution, and the step to colour."""

    def __init__(self, config: StyleGAN1Config, index: int) -> None:
        super().__init__()
        channels = config.channels[index]
        size = (config.base_size[0] * 2**index, config.base_size[1] * 2**index)
        if index == 0:
            self.const = nn.Parameter(torch.ones(channels, *size))
        inputs = config.channels[index - 1] if index else 0
        self.conv0 = SynthesisLayer(config, inputs, channels, size, up=index > 0)
        self.conv1 = SynthesisLayer(config, channels, channels, size, up=False)
        self.torgb = nn.Conv2d(channels, config.image_channels, 1) if index in config.colours else None


class Synthesis(nn.Module):
    """W+ to an image.

    A progressive network has ``lod``: how many of the last sizes training has not reached. A fraction fades between two
    sizes. The number is also kept as ``reached`` and ``fade``, because every picture would have to wait if the number
    were read from a tensor on a GPU.
    """

    blocks: Any  # a ModuleList of SynthesisBlocks
    lod: torch.Tensor
    reached: int
    """Number of blocks that are used."""
    fade: float
    """Share of the second last used block in the colours, 0 to 1."""

    def __init__(self, config: StyleGAN1Config) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(SynthesisBlock(config, index) for index in range(len(config.channels)))
        self.reached, self.fade = len(self.blocks), 0.0
        self.progressive = config.progressive
        if config.progressive:
            self.register_buffer("lod", torch.zeros(()))

    def read_lod(self) -> None:
        """Read ``lod`` again. Call it after its value may have changed."""
        if self.progressive and not self.lod.is_meta:
            # With the arguments in this order, max returns 0.0 for NaN, which a file may contain.
            lod = min(max(0.0, float(self.lod)), len(self.blocks) - 1)
            self.reached, self.fade = len(self.blocks) - int(lod), lod % 1

    @property
    def layers(self) -> list[SynthesisLayer]:
        """Return all layers in their order."""
        return [layer for block in self.blocks for layer in (block.conv0, block.conv1)]

    def forward(
        self, ws: torch.Tensor, noise: Sequence[torch.Tensor] | None, dtypes: Sequence[torch.dtype]
    ) -> torch.Tensor:
        """Make images.

        Args:
            ws: float32 (n, num_ws, w_dim), a row for each layer.
            noise: a float32 map for each layer, broadcastable to (n, 1, h, w), or None for no noise. The maps of blocks
                that are not used may be left out.
            dtypes: the dtype that each block computes in.

        Returns:
            float32 (n, image_channels, height, width).
        """
        const, coarser, last = self.blocks[0].const, None, self.reached - 1
        x = const.expand(len(ws), *const.shape).contiguous(memory_format=torch.channels_last)
        for index, block, dtype in zip(range(self.reached), self.blocks, dtypes, strict=False):
            x = x.to(dtype)
            for row, layer in ((2 * index, block.conv0), (2 * index + 1, block.conv1)):
                x = layer(x, ws[:, row], None if noise is None else noise[row])
            if index == last - 1 and self.fade:
                coarser = block.torgb(x.float())
        image = self.blocks[last].torgb(x.float())
        if coarser is not None:
            image = torch.lerp(image, _repeat(coarser, 2), self.fade)
        hidden = len(self.blocks) - self.reached
        return _repeat(image, 2**hidden) if hidden else image


def _repeat(image: torch.Tensor, times: int) -> torch.Tensor:
    return F.interpolate(image, scale_factor=times, mode="nearest")


class StyleGAN1(StyleGAN):
    """StyleGAN as a generator of the server.

    Args:
        config: the network's shapes and arithmetic.
        name, licence, training: for ``info``.
    """

    def __init__(self, config: StyleGAN1Config, name: str = "StyleGAN", licence: str = "", training: str = "") -> None:
        super().__init__()
        self.config = config
        self.mapping = Mapping(config)
        self.synthesis = Synthesis(config)
        self.info = self.describe(
            "stylegan1",
            (name, licence, training),
            has_noise=config.use_noise,
            default_cutoff=8,
            normalises_z=config.normalize_z,
        )
        self._precision = torch.float32

    def weights_changed(self) -> None:
        """See ``Generator``."""
        self.synthesis.read_lod()

    def _apply(self, *arguments: Any, **named: Any) -> StyleGAN1:
        super()._apply(*arguments, **named)
        self.weights_changed()
        return self

    def load_state_dict(self, *arguments: Any, **named: Any) -> Any:
        """See ``torch.nn.Module``."""
        keys = super().load_state_dict(*arguments, **named)
        self.weights_changed()
        return keys

    def set_precision(self, dtype: torch.dtype | None) -> None:
        """See ``Generator``. The originals were trained in float32, so None is float32. Statistics always use it."""
        self._precision = dtype or torch.float32

    def synthesize(self, ws: torch.Tensor, noise: str | int, transform: torch.Tensor | None = None) -> torch.Tensor:
        ws = self.checked(ws, noise)
        blocks = len(self.config.channels)
        dtypes = [self._precision if index >= blocks - HALF_BLOCKS else torch.float32 for index in range(blocks)]
        maps = self.noise_maps(self.synthesis.layers[: 2 * self.synthesis.reached], noise)
        return self.synthesis(ws, maps, dtypes)


def state_shapes(config: StyleGAN1Config) -> dict[str, tuple[int, ...]]:
    """Return the name and shape of every tensor in ``StyleGAN1(config).state_dict()``, without making the network."""
    shapes: dict[str, tuple[int, ...]] = {"mapping.w_avg": (config.w_dim,)}
    if config.progressive:
        shapes["synthesis.lod"] = ()
    if config.num_classes:
        shapes["mapping.embed.weight"] = (config.z_dim, config.num_classes)
    inputs = config.z_dim * (2 if config.num_classes else 1)
    for index, outputs in enumerate(config.mapping):
        shapes.update({f"mapping.fc{index}.weight": (outputs, inputs), f"mapping.fc{index}.bias": (outputs,)})
        inputs = outputs
    for index, channels in enumerate(config.channels):
        block = f"synthesis.blocks.{index}"
        size = (config.base_size[0] * 2**index, config.base_size[1] * 2**index)
        if index:
            shapes[f"{block}.conv0.weight"] = (config.channels[index - 1], channels, 4, 4)
        else:
            shapes[f"{block}.const"] = (channels, *size)
        shapes[f"{block}.conv1.weight"] = (channels, channels, 3, 3)
        for name in (f"{block}.conv0", f"{block}.conv1"):
            shapes[f"{name}.bias"] = (channels,)
            shapes.update(
                {f"{name}.affine.weight": (2 * channels, config.w_dim), f"{name}.affine.bias": (2 * channels,)}
            )
            if config.use_noise:
                shapes.update({f"{name}.noise_strength": (channels,), f"{name}.noise_const": size})
        if index in config.colours:
            shapes[f"{block}.torgb.weight"] = (config.image_channels, channels, 1, 1)
            shapes[f"{block}.torgb.bias"] = (config.image_channels,)
    return shapes
