"""Frames and shadows ordered from a real server: in order, newest first, nothing twice, and what can go wrong."""

from __future__ import annotations

import ctypes
import os
import resource
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import driving
from driving import Server, jobs, plain_frames
from inference_server.checkpoints import load_generator
from lantern_protocol import errors
from lantern_protocol.errors import ProtocolError
from lantern_protocol.orders import FrameOrder, RenderSettings, ShadowOrder, ShadowSettings

MARROW = ShadowSettings()
SOFT = ShadowSettings(threshold=100.5, softness=3, fill_holes=9, min_area=9, figure=(20, 0, 60, 255), mix=0.75)


def latents(count: int, seed: int = 0) -> np.ndarray:
    return np.random.RandomState(seed).randn(count, 8).astype(np.float32)


def with_shadows(order: FrameOrder, *settings: ShadowSettings) -> FrameOrder:
    shadows = [ShadowOrder(f"s{i}-{order.name}", order.name, value) for i, value in enumerate(settings)]
    return FrameOrder(order.name, order.row, order.settings, tuple(shadows))


def test_pixels_are_the_generators_own(server: Server, tiny: dict, folder: Path) -> None:
    """Truncation and cutoff may differ within a batch; different noise splits it. 8 bits are floor(127.5 x + 128)."""
    z = latents(7)
    frames = [
        FrameOrder("a.png", 0, RenderSettings(psi=0.7)),
        FrameOrder("b.png", 1, RenderSettings(psi=0.7, cutoff=3)),
        FrameOrder("c.png", 2, RenderSettings(psi=-1.5, cutoff=0)),
        FrameOrder("d.png", 3, RenderSettings(noise="none")),
        FrameOrder("e.png", 4, RenderSettings(noise=5)),
        FrameOrder("f.png", 5, RenderSettings(psi=0.0, noise=5)),
        FrameOrder("g.png", 6, RenderSettings(psi=2.5, cutoff=100)),
    ]
    counts = server.answer(server.generate(next(jobs), folder, tiny, z, frames))
    assert counts == {"made": 7, "failed": 0, "dropped": 0}
    generator = load_generator(tiny["path"])
    for frame in frames:
        with torch.inference_mode():
            ws = generator.broadcast(generator.map(torch.from_numpy(z[frame.row : frame.row + 1])))
            ws = generator.truncate(ws, frame.settings.psi, frame.settings.cutoff)
            image = generator.synthesize(ws, frame.settings.noise)[0].numpy()
        expected = np.floor(np.clip(image * 127.5 + 128, 0, 255)).transpose(1, 2, 0)
        pixels = np.asarray(Image.open(folder / frame.name)).astype(int)
        assert pixels.shape == (32, 32, 3)
        assert np.abs(pixels - expected).max() <= 1  # a batch of a different size rounds differently
        assert (pixels != expected).mean() < 0.01


def test_w_and_w_plus_are_taken(server: Server, tiny: dict, folder: Path) -> None:
    z = latents(2)
    generator = load_generator(tiny["path"])
    with torch.inference_mode():
        w = generator.map(torch.from_numpy(z)).numpy()
        ws = generator.broadcast(torch.from_numpy(w)).numpy()
    for space, values, prefix in (("z", z, "z"), ("w", w, "w"), ("w", ws, "x")):
        request = server.generate(next(jobs), folder, tiny, values, plain_frames(2, prefix), space=space)
        assert server.answer(request)["made"] == 2
    for row in ("0000", "0001"):
        pictures = [np.asarray(Image.open(folder / f"{prefix}{row}.png")).astype(int) for prefix in "zwx"]
        assert np.abs(pictures[0] - pictures[1]).max() <= 1 and np.array_equal(pictures[1], pictures[2])


