"""One training in memory: networks, optimisers, and the step that changes them.

Non-saturating loss (1406.2661, section 3) with lazy R1 (1801.04406; 1912.04958, section 3.1), or the relativistic
pairing loss with R1 and R2 (2501.05441, section 2), path length regularisation (1912.04958, section 3.2), exponential
moving average of the generator (1710.10196), adaptive augmentation (2006.06676), growth of the pictures (1710.10196,
section 2).

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
from ..quality.variety import reduced
from .adaptive import adapt
from .augment import Augmentation
from .batches import Batches
from .course import PICTURES, Course, Measure
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
COURSE_BATCH = 32
"""Pictures that are made at once to see where the training stands."""
SLOWER = 0.5
"""After each return to an earlier state, the learning rates are multiplied by this number."""
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
        self.course = Course()
        self._dataset = dataset
        self._measures: dict[int, Measure] = {}
        """By level: below 16 pixels, pictures of different levels have different sizes."""
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
        self.g_adam.zero_grad(set_to_none=True)
        self.d_adam.zero_grad(set_to_none=True)
        for start in range(0, len(reals), size):
            z = None if latents is None else latents[start : start + size]
            self._learn(z, reals[start : start + size], warming, len(reals), random)
        if settings.path_weight and not warming and self.step_number % settings.path_interval == 0:
            self._regularise_paths(max(1, size // 2), random)
        if self.seen >= settings.d_first or warming:
            group.average_gradients(self.generator)
            self.g_adam.step()
        if not warming:
            group.average_gradients(self.discriminator)
            self.d_adam.step()
            self._adapt()

        self.seen += settings.batch
        half_life = min(settings.ema, self.seen * 0.05)
        averaged(self.average, self.generator, 1 - 0.5 ** (settings.batch / half_life))

    def take_report(self) -> dict[str, float]:
        """Return the means of losses and scores since the last call, and the augmentation's probability."""
        report = {name: torch.stack(values).mean().item() for name, values in sorted(self._sums.items())}
        self._sums.clear()
        return report | {"augment": self.probability}

    @torch.no_grad()
    def take_course(self) -> tuple[float, float]:
        """Return the distance and the variety of the averaged generator's pictures; see ``course``."""
        if self.level not in self._measures:
            chosen = np.arange(PICTURES) * len(self._dataset) // PICTURES
            pictures = np.stack([self._dataset.picture(int(index)) for index in chosen])
            self._measures[self.level] = Measure(reduced(self._at_level(torch.from_numpy(pictures))))
        random = seeded(self.device, self.settings.seed)
        small = []
        for _ in range(0, PICTURES, COURSE_BATCH):
            z = torch.randn(COURSE_BATCH, self.settings.z_dim, generator=random, device=self.device)
            ws = training_latents(self.average, z, 0.0, random)
            images = training_pictures(self.average, ws, self.level, self._dtype, random)
            small.append(reduced(images.clamp(-1, 1).float().cpu()))
        return self._measures[self.level].of(np.concatenate(small))

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
        fade *= SLOWER**self.course.returns
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
        images = self._at_level(images)
        if (share := self._faded_in()) < 1:
            smooth = F.interpolate(F.avg_pool2d(images, 2), scale_factor=2.0, mode="bilinear")
            images = torch.lerp(smooth, images, share)
        if self.mirror:
            flip = torch.rand(len(images), 1, 1, 1, generator=random, device=self.device) < 0.5
            images = torch.where(flip, images.flip(3), images)
        return images

    def _at_level(self, pictures: torch.Tensor) -> torch.Tensor:
        """Return pictures uint8 (n, h, w, c) as float32 (n, c, h, w) in -1..1, in the level's size."""
        images = pictures.permute(0, 3, 1, 2).float()
        shrink = 1 << (self.top - self.level)
        return (F.avg_pool2d(images, shrink) if shrink > 1 else images) / 127.5 - 1

    def _faded_in(self) -> float:
        """Return the share of the real pictures' finest detail that is shown: 0 right after growing, later 1.

        A generator that has just grown makes no such detail yet (1710.10196, section 2 and figure 2).
        """
        begins = [until for _, until in self.settings.grow if until <= self.seen]
        return min(1.0, (self.seen - begins[-1]) / self.settings.fade) if begins and self.settings.fade else 1.0

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

    def _learn(
        self, z: torch.Tensor | None, reals: torch.Tensor, warming: bool, whole: int, random: torch.Generator
    ) -> None:
        """Add the gradients of both networks for a micro-batch. Each picture is made once, and judged once for both."""
        settings, n = self.settings, len(reals)
        share = n / whole
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
            (loss * share).backward()
            return
        learns = self.seen >= settings.d_first
        judged, seen = self._augment(fakes if learns else fakes.detach(), random), self._augment(reals, random)
        real, fake = self.discriminator(seen, self._dtype), self.discriminator(judged, self._dtype)
        paired = settings.loss == "relativistic"
        if learns:
            scores = F.softplus(real.detach() - fake if paired else -fake).mean()
            self._note(g_loss=scores)
            ((loss + scores) * share).backward(inputs=list(self.generator.parameters()), retain_graph=True)
        scores = F.softplus(fake - real).mean() if paired else F.softplus(-real).mean() + F.softplus(fake).mean()
        (scores * share).backward(inputs=list(self.discriminator.parameters()))
        # Only differences of scores mean anything to the relativistic loss.
        self._signs.append((real - fake if paired else real).detach().sign().mean())
        self._note(d_loss=scores, d_real=real.mean(), d_fake=fake.mean())
        if self.step_number % settings.r1_interval == 0:
            for name, pictures in (("r1", seen), ("r2", judged)) if paired else (("r1", seen),):
                pictures = pictures.detach().requires_grad_()
                gradient = torch.autograd.grad(self.discriminator(pictures).sum(), pictures, create_graph=True)[0]
                steepness = gradient.square().sum(dim=(1, 2, 3)).mean()
                (steepness * (settings.gamma / 2 * settings.r1_interval * share)).backward()
                self._note(**{name: steepness})

    def _adapt(self) -> None:
        """Change the augmentation, in every few steps."""
        settings = self.settings
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
