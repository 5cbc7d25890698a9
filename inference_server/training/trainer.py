"""One training in memory: networks, optimisers, and the step that changes them.

Non-saturating loss (1406.2661, section 3), lazy R1 (1801.04406; 1912.04958, section 3.1), path length regularisation
(1912.04958, section 3.2), exponential moving average of the generator (1710.10196), adaptive augmentation (2006.06676),
growth of the pictures (1710.10196, section 2).

If the latents of the pictures are known, the generator must also make the picture of each latent: the absolute
difference is part of its loss, as in 1611.07004 (section 3.1). So it cannot collapse to a few pictures, which happens
in a short training otherwise.

Every random number is decided by the seed and the number of images seen, and by nothing else. So a run that was stopped
continues exactly as if it had not been stopped, and no state of random generators is saved.
"""

from __future__ import annotations

import copy
from collections import defaultdict
from math import sqrt

import numpy as np
import torch
from torch.nn import functional as F

from ..datasets.reading import Dataset
from ..generators.base import Generator
from .adaptive import adapt
from .augment import Augmentation
from .batches import Batches
from .discriminator import Discriminator
from .distributed import Group
from .networks import (
    averaged,
    make_discriminator,
    make_generator,
    make_room,
    seeded,
    training_latents,
    training_pictures,
)
from .settings import Settings, doublings, network_config

ADAPT_EVERY = 4
"""Steps between changes of the augmentation (2006.06676, section 3)."""
DECAY_OF_PATH = 0.01
LARGEST = torch.finfo(torch.float16).max


