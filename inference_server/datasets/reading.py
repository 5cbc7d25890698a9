"""Read a data set, and describe its form on disk.

A data set is a folder. People can look at its files and change them::

    dataset.json         {"format": "latent-lantern-dataset", "version": 1, "width": 256, "height": 256, "channels": 3,
                          "mirror": false, "source": "...", "settings": {...}}
    pictures/NAME.png    all of the same size; grey (1 channel), RGB (3) or RGBA (4)
    latents.npy          optional: float32 (pictures, z_dim), the latent that each picture was drawn from, in the order
                         of the pictures' names
    contact_sheet.png    some of the pictures, to look at

Pictures that are deleted from the folder are no longer part of the data set. "mirror" says that each picture is also
shown mirrored.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
from PIL import Image

from lantern_protocol.job_folder import read_json

FORMAT = "latent-lantern-dataset"
VERSION = 1
MODES = {1: "L", 3: "RGB", 4: "RGBA"}
"""Pillow's name for a picture's kind; the keys are the numbers of channels."""


class DatasetError(Exception):
    """Raised if a folder is not a data set, or cannot be used. Its text is for people."""


class Dataset:
    """A data set on disk.

    Args:
        folder: a folder as this module describes it.

    Attributes:
        names: file names of the pictures, sorted.
        size: height and width in pixels.
        channels: 1, 3 or 4.
        mirror: whether each picture is also shown mirrored.
        latents: float32 (len(names), z_dim), or None.
        fingerprint: hexadecimal; it changes if pictures are added or deleted, or if the length of a file changes.

    Raises:
        DatasetError: if the folder is not a data set, has no pictures, or cannot be read.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        about = read_json(folder / "dataset.json")
        if about.get("format") != FORMAT:
            raise DatasetError(
                f"{folder} is not a data set. Make one of a film or a folder of pictures with the command dataset."
            )
        if about.get("version") != VERSION:
            raise DatasetError(f"The data set {folder} was made by a newer Latent Lantern; update to use it.")
        width, height, channels = (about.get(key, 0) for key in ("width", "height", "channels"))
        if not all(isinstance(side, int) and 1 <= side <= 8192 for side in (width, height)) or channels not in MODES:
            raise DatasetError(f"{folder / 'dataset.json'} does not say the pictures' size and channels; make it anew.")
        self.size: tuple[int, int] = (height, width)
        self.channels: int = channels
        self.mirror = about.get("mirror") is True
        try:
            files = [(path.name, path.stat().st_size) for path in sorted((folder / "pictures").glob("*.png"))]
            if not files:
                raise DatasetError(f"The data set {folder} has no pictures. Make it anew.")
            self.latents = self._read_latents(len(files))
        except OSError as error:
            raise DatasetError(f"The data set {folder} cannot be read: {error.strerror or error}.") from error
        self.names = [name for name, _ in files]
        self.fingerprint = hashlib.sha256(repr(files).encode()).hexdigest()

    def __len__(self) -> int:
        return len(self.names)

    def picture(self, index: int) -> np.ndarray:
        """Return one picture: uint8 (height, width, channels).

        Raises:
            DatasetError: if the picture cannot be read, or its size is not the data set's.
        """
        path = self.folder / "pictures" / self.names[index]
        try:
            with Image.open(path) as image:
                pixels = np.asarray(image.convert(MODES[self.channels]))
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            raise DatasetError(f"{path} cannot be read ({error}). Delete it, or make the data set anew.") from error
        if pixels.shape[:2] != self.size:
            found = f"{pixels.shape[1]} x {pixels.shape[0]}"
            raise DatasetError(f"{path} is {found}, and the data set {self.size[1]} x {self.size[0]}. Delete it.")
        return pixels.reshape(*self.size, self.channels)

    def _read_latents(self, count: int) -> np.ndarray | None:
        path = self.folder / "latents.npy"
        if not path.exists():
            return None
        try:
            latents = np.load(path, allow_pickle=False)
        except (ValueError, EOFError) as error:
            raise DatasetError(f"{path} cannot be read as .npy: {error}.") from error
        if latents.dtype != np.float32 or latents.ndim != 2 or len(latents) != count:
            raise DatasetError(
                f"{path} must be float32 with a row for each of the {count} pictures, and is {latents.dtype} of shape "
                f"{latents.shape}. Delete it to train without latents."
            )
        return latents
