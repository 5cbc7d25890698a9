"""The actions of a person with pointer and keys, and how the person finds a button."""

from __future__ import annotations

import time
from itertools import groupby, pairwise
from pathlib import Path

from harness import BlenderWindow, WindowError
from PIL import Image

Point = tuple[int, int]
"""Pixels of the screen, from its lower left corner, as in Blender."""

STEP = 14
"""Pixels from one examined place to the next; a button is 20 high, and the gap between two is 4."""


class Person:
    """A person who uses one Blender. Places are `Point`s."""

    def __init__(self, blender: BlenderWindow):
        self.blender = blender
        self.screen = blender.screen
        self._found: dict[tuple[str, str, str], Point] = {}

    def point(self, place: Point) -> None:
        """Move the pointer, first to a place next to the goal: a pointer that is there already sends no event."""
        x, y = place[0], self.screen.height - 1 - place[1]
        self.screen.xdotool("mousemove", x + 2, y + 1, "mousemove", x, y)

    def click(self, place: Point, button: int = 1) -> None:
        """Click."""
        self.point(place)
        self.settle()
        self.screen.xdotool("click", button)
        self.settle()

    def click_with(self, key: str, place: Point) -> None:
        """Click while a key is held."""
        self.point(place)
        self.settle()
        self.screen.xdotool("keydown", key, "click", 1, "keyup", key)
        self.settle()

    def double_click(self, place: Point) -> None:
        """Click twice."""
        self.click(place)
        self.screen.xdotool("click", "--repeat", 2, "--delay", 40, 1)
        self.settle()

    def drag(self, *places: Point, button: int = 1) -> None:
        """Press the button at the first place, move through the others, release it at the last."""
        self.point(places[0])
        self.settle()
        self.screen.xdotool("mousedown", button)
        self.settle()
        for begin, end in pairwise(places):
            for part in range(1, 9):
                x = begin[0] + (end[0] - begin[0]) * part // 8
                y = begin[1] + (end[1] - begin[1]) * part // 8
                self.screen.xdotool("mousemove", x, self.screen.height - 1 - y, "sleep", 0.02)
        self.settle()
        self.screen.xdotool("mouseup", button)
        self.settle()

    def keys(self, *names: str) -> None:
        """Press keys one after the other, such as "ctrl+z"."""
        for name in names:
            self.screen.xdotool("key", "--clearmodifiers", name)
            self.settle()

    def write(self, text: str) -> None:
        """Type a text."""
        self.screen.xdotool("type", "--delay", 15, "--", text)
        self.settle()

    def choose_file(self, path: Path) -> None:
        """In the open file view: enter the folder and the file name, and press the button at the bottom right."""
        self.blender.until("any(area.type == 'FILE_BROWSER' for area in windows()[-1].screen.areas)")
        for region, across, text in (("UI", 0.35, str(path.parent)), ("EXECUTE", 0.3, path.name)):
            self.double_click(self.over("FILE_BROWSER", region, across))
            self.keys("ctrl+a")
            self.write(text)
            self.keys("Return")
        self.click(self.over("FILE_BROWSER", "EXECUTE", 0.93))

    def settle(self) -> None:
        """Wait until Blender has handled the input: it answers when its main thread is free again."""
        self.blender.run("")

    def over(self, area: str, region: str = "WINDOW", across: float = 0.5, up: float = 0.5) -> Point:
        """Move the pointer over a region, and return where it is. across, up: 0 to 1."""
        x, y, width, height = self.blender.look(f"rectangle({area!r}, {region!r})")
        place = int(x + width * across), int(y + height * up)
        self.point(place)
        self.settle()
        return place

    def find(self, what: str, area: str = "SEQUENCE_EDITOR", region: str = "UI", across: float = 0.5) -> Point:
        """Find the button whose operator or property contains `what`, by moving the pointer from top to bottom.

        across: its place in the region's width, 0 to 1.
        """
        key = (what, area, region)
        known = self._found.get(key)
        if known is not None and what in self._under(known, area, region):
            return known
        left, bottom, width, height = self.blender.look(f"rectangle({area!r}, {region!r})")
        x = int(left + width * across)
        around = [(x, known[1] + way * STEP * i) for i in range(1, 8) for way in (-1, 1)] if known else []
        for place in (*around, *((x, y) for y in range(bottom + height - STEP // 2, bottom, -STEP))):
            if what in self._under(place, area, region):
                self._found[key] = place
                return place
        raise WindowError(f"no button with {what!r} in the {region} of {area}")

    def press(self, what: str, area: str = "SEQUENCE_EDITOR", region: str = "UI", across: float = 0.5) -> Point:
        """Find a button and click it."""
        place = self.find(what, area, region, across)
        self.click(place)
        return place

    def _under(self, place: Point, area: str, region: str) -> str:
        self.point(place)
        return self.blender.look(f"under_pointer({area!r}, {region!r})")

    def open_tab(self, name: str = "Lantern", area: str = "SEQUENCE_EDITOR") -> None:
        """Open the sidebar if it is closed, and click its tabs from the top until the right one is shown."""
        if self.blender.look(f"rectangle({area!r}, 'UI')")[2] <= 1:
            self.over(area)
            self.keys("n")
        x, y, width, height = self.blender.look(f"rectangle({area!r}, 'UI')")
        for tab in range(y + height - 20, y, -2 * STEP):
            if self.blender.look(f"region_of(place_of({area!r})[1], 'UI').active_panel_category") == name:
                return
            self.click((x + width - 12, tab))
        raise WindowError(f"the sidebar of {area} has no tab {name}")

    def header(self, label: str, area: str = "SEQUENCE_EDITOR", across: float = 0.5) -> Point:
        """The place of the name of one of the add-on's panels. The check box before the name is at `across` 0.1."""
        left, _bottom, width, _height = self.blender.look(f"rectangle({area!r}, 'UI')")
        top, _ = self.panels(area)[self.blender.look(f"panel_labels({area!r})").index(label)]
        return int(left + width * across), top - 12

    def see(self, area: str | None = None, region: str = "WINDOW", after: float = 1.0) -> Image.Image:
        """A picture of the screen, or of a region, after it has had time to be drawn."""
        time.sleep(after)
        self.settle()
        picture = self.screen.picture()
        return picture if area is None else picture.crop(self.box(area, region))

    def box(self, area: str, region: str = "WINDOW") -> tuple[int, int, int, int]:
        """Left, top, right and bottom of a region in a picture of the screen."""
        x, y, width, height = self.blender.look(f"rectangle({area!r}, {region!r})")
        return x, self.screen.height - y - height, x + width, self.screen.height - y

    def panels(self, area: str = "SEQUENCE_EDITOR", region: str = "UI") -> list[tuple[int, int]]:
        """Top and bottom of each panel in a sidebar, from the top. Panels are between the gaps at the left edge."""
        x, y, _width, height = self.blender.look(f"rectangle({area!r}, {region!r})")
        picture = self.screen.picture()
        ground = picture.getpixel((x + 3, self.screen.height - 1 - y - height // 2))
        column = [picture.getpixel((x + 15, self.screen.height - 1 - row)) for row in range(y + 2, y + height - 2)]
        runs = [(inside, len(list(run))) for inside, run in groupby(column, lambda colour: colour != ground)]
        found, at = [], y + 2
        for inside, length in runs:
            if inside and length > STEP:
                found.append((at + length, at))
            at += length
        return found[::-1]