def test_first_alone_then_in_the_order_asked(server: Server, tiny: dict, folder: Path) -> None:
    names = [f"f{row:04}.png" for row in np.random.RandomState(3).permutation(100)]
    frames = [FrameOrder(name, row) for row, name in enumerate(names)]
    job = next(jobs)
    server.answer(server.generate(job, folder, tiny, latents(100), frames))
    assert server.made(job) == names
    reports = server.noted("frames/made", job)
    assert reports[0]["names"] == names[:1]
    assert len(reports) == 1 + 4  # batches of 32
    assert all(report["seconds"] > 0 for report in reports)


def test_a_shadow_derived_later_equals_the_one_of_the_same_pass(server: Server, tiny: dict, folder: Path) -> None:
    frames = [with_shadows(frame, MARROW, SOFT) for frame in plain_frames(5)]
    job = next(jobs)
    assert server.answer(server.generate(job, folder, tiny, latents(5), frames))["made"] == 5
    assert server.made(job)[:3] == ["f0000.png", "s0-f0000.png", "s1-f0000.png"]
    derive = [
        ShadowOrder(f"later-{shadow.name}", frame.name, shadow.settings).to_json()
        for frame in frames
        for shadow in frame.shadows
    ]
    job = next(jobs)
    counts = server.ask("shadows/derive", job=job, folder=str(folder), shadows=derive)
    assert counts == {"made": 10, "failed": 0, "dropped": 0}
    assert server.made(job) == [order["name"] for order in derive]
    for frame in frames:
        for shadow in frame.shadows:
            first, later = (np.asarray(Image.open(folder / f"{way}{shadow.name}")) for way in ("", "later-"))
            assert np.array_equal(first, later)
    grey = np.asarray(Image.open(folder / "s0-f0000.png"))
    assert grey.ndim == 2 and set(np.unique(grey)) <= {0, 255}


def test_what_is_there_is_reported_not_made_again(server: Server, tiny: dict, folder: Path) -> None:
    server.answer(server.generate(next(jobs), folder, tiny, latents(3), plain_frames(3)))
    os.utime(folder / "f0001.png", ns=(1, 1))
    job = next(jobs)
    frames = [with_shadows(plain_frames(1)[0], MARROW), *plain_frames(5)[1:]]
    assert server.answer(server.generate(job, folder, tiny, latents(5), frames))["made"] == 5
    assert server.made(job) == ["f0000.png", "s0-f0000.png", *(f"f000{row}.png" for row in range(1, 5))]
    assert (folder / "f0001.png").stat().st_mtime_ns == 1  # left alone


@pytest.mark.parametrize("damage", ["cut", "flipped", "another", "foreign", "link"])
def test_what_is_damaged_is_made_again(server: Server, tiny: dict, folder: Path, damage: str) -> None:
    frames = [with_shadows(frame, MARROW) for frame in plain_frames(3)]
    assert server.answer(server.generate(next(jobs), folder, tiny, latents(3), frames))["made"] == 3
    whole = {name: (folder / name).read_bytes() for name in ("f0001.png", "s0-f0001.png")}
    for name, data in whole.items():
        path = folder / name
        path.unlink()
        if damage == "link":
            path.symlink_to(folder / "nowhere")
            continue
        middle = len(data) // 2
        path.write_bytes(
            {
                "cut": data[:-1],
                "flipped": data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :],
                "another": (folder / name.replace("1", "2")).read_bytes(),
                "foreign": b"GIF89a",
            }[damage]
        )
    assert server.answer(server.generate(next(jobs), folder, tiny, latents(3), frames))["made"] == 3
    assert {name: (folder / name).read_bytes() for name in whole} == whole
    (folder / "s0-f0001.png").unlink()
    (folder / "f0001.png").write_bytes((folder / "f0002.png").read_bytes())
    derive = [ShadowOrder("s0-f0001.png", "f0001.png", MARROW).to_json()]
    job = next(jobs)
    server.ask("shadows/derive", job=job, folder=str(folder), shadows=derive)
    failures = [note["params"] for note in server.notes if note["method"] == "frames/failed"]
    (failure,) = (failure for failure in failures if failure["job"] == job)
    assert failure["error"]["code"] == errors.SOURCE_MISSING and "f0001.png" in failure["error"]["message"]
    assert not (folder / "s0-f0001.png").exists()


