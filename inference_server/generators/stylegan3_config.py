"""The configuration that decides the shapes and the arithmetic of a StyleGAN3: every layer's sizes, from the file."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from math import isfinite
from typing import Any

from .configs import check_whole, made

MAX_SIDE = 8192
MAX_CHANNELS = 8192
MAX_LAYERS = 64
MAX_TAPS = 512
MAX_FEATURES = 2**30
"""The most numbers that the features of one layer may have."""


@dataclass(frozen=True)
class LayerConfig:
    """One layer; sizes are (width, height). Its values are checked when it is made.

    Raises:
        ValueError: if a value is impossible; names it.
    """

    in_channels: int
    out_channels: int
    in_size: tuple[int, int]
    out_size: tuple[int, int]
    kernel: int
    """Size of the convolution's kernel, 1 or 3 in the published networks. The convolution makes the features larger by
    kernel - 1 on each axis."""
    up: int = 1
    down: int = 1
    up_taps: int = 1
    down_taps: int = 1
    radial: bool = False
    """Whether the filter after the leaky ReLU is two-dimensional. Otherwise it is applied to one axis after the other.
    """
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)
    """Zeros at the left, right, top and bottom of the features after ``up``, each followed by up - 1 zeros; negative
    values crop."""
    clamp: float | None = 256.0
    half: bool = False
    """Whether the network's author let this layer compute in half precision."""
    is_colour: bool = False
    """Whether this is the last layer: it has no demodulation, no leaky ReLU and no filters."""

    def __post_init__(self) -> None:
        for name, low, high in (
            ("in_channels", 1, MAX_CHANNELS),
            ("out_channels", 1, MAX_CHANNELS),
            ("kernel", 1, 9),
            ("up", 1, 64),
            ("down", 1, 64),
            ("up_taps", 1, MAX_TAPS),
            ("down_taps", 1, MAX_TAPS),
        ):
            check_whole(name, getattr(self, name), low, high)
        for name, count, low, high in (
            ("in_size", 2, 1, MAX_SIDE),
            ("out_size", 2, 1, MAX_SIDE),
            ("padding", 4, -MAX_SIDE * 64, MAX_SIDE),
        ):
            check_tuple(name, getattr(self, name), count, low, high)
        for name in ("radial", "half", "is_colour"):
            if type(getattr(self, name)) is not bool:
                raise ValueError(f"{name} must be true or false, not {getattr(self, name)!r}")
        if self.clamp is not None:
            check_number("clamp", self.clamp, 1e-6, 60000)
        if self.is_colour and (self.up, self.down, self.up_taps, self.down_taps) != (1, 1, 1, 1):
            raise ValueError("the last layer must not have filters")
        if self.is_colour and any(self.padding):
            raise ValueError("the last layer must not be padded")
        for axis in (0, 1):
            made = (self.tmp_size[axis] - self.down_taps) // self.down + 1
            if self.tmp_size[axis] < self.down_taps or made != self.out_size[axis]:
                raise ValueError(f"a layer's sizes do not agree: its filters make {made}, not {self.out_size[axis]}")
        if self.out_channels * self.out_size[0] * self.out_size[1] > MAX_FEATURES:
            raise ValueError("a layer's features would not fit into memory")

    @property
    def conv_size(self) -> tuple[int, int]:
        """Return the width and height of the convolution's result."""
        return self.in_size[0] + self.kernel - 1, self.in_size[1] + self.kernel - 1

    @property
    def tmp_size(self) -> tuple[int, int]:
        """Return the width and height of the features between the filters, where the leaky ReLU is applied."""
        left, right, top, bottom = self.padding
        width, height = self.conv_size
        return (
            width * self.up + left + right - self.up_taps + 1,
            height * self.up + top + bottom - self.up_taps + 1,
        )

    @property
    def filters(self) -> dict[str, tuple[int, ...]]:
        """Return the names and shapes of the stored filters; a filter with one tap is not stored."""
        shapes: dict[str, tuple[int, ...]] = {}
        if self.up_taps > 1:
            shapes["up_filter"] = (self.up_taps,)
        if self.down_taps > 1:
            shapes["down_filter"] = (self.down_taps,) * (2 if self.radial else 1)
        return shapes


