"""The configuration that decides a StyleGAN2 generator's shapes and arithmetic, and the tensors that it has."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from .configs import check_picture, check_row, check_whole, made

MAX_SIDE = 8192
MAX_CHANNELS = 8192
ARCHITECTURES = ("skip", "resnet", "orig")
HALF_BLOCKS = 4
"""How many of the last blocks may run in half precision (in the first blocks it would save little time)."""


@dataclass(frozen=True)
class StyleGAN2Config:
    """Everything that decides the shapes and the arithmetic of a network; checked when it is made.

    Raises:
        ValueError: if a value is impossible; names it.
    """

    z_dim: int
    w_dim: int
    channels: tuple[int, ...]
    """Feature channels of each block, coarsest first; every block after the first doubles the size."""
    base_size: tuple[int, int] = (4, 4)
    """Height and width of the learned constant."""
    image_channels: int = 3
    num_classes: int = 0
    mapping_layers: int = 8
    mapping_lr: float = 0.01
    """Learning-rate multiplier of the mapping network; the stored weights are 1 / mapping_lr times the used ones."""
    use_noise: bool = True
    conv_clamp: float | None = None
    """Features are clamped to plus or minus this value. A network trained with it is safe in half precision; a network
    without it is not."""
    architecture: str = "skip"
    """How blocks make the picture (1912.04958, figure 7): "skip" adds up the colours of all sizes, "resnet" adds each
    block's input to its output, "orig" does neither. "resnet" and "orig" have colours only in the last block."""
    half_blocks: int = HALF_BLOCKS
    """How many of the last blocks were in half precision in training."""
    mapping_width: int | None = None
    """Outputs of each hidden layer of the mapping network; None is w_dim."""
    embed_width: int | None = None
    """Outputs of the embedding of the classes; None is w_dim."""
    joint_normalization: bool = False
    """Whether z and the embedded class are normalised as one vector, as the original in TensorFlow does, and not each
    on its own."""

    def __post_init__(self) -> None:
        limits = {
            "z_dim": (1, MAX_CHANNELS),
            "w_dim": (1, MAX_CHANNELS),
            "num_classes": (0, 65536),
            "mapping_layers": (1, 64),
            "half_blocks": (0, 12),
            "mapping_width": (1, MAX_CHANNELS),
            "embed_width": (1, MAX_CHANNELS),
        }
        for name, (low, high) in limits.items():
            value = getattr(self, name)
            if value is None and name in ("mapping_width", "embed_width"):
                continue
            check_whole(name, value, low, high)
        if self.architecture not in ARCHITECTURES:
            raise ValueError(f"architecture must be one of {', '.join(ARCHITECTURES)}, not {self.architecture!r}")
        for name, least, most in (("channels", 1, 12), ("base_size", 2, 2)):
            check_row(name, getattr(self, name), least, most, MAX_CHANNELS)
        check_picture(self.image_channels, self.size, MAX_SIDE)
        if not _is_number(self.mapping_lr) or not 0 < self.mapping_lr <= 10:
            raise ValueError(f"mapping_lr must be a number above 0, not {self.mapping_lr!r}")
        for name in ("use_noise", "joint_normalization"):
            if type(getattr(self, name)) is not bool:
                raise ValueError(f"{name} must be true or false, not {getattr(self, name)!r}")
        if self.conv_clamp is not None and (not _is_number(self.conv_clamp) or not 0 < self.conv_clamp <= 60000):
            raise ValueError(f"conv_clamp must be a number above 0 or null, not {self.conv_clamp!r}")

    @property
    def size(self) -> tuple[int, int]:
        """Return the height and width of the image."""
        scale = 2 ** (len(self.channels) - 1)
        return self.base_size[0] * scale, self.base_size[1] * scale

    @property
    def num_ws(self) -> int:
        """Return the number of rows of W+: one for each convolution and one for the last step to colour."""
        return 2 * len(self.channels)

    @property
    def mapping_sizes(self) -> tuple[int, ...]:
        """Return the inputs of the first layer of the mapping network, then the outputs of each layer."""
        hidden = self.w_dim if self.mapping_width is None else self.mapping_width
        return (self.z_dim + self.embed_size, *(hidden,) * (self.mapping_layers - 1), self.w_dim)

    @property
    def embed_size(self) -> int:
        """Return the outputs of the embedding of the classes; 0 if there are no classes."""
        return (self.w_dim if self.embed_width is None else self.embed_width) if self.num_classes else 0

    def has_colours(self, index: int) -> bool:
        """Return whether a block has a step to colour."""
        return self.architecture == "skip" or index == len(self.channels) - 1

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values; ``from_dict`` reads them."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> StyleGAN2Config:
        """Return a configuration from JSON values, which may come from any file and are checked.

        Raises:
            ValueError: if a name is missing or unknown, or a value is impossible.
        """
        return made(cls, values)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def state_shapes(config: StyleGAN2Config) -> dict[str, tuple[int, ...]]:
    """Return the name and shape of every tensor in ``StyleGAN2(config).state_dict()``, without making the network."""
    shapes: dict[str, tuple[int, ...]] = {"mapping.w_avg": (config.w_dim,)}

    def dense(name: str, inputs: int, outputs: int) -> None:
        shapes.update({f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)})

    def convolution(name: str, inputs: int, outputs: int, kernel: int) -> None:
        shapes.update({f"{name}.weight": (outputs, inputs, kernel, kernel), f"{name}.bias": (outputs,)})
        dense(f"{name}.affine", config.w_dim, inputs)

    if config.num_classes:
        dense("mapping.embed", config.num_classes, config.embed_size)
    for index in range(config.mapping_layers):
        dense(f"mapping.fc{index}", *config.mapping_sizes[index : index + 2])
    for index, channels in enumerate(config.channels):
        block = f"synthesis.blocks.{index}"
        size = (config.base_size[0] * 2**index, config.base_size[1] * 2**index)
        layers = [(f"{block}.conv1", channels)]
        if index == 0:
            shapes[f"{block}.const"] = (channels, *size)
        else:
            layers.append((f"{block}.conv0", config.channels[index - 1]))
            if config.architecture == "resnet":
                shapes[f"{block}.skip.weight"] = (channels, config.channels[index - 1], 1, 1)
        for name, inputs in layers:
            convolution(name, inputs, channels, 3)
            if config.use_noise:
                shapes.update({f"{name}.noise_strength": (), f"{name}.noise_const": size})
        if config.has_colours(index):
            convolution(f"{block}.torgb", channels, config.image_channels, 1)
    return shapes