def test_a_name_is_made_and_told_once_in_a_job(server: Server, tiny: dict, folder: Path) -> None:
    frame, other = plain_frames(2)
    job = next(jobs)
    frames = [frame, other, with_shadows(frame, MARROW), other]
    assert server.answer(server.generate(job, folder, tiny, latents(2), frames))["made"] == 4
    assert server.made(job) == ["f0000.png", "s0-f0000.png", "f0001.png"]


def test_the_newest_job_wins(server: Server, slow: dict, folder: Path) -> None:
    old, new = next(jobs), next(jobs)
    first = server.generate(old, folder, slow, latents(400), plain_frames(400))
    server.until(lambda: server.made(old))
    second = server.generate(new, folder, slow, latents(3, 1), plain_frames(3, "new"))
    assert server.answer(second) == {"made": 3, "failed": 0, "dropped": 0}
    counts = server.answer(first)
    assert counts["made"] == len(server.made(old)) and counts["made"] + counts["dropped"] == 400
    assert counts["made"] < 100
    # Frames that the device and the encoders already have may still come, but nothing else of the old job is begun.
    jobs_in_order = [note["params"]["job"] for note in server.notes if note["method"] == "frames/made"]
    assert jobs_in_order[-1] == new
    late = server.answer(server.generate(old, folder, slow, latents(2), plain_frames(2, "late")))
    assert late == {"made": 0, "failed": 0, "dropped": 2}


def test_cancel_takes_effect_within_a_batch(server: Server, slow: dict, folder: Path) -> None:
    job = next(jobs)
    request = server.generate(job, folder, slow, latents(400), plain_frames(400))
    server.until(lambda: len(server.made(job)) >= 3)
    assert server.ask("frames/cancel", job=job - 1) == {"dropped": 0}
    dropped = server.ask("frames/cancel", job=job)["dropped"]
    seen = len(server.made(job))
    counts = server.answer(request)
    assert counts == {"made": 400 - dropped, "failed": 0, "dropped": dropped}
    assert counts["made"] <= seen + 4  # one on the device, and those that the encoders have
    assert len(list(folder.iterdir())) == counts["made"]


def test_append_joins_the_end_of_the_queue(server: Server, slow: dict, folder: Path) -> None:
    job = next(jobs)
    first = server.generate(job, folder, slow, latents(6), plain_frames(6))
    more = server.generate(job, folder, slow, latents(3, 1), plain_frames(3, "more"), append=True)
    shadow = ShadowOrder("shadow.png", "f0000.png", MARROW).to_json()
    last = server.send("shadows/derive", job=job, folder=str(folder), shadows=[shadow], append=True)
    assert [server.answer(request)["made"] for request in (first, more, last)] == [6, 3, 1]
    expected = [f"f{row:04}.png" for row in range(6)] + [f"more{row:04}.png" for row in range(3)] + ["shadow.png"]
    assert server.made(job) == expected


def test_a_set_of_nothing_is_answered(server: Server, tiny: dict, folder: Path) -> None:
    assert server.answer(server.generate(next(jobs), folder, tiny, latents(0), []))["made"] == 0


def refusal(server: Server, request: int) -> ProtocolError:
    with pytest.raises(ProtocolError) as caught:
        server.answer(request)
    return caught.value


def assert_still_works(server: Server, generator: dict, folder: Path) -> None:
    name = f"works-{next(jobs)}-"
    assert server.answer(server.generate(next(jobs), folder, generator, latents(3), plain_frames(3, name)))["made"] == 3