class Trainer:
    """Networks, optimisers and counters of one training.

    Args:
        settings: what to train.
        dataset: the pictures to train on.
        device: where to train.
        group: the processes that train together.
        memory: bytes of pictures to keep in memory.

    Raises:
        JobError: if pictures and settings do not fit each other.
    """

    def __init__(
        self, settings: Settings, dataset: Dataset, device: torch.device, group: Group, memory: int = 1 << 30
    ) -> None:
        self.settings, self.device, self.group = settings, device, group
        self.size = dataset.size
        self.top = doublings(dataset.size)
        self.latents = dataset.latents
        self.mirror = dataset.mirror and dataset.latents is None
        torch.manual_seed(settings.seed)
        self.config = network_config(settings, dataset.size, dataset.channels)
        self.generator: Generator = make_generator(self.config, settings.name, settings.licence)
        self.discriminator: Discriminator = make_discriminator(settings, dataset.size, dataset.channels)
        self.seen = 0
        make_room(self.generator, self.discriminator, self.level)
        for network in (self.generator, self.discriminator):
            network.to(device=device, memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        self.average: Generator = copy.deepcopy(self.generator).requires_grad_(False)
        adam = settings.kind == "dcgan"
        self.g_betas = (0.5, 0.999) if adam else (0.0, 0.99)
        share = settings.r1_interval / (settings.r1_interval + 1)
        self.rates = {"g": settings.lr * (0.1 if adam else 1.0), "d": settings.lr * share}
        if settings.path_weight and not adam:
            path_share = settings.path_interval / (settings.path_interval + 1)
            self.rates["g"] *= path_share
            self.g_betas = (self.g_betas[0] ** path_share, self.g_betas[1] ** path_share)
        self.g_adam = torch.optim.Adam(self.generator.parameters(), lr=self.rates["g"], betas=self.g_betas)
        self.d_adam = torch.optim.Adam(
            self.discriminator.parameters(), lr=self.rates["d"], betas=(0.0, 0.99**share), eps=1e-8
        )
        self.probability = float(settings.augment) if settings.augment not in ("adaptive", "off") else 0.0
        self.path_mean = torch.zeros((), device=device)
        self.batches = Batches(
            dataset, settings.batch // group.size, settings.seed, group.rank, group.size, memory // group.size
        )
        self._augmentations: dict[tuple[int, int], Augmentation] = {}
        self._signs: list[torch.Tensor] = []
        self._sums: dict[str, list[torch.Tensor]] = defaultdict(list)

    @property
    def level(self) -> int:
        """The size that is trained now: the generator's blocks up to this index."""
        side = next((side for side, until in self.settings.grow if self.seen < until), min(self.size))
        return self.top - (min(self.size) // side).bit_length() + 1

    @property
    def step_number(self) -> int:
        """Steps made so far."""
        return self.seen // self.settings.batch

    def step(self) -> None:
        """Update both networks once; ``take_report`` returns the losses."""
        settings, group = self.settings, self.group
        self._set_rates()
        pictures, indices = self.batches.at(self.seen)
        random = seeded(self.device, settings.seed, self.seen, group.rank)
        reals = self._prepare(pictures, random)
        latents = None if self.latents is None else torch.from_numpy(self.latents[indices]).to(self.device)
        size = (settings.micro_batch or settings.batch) // group.size or 1
        warming = latents is not None and self.seen < settings.warm_up
        judged: list[torch.Tensor] = []
        self.g_adam.zero_grad(set_to_none=True)
        self.discriminator.requires_grad_(False)
        for start in range(0, len(reals), size):
            z = None if latents is None else latents[start : start + size]
            judged.append(self._learn_generator(z, reals[start : start + size], warming, len(reals), random))
        if settings.path_weight and not warming and self.step_number % settings.path_interval == 0:
            self._regularise_paths(max(1, size // 2), random)
        if self.seen >= settings.d_first or warming:
            group.average_gradients(self.generator)
            self.g_adam.step()
        self.discriminator.requires_grad_(True)
        if not warming:
            self._learn_discriminator(reals, judged, size, random)

        self.seen += settings.batch
        half_life = min(settings.ema, self.seen * 0.05)
        averaged(self.average, self.generator, 1 - 0.5 ** (settings.batch / half_life))

    def take_report(self) -> dict[str, float]:
        """Return the means of losses and scores since the last call, and the augmentation's probability."""
        report = {name: torch.stack(values).mean().item() for name, values in sorted(self._sums.items())}
        self._sums.clear()
        return report | {"augment": self.probability}

    def is_sound(self) -> bool:
        """Return whether all weights are finite numbers that half precision can hold."""
        checks = [
            torch.stack([(value.abs() < LARGEST).all() for value in network.parameters()]).all()
            for network in (self.generator, self.discriminator, self.average)
        ]
        return bool(torch.stack(checks).all())

    def _set_rates(self) -> None:
        settings = self.settings
        fade = max(0.1, min(1.0, (1 - self.seen / settings.images) / max(1e-9, 1 - settings.decay_from)))
        warming = self.latents is not None and self.seen < settings.warm_up
        # Momentum disturbs two networks that play against each other. It helps one that is fitted to given pictures.
        own = self.g_adam.param_groups[0]
        own["lr"] = settings.warm_up_lr if warming else self.rates["g"] * fade
        own["betas"] = (0.9, 0.99) if warming else self.g_betas
        self.d_adam.param_groups[0]["lr"] = self.rates["d"] * fade

    def _prepare(self, pictures: np.ndarray, random: torch.Generator) -> torch.Tensor:
        """Convert pictures uint8 (n, h, w, c) of the data set to what the networks take.

        That is float32 (n, c, h, w) in -1..1, in the level's size, on the device, mirrored at random if the data set
        allows it and has no latents.
        """
        images = torch.from_numpy(pictures)
        if self.device.type == "cuda":
            images = images.pin_memory().to(self.device, non_blocking=True)
        images = images.permute(0, 3, 1, 2).float()
        shrink = 1 << (self.top - self.level)
        images = F.avg_pool2d(images, shrink) / 127.5 - 1 if shrink > 1 else images / 127.5 - 1
        if self.mirror:
            flip = torch.rand(len(images), 1, 1, 1, generator=random, device=self.device) < 0.5
            images = torch.where(flip, images.flip(3), images)
        return images

    def _augment(self, images: torch.Tensor, random: torch.Generator) -> torch.Tensor:
        if self.settings.augment == "off":
            return images
        size = (images.shape[2], images.shape[3])
        if size not in self._augmentations:
            self._augmentations[size] = Augmentation(size, images.shape[1])
        return self._augmentations[size](images, self.probability, random)

    def _note(self, **values: torch.Tensor) -> None:
        for name, value in values.items():
            self._sums[name].append(value.detach().float())

    @property
    def _dtype(self) -> torch.dtype:
        return getattr(torch, self.settings.precision)

    def _learn_generator(
        self, z: torch.Tensor | None, reals: torch.Tensor, warming: bool, whole: int, random: torch.Generator
    ) -> torch.Tensor:
        """Add the gradients of a micro-batch; return its pictures as the discriminator will see them."""
        settings, n = self.settings, len(reals)
        mixing = settings.style_mixing if z is None else 0.0
        if z is None:
            z = torch.randn(n, settings.z_dim, generator=random, device=self.device)
        ws = training_latents(self.generator, z, mixing, random)
        fakes = training_pictures(self.generator, ws, self.level, self._dtype, random)
        loss = torch.zeros((), device=self.device)
        if self.latents is not None:
            difference = fakes - reals
            match = sum(F.avg_pool2d(difference, scale).abs().mean() for scale in (1, 2, 4))
            assert isinstance(match, torch.Tensor)
            self._note(match=match)
            loss = loss + match * settings.match
        if warming:
            (loss * (n / whole)).backward()
            return fakes.detach()
        judged = self._augment(fakes, random)
        if self.seen >= settings.d_first:
            scores = F.softplus(-self.discriminator(judged, self._dtype)).mean()
            self._note(g_loss=scores)
            ((loss + scores) * (n / whole)).backward()
        return judged.detach()

    def _learn_discriminator(
        self, reals: torch.Tensor, judged: list[torch.Tensor], size: int, random: torch.Generator
    ) -> None:
        settings = self.settings
        self.d_adam.zero_grad(set_to_none=True)
        regularise = self.step_number % settings.r1_interval == 0
        for index, fakes in enumerate(judged):
            share = len(fakes) / len(reals)
            seen = self._augment(reals[index * size : index * size + len(fakes)], random)
            real, fake = self.discriminator(seen, self._dtype), self.discriminator(fakes, self._dtype)
            loss = F.softplus(-real).mean() + F.softplus(fake).mean()
            (loss * share).backward()
            self._signs.append(real.detach().sign().mean())
            self._note(d_loss=loss, d_real=real.mean(), d_fake=fake.mean())
            if regularise:
                seen = seen.detach().requires_grad_()
                gradient = torch.autograd.grad(self.discriminator(seen).sum(), seen, create_graph=True)[0]
                r1 = gradient.square().sum(dim=(1, 2, 3)).mean()
                (r1 * (settings.gamma / 2 * settings.r1_interval * share)).backward()
                self._note(r1=r1)
        self.group.average_gradients(self.discriminator)
        self.d_adam.step()
        if settings.augment == "adaptive" and self.step_number % ADAPT_EVERY == 0:
            sign = self.group.mean(torch.stack(self._signs).mean()).item()
            self._signs.clear()
            images = settings.batch * ADAPT_EVERY
            self.probability = adapt(self.probability, sign, images, settings.augment_target)
            self._note(sign=torch.tensor(sign))

    def _regularise_paths(self, n: int, random: torch.Generator) -> None:
        """Add the gradients of path length regularisation for ``n`` pictures (1912.04958, section 3.2, equation 4)."""
        settings = self.settings
        z = torch.randn(n, settings.z_dim, generator=random, device=self.device)
        ws = training_latents(self.generator, z, settings.style_mixing, random)
        images = training_pictures(self.generator, ws, self.level, torch.float32, random)
        noise = torch.randn(images.shape, generator=random, device=self.device) / sqrt(images[0, 0].numel())
        gradient = torch.autograd.grad((images * noise).sum(), ws, create_graph=True)[0]
        lengths = gradient.square().sum(dim=2).mean(dim=1).sqrt()
        with torch.no_grad():
            self.path_mean.lerp_(self.group.mean(lengths.mean()), DECAY_OF_PATH)
        penalty = (lengths - self.path_mean).square().mean()
        (penalty * settings.path_weight * settings.path_interval).backward()
        self._note(path=lengths.mean())
