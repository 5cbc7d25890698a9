"""The settings of a training: everything that decides its result, kept in the run's folder as JSON."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, fields, replace
from itertools import pairwise
from typing import Any

from ..generators.dcgan import DCGANConfig, DCGANLayer
from ..generators.glu import GLUConfig
from ..generators.stylegan2_config import StyleGAN2Config
from ..terminal.jobs import JobError

KINDS = ("glu", "stylegan2", "dcgan")
LOSSES = ("relativistic", "logistic")
CAPACITIES = {"small": (2048, 128), "medium": (8192, 256), "large": (16384, 512)}
"""Channels of a block: the first number divided by the picture's side in this block, at most the second number."""
GLU_CHANNELS = (16, 48, 64, 96)
"""Channels of the light generator's blocks of capacity small, the last block first; all earlier ones are like the last
number. Medium has twice as many, large four times."""
SMALLEST_SIDE = 64
"""Growth begins with pictures of about this size."""


@dataclass(frozen=True)
class Settings:
    """Settings of one run; a frozen value.

    Numbers of images count the pictures of the data set that the discriminator has seen (1710.10196 counts the same
    way).
    """

    kind: str = "stylegan2"
    loss: str = "logistic"
    """"logistic": non-saturating (1406.2661, section 3) with R1. "relativistic": each generated picture is compared
    with a real one, with R1 and R2 (2501.05441, section 2)."""
    channels: tuple[int, ...] = ()
    """Of the generator's blocks, coarsest first; with (), ``capacity`` decides."""
    d_channels: tuple[int, ...] = ()
    """Of the discriminator's blocks; () means the same as the generator's."""
    capacity: str = "small"
    z_dim: int = 128
    w_dim: int = 128
    mapping_layers: int = 2
    mapping_lr: float = 0.1
    """Learning-rate multiplier of the mapping network (1812.04948, appendix C; 0.01 with 8 layers)."""
    use_noise: bool = True

    images: int = 0
    """The run ends when this many were seen."""
    batch: int = 16
    micro_batch: int = 0
    """This many pictures go through the networks at once, and their gradients are added; 0 means the whole batch."""
    lr: float = 0.002
    decay_from: float = 0.8
    """Share of ``images`` after which the learning rates fall linearly, down to a tenth."""
    gamma: float = 1.0
    """Weight of R1 (1801.04406)."""
    r1_interval: int = 16
    """R1 is taken only once in this many steps, with a weight multiplied by this number (1912.04958, section 3.1)."""
    path_weight: float = 0.0
    """Weight of path length regularisation (1912.04958, section 3.2)."""
    path_interval: int = 8
    style_mixing: float = 0.9
    """Probability that a picture is made from two z (1812.04948, section 3.1)."""
    ema: float = 8000.0
    """Half-life of the generator's average, in images; a twentieth of the images seen, if that is less."""
    augment: str = "adaptive"
    """"adaptive" (2006.06676), "off", or a fixed probability as text."""
    augment_target: float = 0.6
    grow: tuple[tuple[int, int], ...] = ()
    """(side, images): the pictures' smaller side is ``side`` until this many images were seen (1710.10196)."""
    fade: int = 0
    """After the pictures have grown, the new detail of the real pictures fades in over this many images."""
    precision: str = "float32"
    """"float32" or "bfloat16"; R1 and path lengths are always in float32."""
    seed: int = 0

    match: float = 10.0
    """If the data set has latents: weight of the difference between a picture and the one made from its latent."""
    warm_up: int = 0
    """This many images are trained with that difference alone, with momentum and at ``warm_up_lr``."""
    warm_up_lr: float = 0.015
    d_first: int = 0
    """This many images are shown to the discriminator alone, before the generator is changed."""

    snapshot_every: int = 10000
    """Images between snapshots at first; later a sixteenth of the images seen, so that there are not too many."""
    tick: int = 1000
    """Images between lines of the log."""
    previews: int = 24
    name: str = ""
    licence: str = ""

    def __post_init__(self) -> None:
        """Check the settings. Raises JobError that names a setting with a wrong value."""
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(field.default, int | float) and not isinstance(field.default, bool):
                if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 2**53:
                    raise JobError(f"{field.name} must be a number, 0 or more, not {value!r}.")
            elif type(value) is not type(field.default):
                raise JobError(f"{field.name} cannot be {value!r}.")
        if self.kind not in KINDS or self.capacity not in CAPACITIES:
            raise JobError(f"There is no {self.kind} of capacity {self.capacity}.")
        if self.loss not in LOSSES:
            raise JobError(f"loss must be relativistic or logistic, not {self.loss}.")
        if self.precision not in ("float32", "bfloat16"):
            raise JobError(f"precision must be float32 or bfloat16, not {self.precision}.")
        for name in ("batch", "r1_interval", "path_interval", "snapshot_every", "tick", "z_dim", "w_dim", "previews"):
            if getattr(self, name) < 1:
                raise JobError(f"{name} must be 1 or more.")
        if self.batch % (self.micro_batch or self.batch):
            raise JobError(f"A batch of {self.batch} cannot be divided into micro-batches of {self.micro_batch}.")
        if self.augment not in ("adaptive", "off") and not re.fullmatch(r"0(\.\d+)?|1(\.0+)?", self.augment):
            raise JobError(f"augment must be adaptive, off or a probability from 0 to 1, not {self.augment}.")
        if any(a >= b for (a, _), (b, _) in pairwise(self.grow)):
            raise JobError("Each side in grow must be larger than the one before it.")

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values, which ``from_dict`` reads."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Settings:
        """Read settings from JSON values. Raises JobError that names a setting with a wrong value."""
        unknown = set(values) - {field.name for field in fields(cls)}
        if unknown:
            raise JobError(f"The run has a setting {sorted(unknown)[0]!r} that this version does not know.")
        lists = {name: tuple(values[name]) for name in ("channels", "d_channels") if name in values}
        grow = {"grow": tuple((side, images) for side, images in values["grow"])} if "grow" in values else {}
        return cls(**{**values, **lists, **grow})


