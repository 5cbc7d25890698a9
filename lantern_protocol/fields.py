"""Read and check the fields of JSON objects. Every error names the wrong field."""

from __future__ import annotations

import os
import re
from typing import Any, TypeGuard

from .errors import INVALID_PARAMS, ProtocolError, is_int, quoted, readable

_SHA256 = re.compile(r"[0-9a-fA-F]{64}")


def read_list(fields: dict[str, Any], key: str) -> list[Any]:
    """Return the list under `key`; an empty list if there is none. Raises ProtocolError for anything else."""
    value = fields.get(key, [])
    if not isinstance(value, list):
        raise ProtocolError(INVALID_PARAMS, f"'{key}' must be a list.")
    return value


def read_object(value: Any, what: str, known: set[str]) -> dict[str, Any]:
    """Return `value` if it is an object whose fields are all `known`. Raises ProtocolError if not."""
    if not isinstance(value, dict):
        raise ProtocolError(INVALID_PARAMS, f"The {what} must be an object, not {quoted(value)}.")
    unknown = sorted(set(value) - known)
    if unknown:
        raise ProtocolError(INVALID_PARAMS, f"The {what} has no field {quoted(unknown[0])}.")
    return value


def read_number(fields: dict[str, Any], key: str, default: float | None, low: float, high: float) -> float:
    """Return the number under `key`, or `default`. Raises ProtocolError unless low <= number <= high."""
    value = fields.get(key, default)
    if not (is_int(value) or isinstance(value, float)) or not low <= value <= high:
        raise ProtocolError(INVALID_PARAMS, f"'{key}' must be a number from {low} to {high}, not {quoted(value)}.")
    return float(value)


def read_numbers(fields: dict[str, Any], key: str) -> tuple[float, ...]:
    """Return the numbers under `key`, each from -1e6 to 1e6; none if it is absent. Raises ProtocolError."""
    return tuple(read_number({key: item}, key, None, -1e6, 1e6) for item in read_list(fields, key))


def read_integer(fields: dict[str, Any], key: str, default: int | None, low: int, high: int) -> int:
    """Return the integer under `key`, or `default`. Raises ProtocolError unless low <= integer <= high."""
    value = fields.get(key, default)
    if not is_int(value) or not low <= value <= high:
        raise ProtocolError(INVALID_PARAMS, f"'{key}' must be a whole number from {low} to {high}.")
    return int(value)


def read_flag(fields: dict[str, Any], key: str, default: bool | None) -> bool:
    """Return the true or false under `key`, or `default`. Raises ProtocolError for anything else."""
    value = fields.get(key, default)
    if not isinstance(value, bool):
        raise ProtocolError(INVALID_PARAMS, f"'{key}' must be true or false.")
    return value


def read_colour(fields: dict[str, Any], key: str, default: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
    """Return the RGBA colour under `key`, or `default`: integers 0..255. Raises ProtocolError for anything else."""
    value = fields.get(key, list(default))
    if not isinstance(value, list) or len(value) != 4 or not all(is_int(c) and 0 <= c <= 255 for c in value):
        raise ProtocolError(INVALID_PARAMS, f"'{key}' must be four whole numbers from 0 to 255 (RGBA).")
    return (value[0], value[1], value[2], value[3])


def read_file_name(fields: dict[str, Any], key: str) -> str:
    """Return the plain file name under `key`. Raises ProtocolError for anything else.

    A plain file name has 1 to 120 ASCII letters, digits, dots, hyphens and underscores, and does not begin with a dot.
    """
    value = fields.get(key)
    if not isinstance(value, str) or not 0 < len(value) <= 120 or value.startswith(".") or not _is_plain(value):
        raise ProtocolError(INVALID_PARAMS, f"'{key}' must be a plain file name, not {quoted(value)}.")
    return value


def _is_plain(name: str) -> bool:
    return all(c.isascii() and (c.isalnum() or c in "._-") for c in name)


def read_text(fields: dict[str, Any], key: str, default: str | None = None) -> str:
    """Return the text under `key`, cut and cleaned so that it can be shown, or `default`. Raises ProtocolError."""
    value = fields.get(key, default)
    if not isinstance(value, str):
        raise ProtocolError(INVALID_PARAMS, f"'{key}' must be a text, not {quoted(value)}.")
    return readable(value)


def read_path(fields: dict[str, Any], key: str) -> str | None:
    """Return the path under `key`, None when absent or null. Raises ProtocolError if no file can have that name."""
    path = fields.get(key)
    if path is not None and not is_path(path):
        raise ProtocolError(INVALID_PARAMS, f"'{key}' must name a file, or be null for the built-in generator.")
    return path


def read_file(fields: dict[str, Any], key: str) -> str:
    """Return the path under `key`, which must be there. Raises ProtocolError."""
    path = read_path(fields, key)
    if path is None:
        raise ProtocolError(INVALID_PARAMS, f"'{key}' must name a file.")
    return path


def read_sha256(fields: dict[str, Any], key: str) -> str:
    """Return the 64 hexadecimal digits under `key`. Raises ProtocolError for anything else."""
    value = fields.get(key)
    if not isinstance(value, str) or not _SHA256.fullmatch(value):
        raise ProtocolError(INVALID_PARAMS, f"'{key}' must be 64 hexadecimal digits.")
    return value


def read_job(fields: dict[str, Any]) -> int:
    """Return the number of a job. Raises ProtocolError."""
    job = fields.get("job")
    if not isinstance(job, int) or isinstance(job, bool) or job < 0:
        raise ProtocolError(INVALID_PARAMS, "'job' must be a whole number from 0 up.")
    return job


def read_id(fields: dict[str, Any]) -> int | str:
    """Return the id of a request. Raises ProtocolError."""
    identity = fields.get("id")
    if not isinstance(identity, int | str) or isinstance(identity, bool):
        raise ProtocolError(INVALID_PARAMS, "'id' must be the id of a request: a number or a word.")
    return identity


def is_path(value: Any) -> TypeGuard[str]:
    """Return whether a value can be the name of a file on this system, whether the file is there or not."""
    if not isinstance(value, str) or not value or "\0" in value:
        return False
    try:
        os.fsencode(value)
    except UnicodeEncodeError:  # a lone surrogate that stands for no byte
        return False
    return True
