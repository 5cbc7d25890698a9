"""The command `check`: report whether this Python can run the server and train, on which device, and how fast."""

from __future__ import annotations

import argparse
import importlib
import importlib.metadata
import json
import sys
import time
from typing import Any

from lantern_protocol.versions import PIXEL_REVISION, PROTOCOL_VERSION, SERVER_VERSION

WHAT = "inference_server check"
"""Marks the line of JSON: packages may print other lines around it."""

SERVER_PACKAGES = {"torch": "torch", "numpy": "numpy", "PIL": "pillow", "safetensors": "safetensors", "scipy": "scipy"}
TRAINING_PACKAGES = {"av": "av", "tensorboardX": "tensorboardX"}
"""Like ``SERVER_PACKAGES``: the names of the packages by the names of their modules."""

PASSES = 3


def add_parser(commands: Any, on_device: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser = commands.add_parser(
        "check", parents=[on_device], help="check that this Python has what the server needs, and make one picture"
    )
    parser.add_argument("--json", action="store_true", help="as one line of JSON")
    parser.set_defaults(run=run, looks_for_packages=True)


def run(options: argparse.Namespace) -> int:
    """Print what was found; return 0 if the server can run, else 1."""
    found = check(options.device)
    if options.json:
        print(json.dumps(found, ensure_ascii=False))
    else:
        _print(found)
    return 1 if found["problems"] else 0


def check(device: str | None = None) -> dict[str, Any]:
    """Return what this Python has. It can run the server if there are no problems.

    The keys: what, server, protocol and pixels (revisions), python, executable, packages {name: version, "" if it
    cannot be used}, torch, device ("cuda", "mps", "cpu"), device_name, forward_ms (for one picture of 64 x 64 pixels,
    after a warm-up), problems and remarks (both are lists of sentences).
    """
    found: dict[str, Any] = {
        "what": WHAT,
        "server": SERVER_VERSION,
        "protocol": PROTOCOL_VERSION,
        "pixels": PIXEL_REVISION,
        "python": sys.version.split()[0],
        "executable": sys.executable,
        "packages": {},
        "torch": "",
        "device": "",
        "device_name": "",
        "forward_ms": 0.0,
    }
    problems = _look_at_packages(SERVER_PACKAGES, found["packages"])
    remarks = _look_at_packages(TRAINING_PACKAGES, found["packages"])
    if remarks:
        remarks.append("Only training needs that.")
    found |= {"problems": problems, "remarks": remarks}
    found["torch"] = found["packages"]["torch"]
    if not problems:
        _try_device(device, found)
    return found


def _look_at_packages(packages: dict[str, str], versions: dict[str, str]) -> list[str]:
    """Import each package and note its version. Return a sentence about all missing packages, and one for each package
    that exists but cannot be imported."""
    missing, broken = [], []
    for module, name in packages.items():
        versions[name] = ""
        try:
            imported = importlib.import_module(module)
        except ModuleNotFoundError as error:
            if error.name == module:
                missing.append(name)
            else:
                broken.append(f"The package {name} cannot be used: {error}.")
        except Exception as error:  # a package with missing files may raise anything
            broken.append(f"The package {name} cannot be used: {type(error).__name__}: {_first_line(error)}.")
        else:
            version = getattr(imported, "__version__", None)
            versions[name] = str(version or importlib.metadata.version(name))
    words = f"The Python at {sys.executable} has no {', '.join(missing)}."
    return [words, *broken] if missing else broken


def _try_device(device: str | None, found: dict[str, Any]) -> None:
    """Make a picture on the device; note the device and the time, or the problem."""
    import torch

    from ..generators.stylegan2 import StyleGAN2
    from ..generators.stylegan2_config import StyleGAN2Config
    from ..rendering.renderer import DeviceError, Renderer

    try:
        renderer = Renderer(device, compiled=False)
    except DeviceError as error:
        found["problems"].append(str(error))
        return
    found["device"] = renderer.device.type
    found["device_name"] = renderer.device_name() if renderer.device.type != "cpu" else "this machine's processors"
    made_for = f"CUDA {torch.version.cuda}" if torch.version.cuda else f"ROCm {torch.version.hip}"
    if renderer.device.type == "cpu" and device is None and (torch.version.cuda or torch.version.hip):
        found["remarks"].append(f"This PyTorch is made for {made_for}, but no card that it can use was found.")
    config = StyleGAN2Config(z_dim=64, w_dim=64, channels=(32, 32, 32, 32, 16), mapping_layers=2)
    torch.manual_seed(0)
    picture = torch.empty(0)
    try:
        generator = StyleGAN2(config).eval().requires_grad_(False).to(renderer.device)
        z = torch.randn(1, config.z_dim).to(renderer.device)
        for _ in range(PASSES):
            start = time.perf_counter()
            with torch.inference_mode():
                picture = generator.synthesize(generator.broadcast(generator.map(z)), "const").cpu()
            found["forward_ms"] = round((time.perf_counter() - start) * 1000, 3)
    except Exception as error:  # a driver may raise anything
        words = f"{type(error).__name__}: {_first_line(error)}"
        found["problems"].append(f"No picture can be made on {found['device_name']}: {words}.")
        return
    if picture.shape != (1, 3, 64, 64) or not torch.isfinite(picture).all():
        found["problems"].append(f"The picture made on {found['device_name']} cannot be used: its numbers are broken.")


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or ["no reason given"])[0][:300].rstrip(".")


def _print(found: dict[str, Any]) -> None:
    print(f"Python {found['python']}, {found['executable']}")
    print(f"server {found['server']}, protocol {found['protocol']}, pixels {found['pixels']}")
    print(", ".join(f"{name} {version or 'missing'}" for name, version in found["packages"].items()))
    if found["forward_ms"]:
        print(f"{found['device_name']}: a picture of 64 x 64 pixels in {found['forward_ms']:.1f} ms")
    for sentence in (*found["remarks"], *found["problems"]):
        print(sentence)
    print("This Python cannot run the server." if found["problems"] else "This Python can run the server.")
