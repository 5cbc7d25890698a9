"""The output of pip and venv becomes sentences for a person, and the progress of a set-up."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from latent_lantern.latent_addon.environments import failures, progress
from latent_lantern.latent_addon.environments.failures import Context
from latent_lantern.latent_addon.environments.progress import PipProgress, Progress, Step
from latent_lantern.latent_addon.environments.pythons import Python

PYTHON = Python(Path("/usr/bin/python3.11"), "3.11", True, "3.11.2")
ONLINE = Context(PYTHON, Path("/home/marrow/inference"))
OFFLINE = Context(PYTHON, Path("/home/marrow/inference"), Path("/media/stick"))

NO_DNS = """\
WARNING: Retrying (Retry(total=0, connect=None)) after connection broken by 'NewConnectionError('<pip._vendor.urllib3.\
connection.HTTPSConnection object at 0x7f>: Failed to establish a new connection: [Errno -3] Temporary failure in name \
resolution')': /whl/cu130/torch/
ERROR: Could not find a version that satisfies the requirement torch==2.13.0 (from versions: none)
ERROR: No matching distribution found for torch==2.13.0"""
CUT = """\
pip._vendor.urllib3.exceptions.ReadTimeoutError: HTTPSConnectionPool(host='download.pytorch.org', port=443): \
Read timed out."""
CERTIFICATE = """\
Could not fetch URL https://pypi.org/simple/torch/: There was a problem confirming the ssl certificate: \
HTTPSConnectionPool(host='pypi.org', port=443): Max retries exceeded with url: /simple/torch/ (Caused by SSLError(\
SSLCertVerificationError(1, '[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed'))) - skipping
ERROR: No matching distribution found for torch==2.13.0"""
CUT_WHEEL = """\
WARNING: Retrying (Retry(total=4)) broken by 'NewConnectionError('Failed to establish a new connection')'
ERROR: Wheel 'broken' located at /home/marrow/tmp/pip-unpack-zzv0ewnn/broken-1.0-py3-none-any.whl is invalid."""
NONE_FITS = """\
ERROR: Could not find a version that satisfies the requirement torch==2.13.0 (from versions: none)
ERROR: No matching distribution found for torch==2.13.0"""


@pytest.mark.parametrize(
    ("text", "context", "words"),
    [
        (NO_DNS, ONLINE, "There is no connection to the package index. Check the network"),
        ("HTTPSConnectionPool(host='pypi.org', port=443): getaddrinfo failed", ONLINE, "no connection to pypi.org"),
        (
            "ProxyError('Cannot connect to proxy.', OSError('Tunnel connection failed: 407'))",
            ONLINE,
            "Check the network",
        ),
        (CUT, ONLINE, "The connection to download.pytorch.org broke off. Try again"),
        ("ERROR: Exception: IncompleteRead(1000 bytes read, 9000 more expected)", ONLINE, "broke off"),
        (CERTIFICATE, ONLINE, "The connection to pypi.org is not trusted"),
        (
            "ERROR: 403 Client Error: Forbidden for url: https://a.example/torch",
            ONLINE,
            "error 403 for https://a.example",
        ),
        ("ERROR: HTTP error 503 Server Error: Busy for url: https://b.example/", ONLINE, "error 503"),
        (NONE_FITS, ONLINE, "The package index has no torch==2.13.0 for Python 3.11 on "),
        (NONE_FITS, OFFLINE, "The folder /media/stick has no wheel of torch==2.13.0 for Python 3.11"),
        ("ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE", ONLINE, "its hash is different"),
        (
            "ERROR: Wheel 'torch' located at /media/stick/torch.whl is invalid.",
            OFFLINE,
            "torch is damaged. Copy it again",
        ),
        (CUT_WHEEL, ONLINE, "The wheel broken is damaged. Try again"),
        ("zipfile.BadZipFile: Bad CRC-32 for file 'torch/lib/libtorch.so'", ONLINE, "damaged. Try again"),
        ("OSError: [Errno 28] No space left on device", ONLINE, "The disk of /home/marrow/inference is full"),
        ("OSError: [WinError 112] There is not enough space on the disk", ONLINE, "The disk of"),
        (
            "OSError: [Errno 13] Permission denied: '/home/marrow/inference/x'",
            ONLINE,
            "/home/marrow/inference/x may not",
        ),
        ("OSError: [Errno 30] Read-only file system: '/home'", ONLINE, "/home/marrow/inference may not be written"),
        (
            "HINT: This error might have occurred since this system does not have Windows Long Path support enabled.",
            ONLINE,
            "too long for Windows",
        ),
        (
            "The virtual environment was not created successfully because ensurepip is not available.",
            ONLINE,
            "sudo apt install python3.11-venv",
        ),
        ("/usr/bin/python3.11: No module named venv", ONLINE, "cannot make environments"),
        ("MemoryError", ONLINE, "run out of memory"),
        ("ERROR: ResolutionImpossible: for help visit https://pip.pypa.io", ONLINE, "do not fit together"),
        (
            "something odd\nERROR: An unheard-of thing\nmore",
            ONLINE,
            "Installing failed with exit status 2: An unheard-of",
        ),
        ("", ONLINE, "Installing failed with exit status 2: it said nothing"),
    ],
)
def test_a_failure_is_explained(text: str, context: Context, words: str) -> None:
    failed = failures.explain(text.splitlines(), 2, "Installing", context)
    assert words in str(failed)
    of_network = any(part in words for part in ("no connection to", "network", "broke off", "trusted", "error"))
    assert failed.downloads_are_good is of_network


def test_being_killed_is_told_from_failing() -> None:
    assert "ended from outside (signal 9), perhaps because memory ran out" in str(
        failures.explain(["Installing collected packages: torch"], -9, "Installing PyTorch", ONLINE)
    )


def test_the_way_to_environments_depends_on_where_the_python_is_from() -> None:
    assert "python3.11-venv" in failures.no_environments(PYTHON)
    own = Python(Path("/opt/blender/5.2/python/bin/python3.13"), "3.13", False, "3.13.9")
    assert "python.org" in failures.no_environments(own)


OLD_PIP = """\
Collecting torch==2.13.0
  Downloading https://download.pytorch.org/whl/cpu/torch-2.13.0%2Bcpu-cp311-cp311-manylinux_2_28_x86_64.whl (191.8 MB)