def test_latents_of_another_generator_are_refused(server: Server, tiny: dict, folder: Path) -> None:
    error = refusal(server, server.generate(next(jobs), folder, tiny, np.zeros((2, 512)), plain_frames(2)))
    assert error.code == errors.LATENT_MISMATCH
    assert "has 512 values" in str(error) and "'tiny' takes 8 (z), 12 (w) or 8 x 12 (W+)" in str(error)
    values = latents(2)
    values[1, 3] = np.nan
    error = refusal(server, server.generate(next(jobs), folder, tiny, values, plain_frames(2)))
    assert error.code == errors.LATENT_MISMATCH and "not numbers" in str(error)
    error = refusal(server, server.generate(next(jobs), folder, tiny, latents(2), plain_frames(3)))
    assert error.code == errors.INVALID_PARAMS and "row 2 of 2" in str(error)
    assert_still_works(server, tiny, folder)


def test_a_frame_that_is_not_a_picture_fails_alone(server: Server, tiny: dict, folder: Path) -> None:
    values = np.random.RandomState(0).randn(4, 12).astype(np.float32)
    values[2] = 3e38
    job = next(jobs)
    request = server.generate(job, folder, tiny, values, plain_frames(4), space="w")
    assert server.answer(request) == {"made": 3, "failed": 1, "dropped": 0}
    (failure,) = server.noted("frames/failed", job)
    assert failure["names"] == ["f0002.png"] and failure["error"]["code"] == errors.NOT_A_PICTURE
    assert "values that are not numbers" in failure["error"]["message"]
    assert not (folder / "f0002.png").exists()


def test_a_checkpoint_that_goes_changes_or_breaks(server: Server, tmp_path: Path, folder: Path) -> None:
    path = tmp_path / "mine.safetensors"
    generator = driving.make_checkpoint(path, seed=1)

    def error_now(which: dict, name: str) -> ProtocolError:
        return refusal(server, server.generate(next(jobs), folder, which, latents(2), plain_frames(2, name)))

    assert_still_works(server, generator, folder)
    kept = path.read_bytes()
    path.unlink()
    error = error_now(generator, "gone")
    assert error.code == errors.CHECKPOINT_UNREADABLE and str(path) in str(error) and "not there" in str(error)
    path.write_bytes(kept[: len(kept) // 2])
    error = error_now(driving.generator_of(path), "cut")
    assert error.code == errors.CHECKPOINT_UNREADABLE and path.name in str(error)
    driving.make_checkpoint(path, seed=2)
    error = error_now(generator, "changed")
    assert error.code == errors.CHECKPOINT_CHANGED and str(path) in str(error) and "Reload" in str(error)
    assert error.data["sha256"] == driving.generator_of(path)["sha256"]
    assert_still_works(server, driving.generator_of(path), folder)
    path.write_bytes(kept)
    assert_still_works(server, generator, folder)


def test_a_conditional_generator_needs_its_classes(server: Server, tmp_path: Path, folder: Path, tiny: dict) -> None:
    path = tmp_path / "classes.safetensors"
    generator = driving.make_checkpoint(path, **driving.TINY, num_classes=3)
    frames = [FrameOrder(f"c{row}.png", row, RenderSettings(classes=(0.0, row / 2, 1 - row / 2))) for row in range(3)]
    assert server.answer(server.generate(next(jobs), folder, generator, latents(1)[[0, 0, 0]], frames))["made"] == 3
    assert len({(folder / frame.name).read_bytes() for frame in frames}) == 3
    for which, settings in ((generator, {}), (generator, {"classes": (1.0,)}), (tiny, {"classes": (1.0,)})):
        job = next(jobs)
        frames = plain_frames(2, f"bad{job}", **settings)
        counts = server.answer(server.generate(job, folder, which, latents(2), frames))
        assert counts["failed"] == 2
        assert "class weights" in server.noted("frames/failed", job)[0]["error"]["message"]


def test_a_missing_or_broken_source_fails_that_shadow_only(server: Server, tiny: dict, folder: Path) -> None:
    server.answer(server.generate(next(jobs), folder, tiny, latents(3), plain_frames(3)))
    (folder / "f0001.png").write_bytes((folder / "f0001.png").read_bytes()[:200])
    orders = [
        ShadowOrder(f"s-{name}", name, MARROW).to_json()
        for name in ("f0000.png", "f0001.png", "nowhere.png", "f0002.png")
    ]
    job = next(jobs)
    counts = server.ask("shadows/derive", job=job, folder=str(folder), shadows=orders)
    assert counts == {"made": 2, "failed": 2, "dropped": 0}
    assert server.made(job) == ["s-f0000.png", "s-f0002.png"]
    failures = server.noted("frames/failed", job)
    assert {failure["error"]["code"] for failure in failures} == {errors.SOURCE_MISSING}
    assert [failure["names"] for failure in failures] == [["s-f0001.png"], ["s-nowhere.png"]]
    assert (folder / "f0001.png").exists()


def test_a_full_disk_stops_the_job_and_no_more(tiny: dict, folder: Path) -> None:
    """A limit on a file's size makes a real write fail, and can be removed while the server runs."""
    small = (500, resource.RLIM_INFINITY)
    with Server(preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, small)) as server:
        counts = server.answer(server.generate(1, folder, tiny, latents(200), plain_frames(200)))
        assert counts["made"] == 0 and counts["failed"] >= 1 and counts["dropped"] >= 130
        failure = server.noted("frames/failed", 1)[0]
        assert failure["names"] == ["f0000.png"] and failure["error"]["code"] == errors.WRITE_FAILED
        message = failure["error"]["message"]
        assert str(folder / "f0000.png") in message and "Free some space or choose another folder" in message
        assert not list(folder.iterdir())
        unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
        resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, unlimited)
        assert_still_works(server, tiny, folder)