def doublings(size: tuple[int, int]) -> int:
    """Return how often a picture of a size (height, width) can be halved.

    Halving ends when a side is odd, or would become less than 4.
    """
    height, width = size
    count = 0
    while height % 2 == 0 and width % 2 == 0 and min(height, width) >= 8:
        height, width, count = height // 2, width // 2, count + 1
    return count


def network_config(
    settings: Settings, size: tuple[int, int], channels: int
) -> StyleGAN2Config | DCGANConfig | GLUConfig:
    """Return the generator's configuration for pictures of a size (height, width). Raises JobError if it has none."""
    count = doublings(size)
    base = (size[0] >> count, size[1] >> count)
    if max(base) > 16:
        raise JobError(
            f"Pictures of {size[1]} x {size[0]} cannot be halved often enough to be made by a network. "
            "Choose sides that are multiples of 32."
        )
    widths = network_channels(settings, size)
    try:
        if settings.kind != "dcgan":
            own: dict[str, Any] = {
                "z_dim": settings.z_dim,
                "w_dim": settings.w_dim,
                "channels": widths,
                "base_size": base,
            }
            own |= {"image_channels": channels, "mapping_layers": settings.mapping_layers}
            if settings.kind == "glu":
                return GLUConfig(**own)
            return StyleGAN2Config(
                mapping_lr=settings.mapping_lr, use_noise=settings.use_noise, conv_clamp=256.0, **own
            )
        first = DCGANLayer(settings.z_dim, widths[0], base, (1, 1), (0, 0))
        middle = [DCGANLayer(a, b) for a, b in pairwise(widths[:-1])]
        last = DCGANLayer(widths[-2], channels, bias=True, batch_norm=False, activation="tanh")
        return DCGANConfig(settings.z_dim, (first, *middle, last))
    except ValueError as error:
        raise JobError(f"The network cannot be made: {error}.") from None


def network_channels(settings: Settings, size: tuple[int, int]) -> tuple[int, ...]:
    """Return the channels of each block, coarsest first. Raises JobError if the settings have too many or too few."""
    blocks = doublings(size) + 1
    widths = settings.channels or capacity_channels(settings.kind, settings.capacity, blocks)
    if len(widths) != blocks:
        raise JobError(f"Pictures of {size[1]} x {size[0]} need channels for {blocks} blocks, not {len(widths)}.")
    return widths


def capacity_channels(kind: str, capacity: str, blocks: int) -> tuple[int, ...]:
    """Return the channels of this many blocks, coarsest first, for pictures that are 4 pixels high in the first."""
    if kind == "glu":
        times = 1 << list(CAPACITIES).index(capacity)
        widths = [*GLU_CHANNELS[:blocks], *GLU_CHANNELS[-1:] * (blocks - len(GLU_CHANNELS))]
        return tuple(width * times for width in reversed(widths))
    base, most = CAPACITIES[capacity]
    return tuple(min(most, base >> (2 + index)) for index in range(blocks))


def growth_sides(kind: str, size: tuple[int, int]) -> tuple[int, ...]:
    """Return the smaller side of the pictures at each stage of growth, the full size last."""
    sides = [min(size)]
    while kind != "dcgan" and sides[0] % 2 == 0 and sides[0] // 2 >= SMALLEST_SIDE:
        sides.insert(0, sides[0] // 2)
    return tuple(sides)


def with_channels(settings: Settings, config: StyleGAN2Config | DCGANConfig | GLUConfig) -> Settings:
    """Return the settings with the network's own sizes, so that no default of another version can change them."""
    if isinstance(config, GLUConfig):
        own = {name: getattr(config, name) for name in ("channels", "z_dim", "w_dim", "mapping_layers")}
        return replace(settings, kind="glu", use_noise=False, **own)
    if isinstance(config, StyleGAN2Config):
        own = {name: getattr(config, name) for name in ("channels", "z_dim", "w_dim", "mapping_layers", "mapping_lr")}
        return replace(settings, kind="stylegan2", use_noise=config.use_noise, **own)
    widths = tuple(layer.outputs for layer in config.layers[:-1])
    return replace(settings, kind="dcgan", z_dim=config.z_dim, channels=(*widths, widths[-1] // 2 or 1))


def stages(settings: Settings, size: tuple[int, int]) -> list[tuple[int, int, int]]:
    """Return (side, from, to) of each stage of growth; from and to are numbers of images."""
    found, start = [], 0
    for side, until in (*settings.grow, (min(size), settings.images)):
        if until > start:
            found.append((side, start, min(until, settings.images)))
            start = until
    return [stage for stage in found if stage[1] < stage[2]]


def check_growth(settings: Settings, size: tuple[int, int]) -> None:
    """Raise JobError if pictures of a size (height, width) cannot grow as the settings say."""
    sides = [min(size) >> count for count in range(doublings(size) + 1)]
    for side, _ in settings.grow:
        if side not in sides[1:] or settings.kind == "dcgan":
            allowed = ", ".join(str(one) for one in growth_sides(settings.kind, size)[:-1]) or "none"
            raise JobError(f"Pictures of {size[1]} x {size[0]} cannot grow from {side}; possible is {allowed}.")
