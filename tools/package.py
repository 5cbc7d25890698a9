"""Build the extension's zip with Blender's own packager, and its notes. The same sources give the same bytes."""

from __future__ import annotations

import hashlib
import os
import tempfile
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

from tools.console import Problem, lock, run_step, say
from tools.environments import ROOT, Environment

CONTENTS = ("blender_manifest.toml", "__init__.py", "LICENSE", "lantern_protocol", "latent_addon", "inference_server")
EARLIEST_DATE = (1980, 1, 1, 0, 0, 0)


def build(blender: Environment) -> Path:
    """Return the path of dist/<id>-<version>.zip, which is built and validated again only if a source has changed."""
    manifest = tomllib.loads((ROOT / "blender_manifest.toml").read_text("utf-8"))
    target = ROOT / "dist" / f"{manifest['id']}-{manifest['version']}.zip"
    mark = f"sources sha256 {_sources_hash()}".encode()
    with lock(target.with_suffix(".lock"), target.name):
        if target.is_file() and _comment(target) == mark:
            say(f"reusing dist/{target.name}: its sources are unchanged")
            return target
        with tempfile.TemporaryDirectory(dir=target.parent) as folder:
            packager = _packager(blender)
            raw, final = Path(folder, "raw.zip"), Path(folder, "final.zip")
            run_step(
                [*packager, "build", "--source-dir", ROOT, "--output-filepath", raw],
                "Building the extension",
                quietly=True,
            )
            repack(raw, final, mark)
            run_step([*packager, "validate", final], "Validating the extension", quietly=True)
            os.replace(final, target)
    say(f"built dist/{target.name}, {target.stat().st_size / 1e6:.1f} MB")
    return target


def release(blender: Environment) -> tuple[Path, Path]:
    """Build the zip and write this version's notes next to it; return both paths."""
    archive = build(blender)
    version = archive.stem.rpartition("-")[2]
    notes = archive.with_suffix(".md")
    text = release_notes((ROOT / "CHANGELOG.md").read_text("utf-8"), version, archive)
    unfinished = notes.with_suffix(".md.part")
    unfinished.write_text(text, "utf-8", newline="\n")
    os.replace(unfinished, notes)
    return archive, notes


def release_notes(changelog: str, version: str, archive: Path) -> str:
    """Return the notes of one version: its part of the changelog, and the size and SHA-256 by which to know the zip.

    Raises `Problem` if the changelog has no section for the version.
    """
    _, found, rest = f"\n{changelog}".partition(f"\n## {version}\n")
    if not found:
        raise Problem(f"CHANGELOG.md says nothing about version {version}: add a section '## {version}'.")
    changes = rest.partition("\n## ")[0].strip()
    content = archive.read_bytes()
    return (
        f"# Latent Lantern {version}\n\n{changes}\n\n### The file\n\n"
        f"`{archive.name}`, {len(content):,} bytes ({len(content) / 1e6:.1f} MB)\n\n"
        f"SHA-256 `{hashlib.sha256(content).hexdigest()}`\n"
    )


def _packager(blender: Environment) -> list[str | Path]:
    found = sorted(blender.site_packages.glob("bpy/*/scripts/addons_core/bl_pkg/cli/blender_ext.py"))
    if not found:
        raise Problem(f"Blender's packager is not in {blender.site_packages}: delete {blender.folder} and try again.")
    return [blender.python, "-I", found[0]]


def _source_files() -> Iterator[Path]:
    for name in CONTENTS:
        path = ROOT / name
        yield from [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())


def _sources_hash() -> str:
    digest = hashlib.sha256()
    for path in _source_files():
        if "__pycache__" not in path.parts:
            content = hashlib.sha256(path.read_bytes()).hexdigest()
            digest.update(f"{path.relative_to(ROOT).as_posix()} {content}\n".encode())
    return digest.hexdigest()


def _comment(archive: Path) -> bytes:
    with zipfile.ZipFile(archive) as file:
        return file.comment


def repack(raw: Path, final: Path, mark: bytes) -> None:
    """Write the files of `raw` in a fixed order, with fixed dates and modes, and `mark` as the archive's comment.

    Raises `Problem` if `raw` contains anything that is not in `CONTENTS`.
    """
    with zipfile.ZipFile(raw) as source, zipfile.ZipFile(final, "w", zipfile.ZIP_DEFLATED) as target:
        for name in sorted(source.namelist()):
            entry = zipfile.ZipInfo(name, EARLIEST_DATE)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o100644 << 16
            target.writestr(entry, source.read(name))
        target.comment = mark
        strangers = {name.partition("/")[0] for name in source.namelist()} - set(CONTENTS)
    if strangers:
        raise Problem(
            f"{', '.join(sorted(strangers))} would be in the extension's zip. Move it elsewhere, or add it to "
            "paths_exclude_pattern in blender_manifest.toml."
        )
