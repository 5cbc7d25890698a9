"""Animated pictures (GIF, WebP, PNG) as films, read with Pillow."""

from __future__ import annotations

from collections.abc import Iterator

import av
import numpy as np
from PIL import Image

from ..terminal.jobs import JobError
from .film_reading import FilmReader, Shown
from .pictures import FORMATS, MOST_PIXELS

USUAL = 0.1
"""Seconds of a frame that says 0 or nothing, as browsers show it."""


class Animation(FilmReader):
    """Reads an animated picture with Pillow."""

    def frames(self) -> Iterator[Shown]:
        """See ``FilmReader``."""
        try:
            with self._path.open("rb") as file, Image.open(file, formats=FORMATS) as image:
                if image.width * image.height > MOST_PIXELS:
                    raise JobError(f"The frames of {self._path} are too large to read.")
                self.expected = getattr(image, "n_frames", 1)
                yield from self._between(self._shown(image))
        except JobError:
            raise
        except Exception as error:  # Pillow's readers raise nearly anything on broken files
            raise JobError(f"{self._path} cannot be read as a film: {error or type(error).__name__}.") from error

    def _shown(self, image: Image.Image) -> Iterator[Shown]:
        time = 0.0
        for number in range(self.expected):
            try:
                image.seek(number)
                picture = image.convert("RGBA")
            except (OSError, EOFError, SyntaxError, ValueError) as error:
                self.broken.append(str(error))
                return
            opaque = picture.getchannel("A").getextrema()[0] == 255
            pixels = np.asarray(picture.convert("RGB") if opaque else picture)
            yield Shown(time, av.VideoFrame.from_ndarray(pixels, "rgb24" if opaque else "rgba"), image.size)
            time += (image.info.get("duration") or 1000 * USUAL) / 1000
