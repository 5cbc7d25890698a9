"""The contact sheet: some of a data set's pictures, to look at before hours of training."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from PIL import Image

FILE = "contact_sheet.png"
MOST = 64
WIDTH = 1280
GAP = 4
GROUND = (40, 40, 40)


def spread(names: list[str], most: int = MOST) -> list[str]:
    """Return at most ``most`` of the names, evenly spread."""
    if len(names) <= most:
        return names
    return [names[int((place + 0.5) * len(names) / most)] for place in range(most)]


def contact_sheet(pictures: list[Image.Image]) -> Image.Image:
    """Return an RGB picture with the pictures, all of one size, in rows: at most 1280 wide and about as high."""
    width, height = pictures[0].size
    columns = max(1, min(len(pictures), round(np.sqrt(len(pictures) * height / width))))
    rows = -(-len(pictures) // columns)
    cell = max(16, min(width, (WIDTH - GAP) // columns - GAP, ((WIDTH - GAP) // rows - GAP) * width // height))
    size = (cell, max(1, round(cell * height / width)))
    sheet = Image.new("RGB", (GAP + columns * (size[0] + GAP), GAP + rows * (size[1] + GAP)), GROUND)
    for number, picture in enumerate(pictures):
        row, column = divmod(number, columns)
        small = picture if picture.size == size else picture.resize(size, Image.Resampling.LANCZOS)
        mask = small.getchannel("A") if small.mode == "RGBA" else None
        sheet.paste(small.convert("RGB"), (GAP + column * (size[0] + GAP), GAP + row * (size[1] + GAP)), mask)
    return sheet


def write_contact_sheet(folder: Path, names: list[str]) -> bool:
    """Write the sheet of a data set's pictures; return False if none can be read. Raises OSError if writing fails."""
    pictures = []
    for name in spread(names):
        try:
            with Image.open(folder / "pictures" / name) as image:
                image.load()
                pictures.append(image.copy())
        except (OSError, ValueError, SyntaxError):
            continue  # somebody deleted it
    if not pictures:
        return False
    part = folder / f"{FILE}.part"
    contact_sheet(pictures).save(part, format="PNG")
    os.replace(part, folder / FILE)
    return True
