"""Train a small StyleGAN2 on pictures of one size.

Non-saturating loss (1406.2661, section 3), lazy R1 (1801.04406; 1912.04958, section 3.1), exponential moving average
of the generator (1710.10196), differentiable augmentation for small sets (2006.10738).

Where the latent of every picture is known (``--latents``), the generator is also held to the picture of its latent by
an absolute difference, as in 1611.07004 (section 3.1): it then cannot collapse to a few pictures, which is what a short
training otherwise does. ``--warm-up`` begins with that difference alone.

``python -m inference_server.training.train --data figures.npy --out run --channels 128,128,128,96,64 --images 300000``

Stopped at any time, the same command carries on from the last save. The run's folder holds ``state.safetensors``
(everything needed to carry on), numbered ``snapshot-*.safetensors`` (the averaged generator), ``preview-*.png`` of
always the same latents, and ``log.jsonl``.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import save
from torch.nn import functional as F

from inference_server.checkpoints import save_generator
from inference_server.generators.base import best_device
from inference_server.generators.stylegan2 import StyleGAN2, StyleGAN2Config
from inference_server.training.augment import augment
from inference_server.training.discriminator import Discriminator
from inference_server.training.sheet import sheet_of

R1_INTERVAL = 16


@dataclass
class Settings:
    """What one call of ``train`` is to do; the shape of the network comes from ``config``."""

    data: Path
    out: Path
    config: StyleGAN2Config
    d_channels: tuple[int, ...]
    images: int
    batch: int = 16
    lr: float = 2e-3
    gamma: float = 1.0
    decay_from: float = 0.8
    """Fraction of ``images`` after which the learning rate falls, linearly to a tenth."""
    ema: float = 8000.0
    """Half-life of the generator's average in images, at most; a twentieth of the images seen where that is less."""
    augment: float = 0.0
    mirror: bool = False
    save_every: int = 10000
    keep_snapshots: int = 5
    seed: int = 0
    bfloat16: bool = False
    device: str = ""
    grow_from: Path | None = None
    discriminator_from: Path | None = None
    """When growing: the run whose discriminator to take, where the other's is untrained after a warm-up."""
    latents: Path | None = None
    """float32 (pictures, z_dim): the latent of each picture."""
    match: float = 10.0
    """Weight of the difference between a picture and the one made from its latent."""
    warm_up: int = 0
    """So many images are trained by that difference alone."""
    name: str = ""
    licence: str = ""


def load_pictures(path: Path) -> np.ndarray:
    """Pictures as uint8 (n, h, w, c): an ``.npy`` file, mapped and not read, or a folder of images of one size.

    Raises:
        ValueError: there are none, or their sizes or kinds differ.
    """
    if path.is_file():
        pictures = np.load(path, mmap_mode="r", allow_pickle=False)
        if pictures.ndim != 4 or pictures.dtype != np.uint8 or not len(pictures):
            raise ValueError(f"{path} must hold bytes of shape (pictures, height, width, channels)")
        return pictures
    files = sorted(file for file in path.iterdir() if file.suffix.lower() in (".png", ".jpg", ".jpeg", ".webp"))
    if not files:
        raise ValueError(f"{path} holds no pictures (png, jpg or webp)")
    arrays = [np.asarray(Image.open(file)) for file in files]
    for file, array in zip(files, arrays, strict=True):
        if array.shape != arrays[0].shape or array.dtype != np.uint8:
            raise ValueError(f"{file.name} differs from {files[0].name} in size or kind; all must be alike")
    pictures = np.stack(arrays)
    return pictures[..., None] if pictures.ndim == 3 else pictures