def obey_permissions() -> None:
    """Drop CAP_DAC_OVERRIDE for ever, so that a child of root has no more access to files than other users."""
    if os.geteuid() == 0:
        ctypes.CDLL(None).prctl(24, 1, 0, 0, 0)


def test_a_folder_that_cannot_be_used(tiny: dict, tmp_path: Path) -> None:
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o555)
    taken = tmp_path / "taken"
    taken.write_text("a file, not a folder")
    with Server(preexec_fn=obey_permissions) as server:
        for job, folder in enumerate((locked, taken, tmp_path / "missing" / "frames", locked / "frames")):
            counts = server.answer(server.generate(job, folder, tiny, latents(50), plain_frames(50)))
            assert counts["made"] == 0 and counts["failed"] >= 1 and counts["dropped"] >= 17, folder
            failure = server.noted("frames/failed", job)[0]
            assert failure["error"]["code"] == errors.WRITE_FAILED
            assert str(folder) in failure["error"]["message"] and "folder" in failure["error"]["message"]
        locked.chmod(0o755)
        assert server.answer(server.generate(9, locked, tiny, latents(2), plain_frames(2)))["made"] == 2
        shutil.rmtree(locked)  # without the server's knowledge
        assert server.answer(server.generate(10, locked, tiny, latents(2), plain_frames(2)))["made"] == 2


def test_leftovers_of_dead_processes_are_removed(server: Server, tiny: dict, folder: Path) -> None:
    folder.mkdir()
    leftovers = {".part-999999999-0": False, f".part-{os.getpid()}-3": True, ".part-notes.txt": True}
    for name in leftovers:
        (folder / name).write_bytes(b"")
    assert_still_works(server, tiny, folder)
    assert {name: (folder / name).exists() for name in leftovers} == leftovers


def test_memory_is_given_back_when_asked_and_when_idle(tiny: dict, folder: Path) -> None:
    with Server("--idle-seconds", "0.2") as server:
        assert_still_works(server, tiny, folder)
        server.until(lambda: any("Nothing to do" in note["text"] for note in server.noted("log")))
        assert server.ask("device/release") == {"released": 0}
        assert_still_works(server, tiny, folder)
    with Server() as server:
        assert_still_works(server, tiny, folder)
        assert server.ask("device/release")["released"] > 1000
        assert any("Freed" in note["text"] for note in server.noted("log"))
        assert_still_works(server, tiny, folder)
