"""What a person does with pointer and keys, and how they find a button."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from harness import HEIGHT, PATIENCE, BlenderWindow, WindowError
from PIL import Image

Point = tuple[int, int]
"""Pixels of the screen, from its lower left corner, as Blender counts."""

STEP = 10
"""Pixels from one place looked at to the next; a button is 20 high, and an icon 20 wide."""


class Person:
    """Sits in front of one Blender. Places are `Point`s."""

    def __init__(self, blender: BlenderWindow):
        self.blender = blender
        self.screen = blender.screen
        self._found: dict[tuple[str, str, str], Point] = {}

    # --- pointer and keys ---------------------------------------------------------------------------------------------

    def point(self, place: Point) -> None:
        """Move the pointer. A pointer that is there already sends no event, so it comes from beside."""
        x, y = place[0], HEIGHT - 1 - place[1]
        self.screen.xdotool("mousemove", x + 2, y + 1, "mousemove", x, y)

    def click(self, place: Point, button: int = 1) -> None:
        """Click."""
        self.point(place)
        self.settle()
        self.screen.xdotool("click", button)
        self.settle()

    def double_click(self, place: Point) -> None:
        """Click twice."""
        self.click(place)
        self.screen.xdotool("click", "--repeat", 2, "--delay", 40, 1)
        self.settle()

    def drag(self, *places: Point, button: int = 1) -> None:
        """Press the button at the first place, move through the others, let go at the last."""
        self.point(places[0])
        self.settle()
        self.screen.xdotool("mousedown", button)
        self.settle()
        for begin, end in zip(places, places[1:], strict=False):
            for part in range(1, 9):
                x = begin[0] + (end[0] - begin[0]) * part // 8
                y = begin[1] + (end[1] - begin[1]) * part // 8
                self.screen.xdotool("mousemove", x, HEIGHT - 1 - y, "sleep", 0.02)
        self.settle()
        self.screen.xdotool("mouseup", button)
        self.settle()

    def keys(self, *names: str) -> None:
        """Press keys one after the other, such as "ctrl+z"."""
        for name in names:
            self.screen.xdotool("key", "--clearmodifiers", name)
            self.settle()

    def write(self, text: str) -> None:
        """Type."""
        self.screen.xdotool("type", "--delay", 15, "--", text)
        self.settle()

    def choose_file(self, path: Path) -> None:
        """In the file view that is open: name the folder and the file, and press the button at the bottom right."""
        self.blender.until("any(area.type == 'FILE_BROWSER' for area in windows()[-1].screen.areas)")
        for region, across, text in (("UI", 0.35, str(path.parent)), ("EXECUTE", 0.3, path.name)):
            self.double_click(self.over("FILE_BROWSER", region, across))
            self.keys("ctrl+a")
            self.write(text)
            self.keys("Return")
        self.click(self.over("FILE_BROWSER", "EXECUTE", 0.93))

    def settle(self) -> None:
        """Let Blender take in what was done: it answers when its main thread has come round."""
        self.blender.run("")

    # --- finding ------------------------------------------------------------------------------------------------------

    def over(self, area: str, region: str = "WINDOW", across: float = 0.5, up: float = 0.5) -> Point:
        """Move the pointer over a region, and return where it is. across, up: 0 to 1."""
        x, y, width, height = self.blender.look(f"rectangle({area!r}, {region!r})")
        place = int(x + width * across), int(y + height * up)
        self.point(place)
        self.settle()
        return place

    def find(self, what: str, area: str = "SEQUENCE_EDITOR", region: str = "UI") -> Point:
        """Find the button whose operator or property has `what` in it, by looking under the pointer everywhere."""
        key = (what, area, region)
        known = self._found.get(key)
        if known is not None and what in self._under(known, area, region):
            return known
        for place in self._places(area, region, near=known):
            if what in self._under(place, area, region):
                self._found[key] = place
                return place
        self.screen.picture().save(self.blender.folder / "not_found.png")
        raise WindowError(f"no button with {what!r} in the {region} of {area}")

    def press(self, what: str, area: str = "SEQUENCE_EDITOR", region: str = "UI") -> Point:
        """Find a button and click it."""
        place = self.find(what, area, region)
        self.click(place)
        return place

    def _under(self, place: Point, area: str, region: str) -> str:
        self.point(place)
        return self.blender.look(f"under_pointer({area!r}, {region!r})")

    def _places(self, area: str, region: str, near: Point | None) -> Iterator[Point]:
        """Places in a region: first around where it was, then down through its middle, then through its sides."""
        left, bottom, width, height = self.blender.look(f"rectangle({area!r}, {region!r})")
        if near is not None:
            for offset in range(STEP, 14 * STEP, STEP):
                yield near[0], near[1] - offset
                yield near[0], near[1] + offset
        rows = range(bottom + height - STEP // 2, bottom, -STEP)
        for share in (0.5, 0.8, 0.25, 0.9, 0.1, 0.65, 0.35):
            for y in rows:
                yield int(left + width * share), y

    def open_tab(self, name: str = "Lantern", area: str = "SEQUENCE_EDITOR") -> None:
        """Open the sidebar, unless it is open, and click its tabs from the top until the right one is shown."""
        if self.blender.look(f"rectangle({area!r}, 'UI')")[2] <= 1:
            self.over(area)
            self.keys("n")
        x, y, width, height = self.blender.look(f"rectangle({area!r}, 'UI')")
        for tab in range(y + height - 20, y, -2 * STEP):
            if self.blender.look(f"region_of(place_of({area!r})[1], 'UI').active_panel_category") == name:
                return
            self.click((x + width - 12, tab))
        raise WindowError(f"the sidebar of {area} has no tab {name}")

    # --- seeing -------------------------------------------------------------------------------------------------------

    def see(self, area: str | None = None, region: str = "WINDOW", after: float = 1.0) -> Image.Image:
        """The screen, or a region of it, once it has had time to be drawn."""
        time.sleep(after)
        self.settle()
        picture = self.screen.picture()
        if area is None:
            return picture
        x, y, width, height = self.blender.look(f"rectangle({area!r}, {region!r})")
        return picture.crop((x, HEIGHT - y - height, x + width, HEIGHT - y))

    def panels(self, area: str = "SEQUENCE_EDITOR", region: str = "UI") -> list[tuple[int, int]]:
        """Top and bottom of each panel in a sidebar, from the top: what lies between gaps at its left edge."""
        x, y, _width, height = self.blender.look(f"rectangle({area!r}, {region!r})")
        picture = self.screen.picture()
        column = [picture.getpixel((x + 6, HEIGHT - 1 - row)) for row in range(y, y + height)]
        ground = column[0]
        inside = [colour != ground for colour in column]
        edges = [i for i in range(1, height) if inside[i] != inside[i - 1]]
        pairs = list(zip(edges[::2], edges[1::2], strict=False))
        return [(y + top, y + bottom) for bottom, top in reversed(pairs)]