Collecting typing-extensions>=4.10.0
  Downloading typing_extensions-4.16.0-py3-none-any.whl.metadata (3.3 kB)
  Downloading typing_extensions-4.16.0-py3-none-any.whl (45 kB)
Installing collected packages: typing-extensions, torch
Successfully installed torch-2.13.0+cpu typing-extensions-4.16.0"""
NEW_PIP = """\
Collecting torch==2.13.0
Downloading torch-2.13.0-cp313-cp313-manylinux_2_28_x86_64.whl (100 MB)
Progress 0 of 100000000
Progress 50000000 of 100000000
Progress 100000000 of 100000000
Downloading filelock-4.2.11-py3-none-any.whl (100 kB)
Progress 0 of 100000000
Progress 100000000 of 100000000
Installing collected packages: filelock, torch"""


@pytest.fixture
def following(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Progress, PipProgress, list[int]]:
    """A step that is 0.5 of the whole, the object that follows pip's output in it, and the free bytes on the disk."""
    free = [10**9]
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(progress.shutil, "disk_usage", lambda path: usage._replace(free=free[0]))
    monkeypatch.setattr(progress.time, "monotonic", iter(range(10**6)).__next__)
    whole = Progress([Step("Making", 0.1), Step("Installing", 0.5), Step("Trying", 0.4)])
    whole.begin()
    whole.begin()
    return whole, PipProgress(whole, tmp_path, download=200_000_000, disk=500_000_000), free


def test_a_pip_that_tells_its_progress_is_followed(following: tuple[Progress, PipProgress, list[int]]) -> None:
    whole, pip, free = following
    fractions, details = [], []
    for line in NEW_PIP.splitlines():
        assert pip.line(line) is not line.startswith("Progress")
        fractions.append(whole.fraction)
        details.append(whole.detail)
    assert fractions == sorted(fractions)
    assert "Downloading torch, 50 of 100 MB" in details
    half = fractions[details.index("Downloading torch, 50 of 100 MB")]
    assert half == pytest.approx(0.1 + 0.5 * 0.65 / 4)
    assert details[-1] == "Unpacking"
    assert fractions[-1] == pytest.approx(0.1 + 0.5 * 0.65)
    free[0] -= 250_000_000
    pip.idle()
    assert whole.fraction == pytest.approx(0.1 + 0.5 * (0.65 + 0.35 / 2))
    free[0] += 400_000_000  # the recycle bin was emptied
    pip.idle()
    assert whole.fraction == pytest.approx(0.1 + 0.5 * (0.65 + 0.35 / 2))
    whole.begin()
    assert (whole.step, whole.doing, whole.detail, whole.fraction) == (3, "Trying", "", pytest.approx(0.6))


def test_an_older_pip_is_followed_by_its_words_and_the_disk(
    following: tuple[Progress, PipProgress, list[int]],
) -> None:
    whole, pip, free = following
    lines = OLD_PIP.splitlines()
    assert pip.line(lines[0])
    assert whole.detail == "Looking for torch"
    assert pip.line(lines[1])
    assert whole.detail == "Downloading torch"
    free[0] -= 100_000_000
    pip.idle()
    assert whole.fraction == pytest.approx(0.1 + 0.5 * 0.65 / 2)
    for line in lines[2:6]:
        assert pip.line(line)
    assert whole.detail == "Unpacking"
    free[0] -= 10**9
    pip.idle()
    assert 0.58 < whole.fraction < 0.6