def read_state(path: Path, device: torch.device) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Tensors and metadata of a ``state.safetensors``."""
    with safe_open(path, "pt", device=str(device)) as file:
        return {key: file.get_tensor(key) for key in file.keys()}, file.metadata()  # noqa: SIM118 - not a dict


class Run:
    """Networks, optimizers and counters of one training, in memory.

    Args:
        settings: what to train, on what.

    Raises:
        ValueError: pictures and network do not fit each other, or the run's folder was begun with another network.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        config = settings.config
        self.device = torch.device(settings.device) if settings.device else best_device()
        torch.manual_seed(settings.seed)
        self.pictures = load_pictures(settings.data)
        height, width = config.size
        self.shrink = self.pictures.shape[1] // height if height else 0
        if self.pictures.shape[1:] != (height * self.shrink, width * self.shrink, config.image_channels):
            raise ValueError(
                f"The pictures have shape {self.pictures.shape[1:]}, the network makes {height} x {width} with "
                f"{config.image_channels} channels; sizes must be the same, or the pictures' a multiple"
            )
        self.latents = None
        if settings.latents:
            self.latents = np.load(settings.latents, mmap_mode="r", allow_pickle=False)
            if self.latents.shape != (len(self.pictures), config.z_dim):
                raise ValueError(f"{settings.latents} must have shape ({len(self.pictures)}, {config.z_dim})")
        if (settings.warm_up and self.latents is None) or (settings.mirror and self.latents is not None):
            raise ValueError("A warm-up needs the latents of the pictures, and mirrored pictures have none")
        options: dict[str, Any] = {"device": self.device, "memory_format": torch.channels_last}
        self.generator = StyleGAN2(config, settings.name, settings.licence).to(**options)
        halvings = 2 ** (len(settings.d_channels) - 1)
        if height % halvings or width % halvings:
            raise ValueError(
                f"{height} x {width} cannot be halved {len(settings.d_channels) - 1} times by the discriminator"
            )
        base = (height // halvings, width // halvings)
        self.discriminator = Discriminator(config.image_channels, settings.d_channels, base).to(**options)
        self.seen, self.seconds = 0, 0.0
        self.random = torch.Generator().manual_seed(settings.seed)
        state = settings.out / "state.safetensors"
        if settings.grow_from and not state.exists():
            self._grow(settings.grow_from / "state.safetensors")
        self.average = copy.deepcopy(self.generator).requires_grad_(False)
        ratio = R1_INTERVAL / (R1_INTERVAL + 1)
        self.g_adam = torch.optim.Adam(self.generator.parameters(), lr=settings.lr, betas=(0.0, 0.99))
        self.d_adam = torch.optim.Adam(
            self.discriminator.parameters(), lr=settings.lr * ratio, betas=(0.0, 0.99**ratio)
        )
        self.r1_ratio = ratio
        self.preview_z = torch.randn(24, config.z_dim, generator=torch.Generator().manual_seed(1))
        if state.exists():
            self._load(state)

    def _networks(self) -> dict[str, torch.nn.Module]:
        return {"generator": self.generator, "discriminator": self.discriminator, "average": self.average}

    def save_state(self) -> None:
        """Write everything needed to carry on, whole or not at all."""
        tensors = {
            f"{part}/{key}": value.contiguous()
            for part, network in self._networks().items()
            for key, value in network.state_dict().items()
        }
        for part, adam in (("g_adam", self.g_adam), ("d_adam", self.d_adam)):
            for index, values in adam.state_dict()["state"].items():
                for key, value in values.items():
                    tensors[f"{part}/{index}/{key}"] = value.contiguous()
        tensors["random"], tensors["torch_random"] = self.random.get_state(), torch.get_rng_state()
        about = {
            "config": json.dumps(self.settings.config.to_dict()),
            "seen": str(self.seen),
            "seconds": str(self.seconds),
        }
        path = self.settings.out / "state.safetensors"
        path.with_suffix(".part").write_bytes(save(tensors, about))
        os.replace(path.with_suffix(".part"), path)

    def _load(self, path: Path) -> None:
        tensors, about = read_state(path, self.device)
        if StyleGAN2Config.from_dict(json.loads(about["config"])) != self.settings.config:
            raise ValueError(f"{path} was begun with another network; give the same one, or another folder")
        for part, network in self._networks().items():
            network.load_state_dict({key: tensors[f"{part}/{key}"] for key in network.state_dict()})
        for part, adam in (("g_adam", self.g_adam), ("d_adam", self.d_adam)):
            state = adam.state_dict()
            state["state"] = {}
            for name, value in tensors.items():
                if name.startswith(f"{part}/"):
                    _, index, key = name.split("/")
                    state["state"].setdefault(int(index), {})[key] = value
            adam.load_state_dict(state)
        self.random.set_state(tensors["random"].cpu())
        torch.set_rng_state(tensors["torch_random"].cpu())
        self.seen, self.seconds = int(about["seen"]), float(about["seconds"])

    def _grow(self, path: Path) -> None:
        """Start from a run of half the size. The new blocks add nothing at first, so the picture grows smoothly."""
        old, about = read_state(path, self.device)
        self.seen, self.seconds = int(about["seen"]), float(about["seconds"])
        if self.settings.discriminator_from:
            other, _ = read_state(self.settings.discriminator_from / "state.safetensors", self.device)
            old |= {key: value for key, value in other.items() if key.startswith("discriminator/")}
        g_top, d_top = len(self.settings.config.channels) - 1, len(self.settings.d_channels) - 1
        for part, network in (("average", self.generator), ("discriminator", self.discriminator)):
            values = network.state_dict()
            values.update({key.partition("/")[2]: value for key, value in old.items() if key.startswith(f"{part}/")})
            if part == "discriminator":
                for name in ("weight", "bias"):
                    values[f"blocks.down{d_top}.fromrgb.{name}"] = old[f"discriminator/fromrgb.{name}"]
                    values[f"fromrgb.{name}"] = network.get_parameter(f"fromrgb.{name}").data
                for layer in ("conv1.weight", "skip.weight"):
                    values[f"blocks.down{d_top}.{layer}"] = torch.zeros_like(values[f"blocks.down{d_top}.{layer}"])
            else:
                name = f"synthesis.blocks.{g_top}.torgb.weight"
                values[name] = torch.zeros_like(values[name])
            network.load_state_dict(values)

    def batch(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Latents (batch, z_dim), and pictures float32 (batch, c, h, w) in -1..1: theirs, where latents are known."""
        picks = sorted(torch.randint(len(self.pictures), (self.settings.batch,), generator=self.random).tolist())
        if self.latents is None:
            z = torch.randn(len(picks), self.settings.config.z_dim, generator=self.random)
        else:
            z = torch.from_numpy(self.latents[picks])
        images = torch.from_numpy(self.pictures[picks]).to(self.device).permute(0, 3, 1, 2).float()
        images = F.avg_pool2d(images, self.shrink) / 127.5 - 1
        if self.settings.mirror:
            flip = torch.rand(len(images), generator=self.random).lt(0.5).to(self.device)
            images = torch.where(flip[:, None, None, None], images.flip(3), images)
        return z.to(self.device), images

    def step(self) -> dict[str, float]:
        """One update of both networks; returns the losses."""
        settings = self.settings
        n, dtype = settings.batch, torch.bfloat16 if settings.bfloat16 else torch.float32
        progress = self.seen / settings.images
        fade = max(0.1, min(1.0, (1 - progress) / max(1e-9, 1 - settings.decay_from)))
        for adam, share in ((self.g_adam, 1.0), (self.d_adam, self.r1_ratio)):
            adam.param_groups[0]["lr"] = settings.lr * share * fade

        # Momentum disturbs the game of two networks, and helps where one is fitted to given pictures.
        self.g_adam.param_groups[0]["betas"] = (0.9 if self.seen < settings.warm_up else 0.0, 0.99)

        z, pictures = self.batch()
        ws = self.generator.broadcast(self.generator.map(z))
        layers = self.generator.synthesis.layers
        noise = [torch.randn(n, 1, *layer.size, generator=self.random).to(self.device) for layer in layers]
        fakes = self.generator.synthesis(ws, noise, [dtype] * len(settings.config.channels))
        report: dict[str, float] = {}
        self.g_adam.zero_grad()
        loss = torch.zeros((), device=self.device)
        if self.latents is not None:
            difference = fakes - pictures
            match = sum(F.avg_pool2d(difference, scale).abs().mean() for scale in (1, 2, 4))
            report["match"] = match.item()
            loss = loss + match * settings.match
        if self.seen >= settings.warm_up:
            changed = augment(fakes, settings.augment, self.random)
            self._train_discriminator(augment(pictures, settings.augment, self.random), changed.detach(), report)
            self.discriminator.requires_grad_(False)
            scores = F.softplus(-self.discriminator(changed, dtype)).mean()
            report["g_loss"] = scores.item()
            loss = loss + scores
        loss.backward()
        self.discriminator.requires_grad_(True)
        self.g_adam.step()

        self.seen += n
        half_life = min(settings.ema, self.seen * 0.05)
        with torch.no_grad():
            torch._foreach_lerp_(
                list(self.average.parameters()), list(self.generator.parameters()), 1 - 0.5 ** (n / half_life)
            )
        return report

    def _train_discriminator(self, reals: torch.Tensor, fakes: torch.Tensor, report: dict[str, float]) -> None:
        """One update of the discriminator."""
        settings = self.settings
        dtype = torch.bfloat16 if settings.bfloat16 else torch.float32
        self.d_adam.zero_grad()
        real, fake = self.discriminator(reals, dtype), self.discriminator(fakes, dtype)
        loss = F.softplus(-real).mean() + F.softplus(fake).mean()
        loss.backward()
        report |= {"d_loss": loss.item(), "d_real": real.mean().item(), "d_fake": fake.mean().item()}
        if (self.seen // settings.batch) % R1_INTERVAL == 0:
            reals.requires_grad_(True)
            (slope,) = torch.autograd.grad(self.discriminator(reals).sum(), reals, create_graph=True)
            r1 = slope.square().sum(dim=(1, 2, 3)).mean()
            (r1 * (settings.gamma / 2 * R1_INTERVAL)).backward()
            report["r1"] = r1.item()
        self.d_adam.step()

    @torch.no_grad()
    def save_snapshot(self) -> None:
        """Write the averaged generator and its preview, and drop the oldest beyond the number to keep."""
        out, config = self.settings.out, self.settings.config
        many = torch.randn(8192, config.z_dim, generator=torch.Generator().manual_seed(2))
        self.average.mapping.w_avg.copy_(self.average.map(many).mean(dim=0))
        number = f"{self.seen:09d}"
        training = f"{self.seen} images seen in {self.seconds / 60:.0f} minutes"
        save_generator(self.average, out / f"snapshot-{number}.safetensors", {"training": training}, torch.float16)
        Image.fromarray(sheet_of(self.average, self.preview_z)).save(out / f"preview-{number}.part", format="png")
        os.replace(out / f"preview-{number}.part", out / f"preview-{number}.png")
        for old in sorted(out.glob("snapshot-*.safetensors"))[: -self.settings.keep_snapshots]:
            old.unlink()


def train(settings: Settings) -> Run:
    """Train until ``settings.images`` pictures were seen, saving on the way; carries on if the folder holds a state."""
    settings.out.mkdir(parents=True, exist_ok=True)
    run = Run(settings)
    next_save = (run.seen // settings.save_every + 1) * settings.save_every
    started, seen_before, reports = time.monotonic(), run.seen, []
    while run.seen < settings.images:
        reports.append(run.step())
        if run.seen < min(next_save, settings.images):
            continue
        next_save += settings.save_every
        passed = time.monotonic() - started
        run.seconds += passed
        line: dict[str, float] = {
            "images": run.seen,
            "seconds": round(run.seconds, 1),
            "images_per_second": round((run.seen - seen_before) / passed, 1),
        }
        for key in ("match", "g_loss", "d_loss", "d_real", "d_fake", "r1"):
            values = [report[key] for report in reports if key in report]
            if values:
                line[key] = round(sum(values) / len(values), 4)
        run.save_snapshot()
        run.save_state()
        with (settings.out / "log.jsonl").open("a") as log:
            log.write(json.dumps(line) + "\n")
        print(json.dumps(line), flush=True)
        started, seen_before, reports = time.monotonic(), run.seen, []
    return run


def whole_numbers(text: str) -> tuple[int, ...]:
    """``"128,64,32"`` to (128, 64, 32)."""
    return tuple(int(part) for part in text.split(","))


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Train a small StyleGAN2; the same command carries on a stopped run.")
    parser.add_argument("--data", type=Path, required=True, help=".npy of pictures, or a folder of images of one size")
    parser.add_argument("--out", type=Path, required=True, help="the run's folder")
    parser.add_argument("--images", type=int, required=True, help="stop after so many pictures seen")
    parser.add_argument(
        "--channels", type=whole_numbers, required=True, help="of each block, coarsest first: 128,96,64"
    )
    parser.add_argument("--d-channels", type=whole_numbers, help="the discriminator's (the same)")
    parser.add_argument("--base-size", type=whole_numbers, default=(4, 4), help="height,width of the constant (4,4)")
    parser.add_argument("--z-dim", type=int, default=128)
    parser.add_argument("--w-dim", type=int, default=128)
    parser.add_argument("--mapping-layers", type=int, default=4)
    parser.add_argument(
        "--mapping-lr", type=float, default=0.01, help="learning-rate multiplier of the mapping network"
    )
    parser.add_argument("--no-noise", action="store_true", help="train without noise inputs")
    parser.add_argument("--conv-clamp", type=float, help="clamp features to this, for half precision later, e.g. 256")
    for name, kind, note in (
        ("batch", int, "pictures in a step"),
        ("lr", float, "learning rate of Adam"),
        ("gamma", float, "weight of R1"),
        ("match", float, "weight of the difference between a picture and the one made from its latent"),
        ("warm_up", int, "images trained by that difference alone"),
        ("decay_from", float, "share of the images after which the learning rate falls"),
        ("ema", float, "half-life of the generator's average, in images"),
        ("augment", float, "chance of each change of a picture; 0.6 for small sets"),
        ("save_every", int, "images between saves"),
        ("keep_snapshots", int, "older ones are deleted"),
        ("seed", int, "of weights and order"),
        ("device", str, "cuda, mps or cpu; the best there is when not given"),
        ("name", str, "of the generator, for people"),
        ("licence", str, "of the weights"),
    ):
        default = getattr(Settings, name)
        parser.add_argument(f"--{name.replace('_', '-')}", type=kind, default=default, help=f"{note} ({default})")
    parser.add_argument("--mirror", action="store_true", help="also show the pictures mirrored")
    parser.add_argument(
        "--bfloat16", action="store_true", help="compute in bfloat16, on processors that are fast at it"
    )
    parser.add_argument("--grow-from", type=Path, help="start from the run in this folder, of half the size")
    parser.add_argument("--discriminator-from", type=Path, help="when growing, take the discriminator of this run")
    parser.add_argument("--latents", type=Path, help=".npy with the latent of every picture")
    parser.add_argument("--threads", type=int, help="processor threads")
    options = vars(parser.parse_args(arguments))
    if options["threads"]:
        torch.set_num_threads(options["threads"])
    del options["threads"]
    use_noise = not options.pop("no_noise")
    shape = {
        name: options.pop(name)
        for name in ("channels", "base_size", "z_dim", "w_dim", "mapping_layers", "mapping_lr", "conv_clamp")
    }
    d_channels = options.pop("d_channels") or shape["channels"]
    data = load_pictures(options["data"])
    config = StyleGAN2Config(**shape, image_channels=data.shape[3], use_noise=use_noise)
    train(Settings(config=config, d_channels=d_channels, **options))


if __name__ == "__main__":
    main()
