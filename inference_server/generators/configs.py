"""What the configurations of all kinds share: how they are read from JSON values, and how their values are checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, TypeVar

T = TypeVar("T")


def made(kind: type[T], values: Mapping[str, Any]) -> T:
    """Return a dataclass from JSON values, whose lists become tuples.

    Raises ValueError if a name is missing or unknown, or if the dataclass finds a value impossible.
    """
    unknown = set(values) - {field.name for field in fields(kind)}  # type: ignore[arg-type]
    if unknown:
        raise ValueError(f"unknown setting {sorted(map(str, unknown))[0]!r}")
    try:
        return kind(**{key: tuple(value) if isinstance(value, list) else value for key, value in values.items()})
    except TypeError as error:
        raise ValueError(f"a setting is missing or of the wrong kind: {error}") from error


def check_whole(name: str, value: object, low: int, high: int) -> None:
    """Raise ValueError if a value is not a whole number from low to high."""
    if type(value) is not int or not low <= value <= high:
        raise ValueError(f"{name} must be a whole number from {low} to {high}, not {value!r}")


def check_row(name: str, values: object, least: int, most: int, high: int) -> None:
    """Raise ValueError if a value is not a tuple of least to most whole numbers from 1 to high."""
    if (
        not isinstance(values, tuple)
        or not least <= len(values) <= most
        or not all(type(value) is int and 1 <= value <= high for value in values)
    ):
        raise ValueError(f"{name} must be {least} to {most} whole numbers from 1 to {high}")


def check_picture(channels: object, size: tuple[int, int], most: int) -> None:
    """Raise ValueError if pictures cannot have these channels, or this size (height, width)."""
    if type(channels) is not int or channels not in (1, 3, 4):
        raise ValueError(f"image_channels must be 1, 3 or 4, not {channels!r}")
    if max(size) > most:
        raise ValueError(f"the image would be {size[1]} x {size[0]}; the limit is {most} a side")
