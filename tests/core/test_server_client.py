"""The exchange of messages without faults, and its rules."""

from __future__ import annotations

import ast
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import fake_pictures
import fake_server
from conversation import Conversation, eventually, fake_command, is_running, journal_of, scripted
from latent_lantern.lantern_protocol import errors, orders
from latent_lantern.lantern_protocol.answers import Device
from latent_lantern.latent_addon.server.client import InferenceClient, ServerState

COUNT = """
for n in [*range(200), -1]: send(framing.notification("count", {"n": n}))
for _ in messages: pass
"""

LONG_WORK = """
from lantern_protocol import errors
def tell(identity, done): send(framing.notification("work/progress", {"id": identity, "done": done, "total": 9}))
for message in messages:
    if message["method"] == "tests/long":
        for done in (1, 4, 7): tell(message["id"], done)
    elif message["method"] == "work/cancel":
        send(framing.result(message["id"], {"cancelled": True}))
        send(framing.failure(message["params"]["id"], errors.ProtocolError(errors.CANCELLED, "Cancelled.")))
        tell(message["params"]["id"], 8)
    else:
        send(framing.result(message["id"], {}))
"""
PROGRESS = [(1, 9), (4, 9), (7, 9)]


def test_start_returns_before_the_server_is_ready_and_greets_it() -> None:
    with Conversation() as talk:
        assert talk.client.state is ServerState.STARTING
        assert talk.client.greeting is None
        talk.until_ready()
        assert talk.client.greeting.pid == talk.client.pid
        assert talk.client.greeting.device == Device("cpu", "fake")
        assert talk.client.message == ""
        assert talk.states == [ServerState.STARTING, ServerState.READY]
    assert talk.states[-1] is ServerState.STOPPED
    assert talk.client.pid is None
    assert talk.client.greeting is None


def test_every_method_is_answered(tmp_path: Path) -> None:
    checkpoint = tmp_path / "horses.safetensors"
    checkpoint.write_bytes(b"weights")
    with Conversation("--z-dim", 6, "--size", "20x12") as talk:
        info = talk.ask("generator/describe", {"path": str(checkpoint)})
        assert (info["z_dim"], info["width"], info["height"], info["name"]) == (6, 20, 12, "horses")
        generator = {"path": str(checkpoint), "sha256": info["sha256"]}
        sampled = fake_pictures.pack_rows([fake_pictures.latent(seed, 6) for seed in (3, 4)])
        mapped = talk.ask("latents/map", {"generator": generator, "latents": sampled})["latents"]
        z, w = fake_pictures.unpack_rows(sampled), fake_pictures.unpack_rows(mapped)
        assert [[2 * value for value in row] for row in w] == z
        shadow = orders.ShadowOrder("shadow.png", "colour.png", orders.ShadowSettings())
        frame = orders.FrameOrder("colour.png", 1, orders.RenderSettings(psi=0.7, noise=5), (shadow,))
        order = {"job": 1, "folder": str(tmp_path), "generator": generator, "space": "z", "latents": sampled}
        counts = talk.ask("frames/generate", {**order, "frames": [frame.to_json()]})
        assert counts == {"made": 1, "failed": 0, "dropped": 0}
        assert talk.names("frames/made") == ["colour.png", "shadow.png"]
        colour = fake_pictures.picture(frame, z[1], 20, 12, (info["sha256"],))
        assert fake_pictures.decode_png((tmp_path / "colour.png").read_bytes()) == (colour, 20, 12)
        flat, *_ = fake_pictures.decode_png((tmp_path / "shadow.png").read_bytes())
        assert {flat[i : i + 4] for i in range(0, len(flat), 4)} == {b"\0\0\0\xff", b"\xff\xff\xff\xff"}
        white = orders.ShadowOrder("white.png", "colour.png", orders.ShadowSettings(threshold=255))
        lost = orders.ShadowOrder("lost.png", "nowhere.png", orders.ShadowSettings())
        derive = {"job": 2, "folder": str(tmp_path), "shadows": [white.to_json(), lost.to_json()]}
        assert talk.ask("shadows/derive", derive) == {"made": 1, "failed": 1, "dropped": 0}
        assert talk.names("frames/failed") == ["lost.png"]
        assert set(fake_pictures.decode_png((tmp_path / "white.png").read_bytes())[0]) == {255}
        assert talk.ask("work/cancel", {"id": 1}) == {"cancelled": False}
        assert talk.ask("device/release") == {"released": 0}
        assert talk.ask("ping") == {}
        checkpoint.write_bytes(b"other weights")
        with pytest.raises(errors.ProtocolError, match="has changed") as changed:
            talk.ask("latents/map", {"generator": generator, "latents": sampled})
        assert changed.value.code == errors.CHECKPOINT_CHANGED
        run = talk.ask("generator/describe", {"path": str(tmp_path)})
        assert [snapshot["name"] for snapshot in run["snapshots"]] == ["horses"]
        card = talk.ask("library/card", {"path": str(checkpoint), "thumbnail": True})
        assert card["name"] == "horses" and Path(card["thumbnail"]).read_bytes().startswith(b"\x89PNG")
        found = talk.ask("library/list", {"folders": [str(tmp_path), str(tmp_path / "nowhere")]})
        assert [entry["path"] for entry in found["entries"]] == [str(checkpoint)] and len(found["problems"]) == 1
        latents = tmp_path / "latents.npy"
        latents.write_text('{"space": "w+", "latents": [[[1, 2], [3, 4], [5, 6]]]}')
        built_in = {"path": None, "sha256": fake_server.BUILT_IN_SHA256}
        imported = talk.ask("latents/import", {"path": str(latents), "generator": built_in})
        assert imported["space"] == "w+" and imported["latents"]["shape"] == [1, 3, 2]
        with pytest.raises(errors.ProtocolError, match="no method 'dance'"):
            talk.ask("dance")
        assert talk.client.pending == 0
        assert not list(tmp_path.glob(".*"))