@dataclass(frozen=True)
class StyleGAN3Config:
    """Everything that decides the shapes and the arithmetic of a network; checked when it is made.

    Raises:
        ValueError: if a value is impossible; names it.
    """

    z_dim: int
    w_dim: int
    input_channels: int
    input_size: tuple[int, int]
    """Width and height of the grid of the Fourier features."""
    input_rate: float
    """Samples per picture height of that grid."""
    input_bandwidth: float
    layers: tuple[LayerConfig, ...]
    num_classes: int = 0
    embedding: int = 0
    """StyleGAN-XL: how many numbers a row of the table of class embeddings has. 0: classes are embedded linearly."""
    class_averages: bool = False
    """StyleGAN-XL: whether there is an average w for each class."""
    mapping_layers: int = 2
    mapping_lr: float = 0.01
    """Learning-rate multiplier of the mapping network; the stored weights are 1 / mapping_lr times the used ones."""
    output_scale: float = 0.25

    def __post_init__(self) -> None:
        for name, low, high in (
            ("z_dim", 1, MAX_CHANNELS),
            ("w_dim", 1, MAX_CHANNELS),
            ("input_channels", 1, MAX_CHANNELS),
            ("num_classes", 0, 65536),
            ("embedding", 0, MAX_CHANNELS),
            ("mapping_layers", 1, 64),
        ):
            check_whole(name, getattr(self, name), low, high)
        check_tuple("input_size", self.input_size, 2, 1, MAX_SIDE)
        if self.input_channels * self.input_size[0] * self.input_size[1] > MAX_FEATURES:
            raise ValueError("the input features would not fit into memory")
        check_number("input_rate", self.input_rate, 1e-3, 65536)
        check_number("input_bandwidth", self.input_bandwidth, 0, 65536)
        if self.input_bandwidth * 2 >= self.input_rate:
            raise ValueError(f"input_bandwidth must be below half of input_rate, not {self.input_bandwidth!r}")
        check_number("mapping_lr", self.mapping_lr, 1e-9, 10)
        check_number("output_scale", self.output_scale, -1e6, 1e6)
        if type(self.class_averages) is not bool:
            raise ValueError(f"class_averages must be true or false, not {self.class_averages!r}")
        if self.class_averages and not self.num_classes:
            raise ValueError("class_averages needs classes")
        self._check_layers()

    def _check_layers(self) -> None:
        layers = self.layers
        if not isinstance(layers, tuple) or not all(isinstance(layer, LayerConfig) for layer in layers):
            raise ValueError("layers must be a list of layers")
        if not 1 <= len(layers) <= MAX_LAYERS:
            raise ValueError(f"there must be 1 to {MAX_LAYERS} layers, not {len(layers)}")
        channels, size = self.input_channels, self.input_size
        for index, layer in enumerate(layers):
            if (layer.in_channels, layer.in_size) != (channels, size):
                raise ValueError(f"layer {index} does not take what comes before it")
            if layer.is_colour != (index == len(layers) - 1):
                raise ValueError("the last layer, and no other, must be the one to colour")
            channels, size = layer.out_channels, layer.out_size
        if channels not in (1, 3, 4):
            raise ValueError(f"the picture must have 1, 3 or 4 channels, not {channels}")

    @property
    def size(self) -> tuple[int, int]:
        """Return the width and height of the picture."""
        return self.layers[-1].out_size

    @property
    def num_ws(self) -> int:
        """Return the number of rows of W+: one for the input, one for each layer."""
        return len(self.layers) + 1

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values; ``from_dict`` reads them."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> StyleGAN3Config:
        """Return a configuration from JSON values, which may come from any file and are checked.

        Raises:
            ValueError: if a name is missing or unknown, or a value is impossible.
        """
        layers = values.get("layers") if isinstance(values, dict) else None
        if not isinstance(layers, list | tuple) or len(layers) > MAX_LAYERS:
            raise ValueError(f"layers must be a list of up to {MAX_LAYERS} layers")
        return _make(cls, {**values, "layers": tuple(_make(LayerConfig, layer) for layer in layers)})


def _make(kind: type, values: Any) -> Any:
    if not isinstance(values, dict):
        raise ValueError(f"settings must have names, unlike {str(values)[:80]!r}")
    return made(kind, values)


def check_tuple(name: str, values: object, count: int, low: int, high: int) -> None:
    """Raise ValueError if the values are not a tuple of ``count`` whole numbers from ``low`` to ``high``."""
    if (
        not isinstance(values, tuple)
        or len(values) != count
        or not all(type(value) is int and low <= value <= high for value in values)
    ):
        raise ValueError(f"{name} must be {count} whole numbers from {low} to {high}")


def check_number(name: str, value: object, low: float, high: float) -> None:
    """Raise ValueError if the value is not a finite number from ``low`` to ``high``."""
    if not isinstance(value, int | float) or isinstance(value, bool) or not isfinite(value) or not low <= value <= high:
        raise ValueError(f"{name} must be a number from {low} to {high}, not {value!r}")
