"""Start from what was trained before: a checkpoint of any kind, or another run."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from ..checkpoints import CheckpointError, load_generator
from ..checkpoints.snapshots import find_snapshots
from ..datasets.reading import Dataset
from ..generators.dcgan import DCGAN
from ..generators.glu import GLUGenerator
from ..generators.stylegan2 import StyleGAN2
from ..terminal.jobs import JobError
from .networks import fitting
from .run_folder import STATE_FILE, read_state
from .settings import Settings, with_channels
from .trainer import Trainer

D_FIRST = 4000
"""Images shown to a new discriminator before a trained generator is changed: earlier, it would spoil the generator."""

SILENT = {"stylegan2": r".*\.torgb\.(weight|bias)", "glu": r"colours\..*|blocks\.\d+\.norm\.weight", "dcgan": ""}
"""Tensors of new blocks that begin with 0, by kind: so the larger network makes the pictures of the smaller one."""


class Start:
    """What a training starts from.

    Args:
        path: a checkpoint, a folder of snapshots, or a run; from a folder, the last snapshot is used.

    Raises:
        JobError: if it cannot be read, or is of a kind that cannot be trained here.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.discriminator: dict[str, torch.Tensor] = {}
        try:
            file = find_snapshots(path)[-1] if path.is_dir() else path
            generator = load_generator(file)
        except CheckpointError as error:
            raise JobError(str(error)) from error
        if not isinstance(generator, StyleGAN2 | DCGAN | GLUGenerator):
            raise JobError(f"{file.name} is a {generator.info.kind}; only StyleGAN2, DCGAN and GLU can be trained on.")
        self.generator: StyleGAN2 | DCGAN | GLUGenerator = generator
        if self.generator.info.num_classes:
            raise JobError(f"{file.name} has classes; only generators without classes can be trained on.")
        if isinstance(generator, StyleGAN2) and generator.config.architecture != "skip":
            raise JobError(
                f"{file.name} has the architecture {generator.config.architecture}; only skip can be trained on."
            )
        state = path / STATE_FILE
        if path.is_dir() and state.exists():
            tensors, _ = read_state(state)
            self.discriminator = {
                key.partition("/")[2]: value for key, value in tensors.items() if key.startswith("discriminator/")
            }

    def settle(self, settings: Settings, dataset: Dataset) -> Settings:
        """Return the settings with the network's own sizes, and more blocks if the data set's pictures are larger.

        Raises JobError if the network cannot make the data set's pictures.
        """
        own, wanted = self.generator.config.size, dataset.size
        if self.generator.info.channels != dataset.channels:
            raise JobError(
                f"{self.path.name} makes {self.generator.info.channels} channels, the data set has {dataset.channels}."
            )
        more = (wanted[0] // own[0]).bit_length() - 1
        if (own[0] << more, own[1] << more) != wanted or (more and isinstance(self.generator, DCGAN)):
            raise JobError(
                f"{self.path.name} makes pictures of {own[1]} x {own[0]}, the data set's are "
                f"{wanted[1]} x {wanted[0]}. Make the data set with --size {own[1]}x{own[0]}"
                + ("." if isinstance(self.generator, DCGAN) else ", or 2 or 4 times that to let it grow.")
            )
        settled = with_channels(settings, self.generator.config)
        widths = settled.channels
        for _ in range(more):
            widths = (*widths, max(8, widths[-1] // 2))
        d_first = settings.d_first or (0 if self.discriminator else D_FIRST)
        return replace(settled, channels=widths, d_first=d_first)

    def give(self, trainer: Trainer) -> None:
        """Put the weights into the trainer's networks; new blocks above them add nothing at first.

        Raises JobError if the networks have no place for one of the weights.
        """
        old = self.generator.state_dict()
        known = fitting(trainer.generator, old)
        if lost := sorted(set(old) - set(known)):
            raise JobError(f"{self.path.name} cannot be trained on: its {lost[0]} has no place in our networks.")
        for network in (trainer.generator, trainer.average):
            new = network.state_dict()
            silent = re.compile(SILENT[self.generator.info.kind])
            new.update({key: torch.zeros_like(value) for key, value in new.items() if silent.fullmatch(key)})
            network.load_state_dict(new | known)
        if not self.discriminator:
            return
        own = fitting(trainer.discriminator, self.discriminator)
        trainer.discriminator.load_state_dict(trainer.discriminator.state_dict() | own)
        blocks: list[Any] = list(trainer.discriminator.blocks)
        for index, block in enumerate(blocks):
            if f"blocks.{index}.conv1.weight" not in own:
                block.add_nothing()