def test_requests_wait_for_the_server_and_keep_their_order(tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    with Conversation("--journal", journal) as talk:
        first = talk.send("generator/describe", {"path": None})
        second = talk.send("ping")
        assert talk.client.pending == 2
        assert talk.settled(first, second)
        assert talk.client.pending == 0
        assert [entry["method"] for entry in journal_of(journal)] == ["initialize", "generator/describe", "ping"]


def test_newest_job_wins_append_joins_cancel_drops(tmp_path: Path) -> None:
    with Conversation("--slow", 0.05) as talk:
        old = talk.order(tmp_path, [f"old{n}.png" for n in range(40)], job=1)
        assert talk.client.wait(lambda: bool(talk.names("frames/made")), 20)
        new = talk.order(tmp_path, ["new0.png"], job=2)
        more = talk.order(tmp_path, ["new1.png"], job=2, append=True)
        late = talk.order(tmp_path, ["late.png"], job=1)
        assert talk.settled(old, new, more, late)
        assert talk.results[old]["dropped"] + talk.results[old]["made"] == 40
        assert talk.results[old]["dropped"] > 0
        assert talk.results[new] == talk.results[more] == {"made": 1, "failed": 0, "dropped": 0}
        assert talk.results[late]["dropped"] == 1
        assert talk.names("frames/made")[-2:] == ["new0.png", "new1.png"]
        last = talk.order(tmp_path, [f"last{n}.png" for n in range(40)], job=3)
        assert talk.ask("frames/cancel", {"job": 3})["dropped"] >= 38
        assert talk.settled(last)


def test_progress_reaches_the_request_it_is_of_until_that_is_answered() -> None:
    with Conversation(command=scripted(LONG_WORK)) as talk:
        first, second = talk.send("tests/long"), talk.send("tests/long")
        silent: list[errors.ProtocolError] = []
        third = talk.client.request("tests/long", {}, pytest.fail, silent.append)
        assert talk.client.wait(lambda: talk.progress.get(second) == PROGRESS, 20)
        assert talk.progress == {first: PROGRESS, second: PROGRESS} and not talk.results and not talk.errors
        for number in (first, third, second):
            talk.client.cancel(number)
        assert talk.settled(first, second) and talk.client.wait(lambda: bool(silent), 20)
        talk.ask("ping")
        codes = [error.code for error in (talk.errors[first], talk.errors[second], *silent)]
        assert codes == [errors.CANCELLED] * 3
        assert talk.progress == {first: PROGRESS, second: PROGRESS}, "what came after the answer is dropped"
        assert talk.notifications == [] and talk.client.pending == 0


@pytest.mark.parametrize(
    "params",
    [{}, {"id": 2}, {"id": True, "done": 1, "total": 2}, {"id": 2, "done": 3, "total": 2}]
    + [{"id": 2, "done": wrong, "total": 2} for wrong in (-1, 0.5, "1", None, True)]
    + [{"id": wrong, "done": 1, "total": 2} for wrong in ("2", [2], None)]
    + [{"id": 2, "done": 1, "total": 1 << 31}],
)
def test_progress_that_is_none_is_a_line_in_the_log(params: dict[str, object]) -> None:
    code = f"""
send(framing.notification("work/progress", {params!r}))
for message in messages: send(framing.result(message["id"], {{}}))
"""
    with Conversation(command=scripted(code)) as talk:
        assert talk.send("ping") == 2
        assert talk.settled(2)
        assert talk.progress == {} and talk.notifications == []
        assert any("Not understood: " in line for line in talk.client.log)


def test_cancel_is_sent_for_what_is_open_only_and_in_its_turn(tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    with Conversation("--journal", journal, "--slow", 0.2) as talk:
        frames = talk.order(tmp_path, ["a.png", "b.png"])
        talk.client.cancel(frames)  # before the server is ready
        assert talk.client.pending == 1
        assert talk.settled(frames)
        assert talk.results[frames]["made"] == 2, "frames are no long work: the server answers that there is none"
        for number in (frames, 1, 0, -1, 10**9):  # 1 is the greeting
            talk.client.cancel(number)
        talk.ask("ping")
        assert [(entry["method"], entry["params"].get("id")) for entry in journal_of(journal)][1:] == [
            ("frames/generate", None),
            ("work/cancel", frames),
            ("ping", None),
        ]
        talk.client.stop()
        talk.client.cancel(frames)  # there is no server


def test_long_work_is_no_silence() -> None:
    now = [0.0]
    with Conversation(command=scripted(LONG_WORK), clock=lambda: now[0]) as talk:
        request = talk.until_ready().send("tests/long")
        assert talk.client.wait(lambda: talk.progress.get(request) == PROGRESS, 20)
        for _ in range(40):
            now[0] += 2.5
            talk.client.drain()
            assert talk.client.wait(lambda: talk.client._heard == now[0], 20)
        assert talk.client.state is ServerState.READY and talk.client.pending == 1
        talk.client.cancel(request)
        assert talk.settled(request)


def test_without_a_server_the_error_comes_with_the_next_drain() -> None:
    heard: list[errors.ProtocolError] = []
    client = InferenceClient(lambda *_: None)
    client.request("ping", {}, pytest.fail, heard.append)
    assert heard == []
    assert client.pending == 1
    assert client.drain()
    assert [error.code for error in heard] == [errors.SERVER_GONE]
    assert client.pending == 0
    assert not client.drain()
    assert not client.wait(lambda: False, 60)  # nothing can make it true


def test_stop_answers_open_requests_and_a_new_start_works(tmp_path: Path) -> None:
    with Conversation("--slow", 0.02) as talk:
        frames = talk.until_ready().order(tmp_path, [f"{n}.png" for n in range(500)])
        assert talk.client.wait(lambda: bool(talk.names("frames/made")), 20)
        talk.client.stop()
        assert talk.client.state is ServerState.STOPPED
        assert frames not in talk.errors
        talk.start()
        assert talk.ask("ping") == {}
        assert talk.errors[frames].code == errors.SERVER_GONE
        assert not list(tmp_path.glob(".*"))  # the file that was being written is finished
    assert len(set(talk.pids)) == 2


def test_a_dismissed_server_finishes_its_file_while_another_starts(tmp_path: Path) -> None:
    with Conversation("--slow", 0.02) as talk:
        frames = talk.until_ready().order(tmp_path, [f"{n}.png" for n in range(500)])
        assert talk.client.wait(lambda: bool(talk.names("frames/made")), 20)
        talk.client.dismiss()
        assert talk.client.state is ServerState.STOPPED and talk.client.pid is None
        talk.start()
        assert talk.ask("ping") == {}
        assert talk.errors[frames].code == errors.SERVER_GONE
        assert eventually(lambda: not is_running(talk.pids[0]))
        assert not list(tmp_path.glob(".*"))
    talk.client.dismiss()  # there is none


def test_a_dismissed_server_that_is_deaf_is_killed_without_anyone_waiting(tmp_path: Path) -> None:
    with Conversation("--hang-after", 0) as talk:
        talk.until_ready().order(tmp_path, ["a.png"])
        talk.client.wait(lambda: False, 0.2)
        talk.client.dismiss(patience=0.1)
        assert talk.client.state is ServerState.STOPPED
        assert eventually(lambda: not is_running(talk.pids[0]))
        assert eventually(lambda: not any(thread.name.startswith("lantern-") for thread in threading.enumerate()))


def test_stop_is_safe_in_every_state() -> None:
    talk = Conversation()
    talk.client.stop()
    talk.start()
    talk.client.stop()
    assert talk.client.state is ServerState.STOPPED
    talk.start()
    talk.client.kill()
    talk.client.kill()
    talk.client.stop()
    assert talk.client.state is ServerState.STOPPED
    assert all(eventually(lambda pid=pid: not is_running(pid)) for pid in talk.pids)
    assert eventually(lambda: not any(thread.name.startswith("lantern-") for thread in threading.enumerate()))


def test_start_while_running_does_nothing() -> None:
    with Conversation() as talk:
        pid = talk.until_ready().client.pid
        talk.client.start(fake_command())
        assert talk.client.pid == pid
        assert talk.client.state is ServerState.READY


def test_a_drain_keeps_to_its_budget_and_to_the_order() -> None:
    numbers: list[int] = []

    def slow(_method: str, params: dict[str, int]) -> None:
        numbers.append(params["n"])
        time.sleep(0.002)

    with Conversation(command=scripted(COUNT)) as talk:
        talk.client._on_notification = slow
        assert talk.client.wait(lambda: bool(numbers), 20)
        while numbers[-1] != -1 and talk.client.state is ServerState.READY:
            before = len(numbers)
            talk.client.drain(0.004)
            assert len(numbers) - before <= 3
    assert numbers == [*range(200), -1]


def test_an_exception_in_a_callback_is_logged_and_stops_nobody_else() -> None:
    def broken(_result: dict[str, object]) -> None:
        raise ValueError("a mistake of the caller")

    with Conversation() as talk:
        talk.client.request("ping", {}, broken, broken)
        assert talk.ask("ping") == {}
        assert "ValueError: a mistake of the caller" in talk.client.log


def test_a_callback_may_wait_and_may_stop_the_client() -> None:
    with Conversation() as talk:
        inner: list[dict[str, object]] = []
        talk.client.request("ping", {}, lambda _: inner.append(talk.ask("generator/describe")), pytest.fail)
        assert talk.client.wait(lambda: bool(inner), 20)
        talk.client.request("ping", {}, lambda _: talk.client.stop(), pytest.fail)
        assert talk.client.wait(lambda: talk.client.state is ServerState.STOPPED, 20)
        assert not any("Traceback" in line for line in talk.client.log)


def test_the_log_holds_the_newest_lines_of_stderr() -> None:
    code = """
for n in range(2000): print("line", n, file=sys.stderr)
print("10%\\r20%\\r30%", file=sys.stderr, flush=True)
for _ in messages: pass
"""
    with Conversation(command=scripted(code)) as talk:
        assert talk.client.wait(lambda: "30%" in talk.client.log, 20)
        assert "line 1999" in talk.client.log
        assert len(talk.client.log) == 500


def test_megabytes_to_a_server_that_does_not_read_do_not_block(tmp_path: Path) -> None:
    with Conversation("--hang-after", 0) as talk:
        talk.until_ready().order(tmp_path, ["never.png"])
        for _ in range(40):
            talk.send("ping", {"padding": "x" * 1_000_000})
        assert talk.client.pending == 41
        talk.client.stop(patience=0.1)
        assert talk.client.state is ServerState.STOPPED
        assert not any(thread.name.startswith("lantern-") for thread in threading.enumerate())


def test_importing_the_client_is_cheap(root: Path) -> None:
    code = (
        "import importlib.util, sys\n"
        f"spec = importlib.util.spec_from_file_location('l', {str(root / '__init__.py')!r},"
        f" submodule_search_locations=[{str(root)!r}])\n"
        "sys.modules['l'] = importlib.util.module_from_spec(spec)\n"
        "import l.latent_addon.server.client, l.latent_addon.server.launch\n"
        "print(sorted({'bpy', 'numpy', 'torch', 'asyncio', 'multiprocessing'} & set(sys.modules)))\n"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_the_fake_describes_what_the_real_server_describes(root: Path) -> None:
    tree = ast.parse((root / "inference_server" / "generators" / "base.py").read_text("utf-8"))
    (info,) = (node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "GeneratorInfo")
    fields = {node.target.id for node in info.body if isinstance(node, ast.AnnAssign)}
    with Conversation() as talk:
        described = talk.ask("generator/describe", {"path": None})
    assert set(described) == fields | {"sha256", "path", "bytes", "device", "dtype", "snapshots"}
    assert described["sha256"] == fake_server.BUILT_IN_SHA256
