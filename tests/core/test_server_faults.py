"""What the client does when the server crashes, hangs, lies and dribbles."""

from __future__ import annotations

import gc
import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from conversation import PATIENCE, Conversation, eventually, fake_command, is_running, journal_of, scripted
from latent_lantern.lantern_protocol import errors, framing, versions
from latent_lantern.latent_addon.server import sentences
from latent_lantern.latent_addon.server.client import InferenceClient, ServerState
from latent_lantern.latent_addon.server.process import INBOX_LIMIT, ServerProcess

TEN = [f"{n}.png" for n in range(10)]


class Clock:
    """A clock that a test moves."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_python_that_is_not_there(tmp_path: Path) -> None:
    with Conversation(command=[str(tmp_path / "python")]) as talk:
        assert talk.client.state is ServerState.FAILED
        assert talk.client.message.startswith(f"'{tmp_path / 'python'}' could not be started: No such file")
        assert talk.client.message.endswith("Repair inference, or choose another Python, in the preferences.")
        assert talk.states == [ServerState.FAILED]


def test_a_file_that_is_no_program(tmp_path: Path) -> None:
    file = tmp_path / "python"
    file.write_bytes(b"\x7fnothing a system could run")
    for mode, reason in ((0o644, "Permission denied"), (0o755, "Exec format error")):
        file.chmod(mode)
        with Conversation(command=[str(file)]) as talk:
            assert f"could not be started: {reason}." in talk.client.message


def test_exit_code_three_carries_the_servers_own_sentence() -> None:
    with Conversation("--exit-at-start", 3, "The Python at /x has no torch. Install it, or choose another.") as talk:
        asked = talk.send("ping")
        assert talk.until_failed() == "The Python at /x has no torch. Install it, or choose another."
        assert talk.settled(asked)
        assert talk.errors[asked].code == errors.SERVER_GONE
        assert "has no torch" in str(talk.errors[asked])


def test_another_exit_code_quotes_the_last_line_and_logs_them_all() -> None:
    with Conversation("--exit-at-start", 1, "Traceback:\n  a line\nImportError: no module named there.") as talk:
        assert talk.until_failed() == (
            "The inference server stopped while starting (exit code 1): ImportError: no module named there. "
            "Repair inference, or choose another Python, in the preferences."
        )
        assert "  a line" in talk.client.log


def test_a_server_killed_while_starting_lacked_memory_perhaps() -> None:
    assert sentences.ended(True, -9, "") == (
        "The inference server was killed while starting. The system ends programs like this when memory runs out. "
        "Close other programs, then try again."
    )
    assert "choose another Python" in sentences.ended(True, -11, "")


def killed_at_start(tmp_path: Path, times: int) -> list[str]:
    """A command whose first starts are killed, and whose later ones are a fake server."""
    count = tmp_path / "starts"
    python = tmp_path / "python"
    python.write_text(
        f"#!/bin/sh\necho start >> {count}\n"
        f"if [ $(wc -l < {count}) -le {times} ]; then kill -9 $$; fi\nexec {shlex.join(fake_command())}\n"
    )
    python.chmod(0o755)
    return [str(python)]


def test_a_server_that_is_killed_while_starting_is_started_again_once(tmp_path: Path) -> None:
    with Conversation(command=killed_at_start(tmp_path, 1)) as talk:
        ping = talk.send("ping")
        talk.until_ready()
        assert talk.settled(ping) and talk.results[ping] == {} and not talk.errors
        assert (tmp_path / "starts").read_text().count("start") == 2
        assert not [state for state in talk.states if state is ServerState.FAILED]


def test_and_not_twice(tmp_path: Path) -> None:
    with Conversation(command=killed_at_start(tmp_path, 2)) as talk:
        ping = talk.send("ping")
        assert talk.until_failed().startswith("The inference server was killed while starting.")
        assert talk.settled(ping) and talk.errors[ping].code == errors.SERVER_GONE
        talk.start()  # a click
        talk.until_ready()
        assert (tmp_path / "starts").read_text().count("start") == 3


@pytest.mark.parametrize("what", ["protocol", "pixels", "refuse"])
def test_a_server_of_another_release_is_sent_away(what: str) -> None:
    with Conversation("--wrong-version", what) as talk:
        message = talk.until_failed()
        assert message.startswith(
            f"The inference server is version 0.0.9 and this add-on needs {versions.SERVER_VERSION}:"
        )
        assert talk.client.greeting is None
        assert eventually(lambda: not is_running(talk.pids[0]))


def test_a_crash_answers_everyone_and_a_new_start_works_at_once(tmp_path: Path) -> None:
    with Conversation("--crash-after", 3, "--once", tmp_path / "once") as talk:
        frames, ping = talk.until_ready().order(tmp_path, TEN), talk.send("ping")
        assert "stopped (killed by SIGKILL)" in talk.until_failed()
        assert talk.settled(frames, ping)
        assert talk.errors[frames].code == errors.SERVER_GONE
        assert str(talk.errors[frames]) == talk.client.message
        assert talk.results[ping] == {}
        assert talk.names("frames/made") == TEN[:3]  # messages that arrived before the end are delivered before it
        talk.start()
        assert talk.client.message == ""
        again = talk.order(tmp_path, TEN)
        assert talk.settled(again)
        assert talk.results[again]["made"] == 10


def test_a_closed_stdout_is_an_end_too(tmp_path: Path) -> None:
    with Conversation("--close-stdout-after", 2) as talk:
        frames = talk.order(tmp_path, TEN)
        assert "closed its output and was stopped" in talk.until_failed()
        assert talk.settled(frames)
        assert eventually(lambda: not is_running(talk.pids[0]))


def test_a_death_is_noticed_though_a_child_of_the_server_holds_the_pipe() -> None:
    code = """
import os, subprocess
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
os._exit(7)
"""
    with Conversation(command=scripted(code)) as talk:
        assert "exit code 7" in talk.until_failed()
    assert eventually(lambda: not any(thread.name.startswith("lantern-") for thread in threading.enumerate()))


def listen(talk: Conversation, clock: Clock, seconds: int) -> None:
    """Let seconds pass on the test's clock; drain once in each second."""
    for _ in range(seconds):
        clock.now += 1
        talk.client.drain()


@pytest.mark.parametrize("fault", ["--hang-after", "--stop-self-after"])
def test_a_hanging_server_is_killed_after_twenty_seconds_of_silence(tmp_path: Path, fault: str) -> None:
    clock = Clock()
    with Conversation(fault, 1, clock=clock) as talk:
        frames = talk.until_ready().order(tmp_path, TEN)
        assert talk.client.wait(lambda: bool(talk.names("frames/made")), PATIENCE)
        listen(talk, clock, 19)
        assert talk.client.state is ServerState.READY
        listen(talk, clock, 15)  # a ping may still have been answered before the fault
        assert talk.client.state is ServerState.FAILED
        assert talk.client.message == (
            "The inference server has not answered for 20 s and was stopped. The next click starts it again."
        )
        assert talk.settled(frames)
        assert talk.errors[frames].code == errors.SERVER_GONE
        assert eventually(lambda: not is_running(talk.pids[0]))


def test_a_suspended_machine_is_no_silence(tmp_path: Path) -> None:
    clock = Clock()
    with Conversation("--hang-after", 0, clock=clock) as talk:
        talk.until_ready().order(tmp_path, TEN)
        listen(talk, clock, 1)
        clock.now += 8 * 3600
        listen(talk, clock, 19)
        assert talk.client.state is ServerState.READY
        listen(talk, clock, 20)
        assert talk.client.state is ServerState.FAILED


def test_a_server_that_was_asked_nothing_may_be_silent() -> None:
    clock = Clock()
    with Conversation(clock=clock) as talk:
        talk.until_ready()
        pid = talk.client.pid
        os.kill(pid, signal.SIGSTOP)
        listen(talk, clock, 1000)
        talk.send("ping")
        listen(talk, clock, 19)
        assert talk.client.state is ServerState.READY
        os.kill(pid, signal.SIGCONT)


def test_pings_keep_a_slow_server_alive(tmp_path: Path) -> None:
    began = time.monotonic()
    journal = tmp_path / "journal"

    def fast() -> float:
        return 10 * (time.monotonic() - began)

    with Conversation("--slow", 3, "--journal", journal, clock=fast) as talk:
        frame = talk.until_ready().order(tmp_path, ["slow.png"])  # 30 s on this clock
        assert talk.settled(frame)
        assert talk.results[frame]["made"] == 1
    assert sum(entry["method"] == "ping" for entry in journal_of(journal)) >= 3


def test_starting_may_take_three_minutes() -> None:
    clock = Clock()
    with Conversation(command=[sys.executable, "-c", "import time; time.sleep(600)"], clock=clock) as talk:
        listen(talk, clock, 100)
        asked = talk.send("ping")
        listen(talk, clock, 79)
        assert talk.client.state is ServerState.STARTING
        listen(talk, clock, 1)
        assert talk.client.message.startswith("The inference server has not started for 180 s")
        assert talk.settled(asked)


@pytest.mark.parametrize("fault", ["--noise", "--dribble"])
def test_noise_and_dribble_cost_nothing(tmp_path: Path, fault: str) -> None:
    with Conversation(fault) as talk:
        frames = talk.order(tmp_path, TEN * 3)
        assert talk.settled(frames)
        assert talk.names("frames/made") == TEN * 3
        assert any("a library prints" in line for line in talk.client.log) == (fault == "--noise")


def test_garble_ends_the_server(tmp_path: Path) -> None:
    with Conversation("--garble-after", 2) as talk:
        frames = talk.order(tmp_path, TEN)
        assert "sent 21 things in a row that are no messages" in talk.until_failed()
        assert talk.settled(frames)
        assert talk.names("frames/made") == TEN[:2]


def test_odd_messages_are_logged_and_dropped() -> None:
    code = """
send(framing.result(999, {}))
send(framing.result(None, {}))
send({"jsonrpc": "2.0"})
send({"method": 5})
send({"method": "frames/made", "params": []})
send(framing.request(1, "are you there"))
for message in messages:
    send({"id": message["id"], "result": "no object"})
"""
    with Conversation(command=scripted(code)) as talk:
        with pytest.raises(errors.ProtocolError, match="without a result"):
            talk.ask("ping")
        assert sum("nothing that was asked" in line for line in talk.client.log) == 3
        assert sum("Not understood" in line for line in talk.client.log) == 3
        assert talk.notifications == []


def test_lies_and_failed_writes_reach_the_caller_as_they_are(tmp_path: Path) -> None:
    with Conversation("--lie") as talk:
        assert talk.settled(talk.order(tmp_path, ["a.png"]))
        assert talk.names("frames/made") == ["a.png", "nobody-ordered-this.png"]
        assert not list(tmp_path.iterdir())
    with Conversation("--fail-writes") as talk:
        frames = talk.order(tmp_path, TEN)
        assert talk.settled(frames)
        assert talk.results[frames] == {"made": 0, "failed": 1, "dropped": 9}
        (_, params), *_ = talk.notifications
        assert params["error"] == {"code": errors.WRITE_FAILED, "message": "No space left on device."}


FLOOD = 'while True:\n    send(framing.notification("count", {"padding": "x" * 100}))\n'


def test_the_inbox_is_bounded_and_a_blocked_reader_still_ends() -> None:
    server = ServerProcess(scripted(FLOOD))
    server.send(framing.encode_message(framing.request(1, "initialize")))
    assert eventually(lambda: server.inbox.qsize() == INBOX_LIMIT)
    assert not eventually(lambda: server.inbox.qsize() > INBOX_LIMIT, 0.2)
    server.inbox.get()
    server.taken()
    assert eventually(lambda: server.inbox.qsize() == INBOX_LIMIT)
    server.kill()
    server.join(PATIENCE)
    assert server.returncode == -signal.SIGKILL
    assert not any(thread.name.startswith("lantern-") for thread in threading.enumerate())


def test_stop_ends_a_server_that_floods() -> None:
    with Conversation(command=scripted(FLOOD)) as talk:
        server = talk.until_ready().client._server
        assert eventually(lambda: server.inbox.qsize() >= INBOX_LIMIT)
        talk.client.stop(patience=0.1)
        assert not any(thread.name.startswith("lantern-") for thread in threading.enumerate())


PARENT = """
import importlib.util, signal, sys, time
{before}
spec = importlib.util.spec_from_file_location("l", {init!r}, submodule_search_locations=[{root!r}])
sys.modules["l"] = importlib.util.module_from_spec(spec)
from l.latent_addon.server.client import InferenceClient, ServerState
client = InferenceClient(lambda *_: None)
client.start({command!r})
{then}
"""
READY_THEN_SLEEP = """
assert client.wait(lambda: client.state is ServerState.READY, 60), client.message
print(client.pid, flush=True)
time.sleep(600)
"""


def run_parent(root: Path, command: list[str], then: str, before: str = "") -> subprocess.Popen[str]:
    code = PARENT.format(before=before, init=str(root / "__init__.py"), root=str(root), command=command, then=then)
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)


def test_a_killed_parent_takes_its_server_along(root: Path) -> None:
    with run_parent(root, fake_command(), READY_THEN_SLEEP) as parent:
        pid = int(parent.stdout.readline())
        assert is_running(pid)
        parent.kill()
        parent.wait()
        assert eventually(lambda: is_gone_or_zombie(pid))


def is_gone_or_zombie(pid: int) -> bool:
    """Return whether the process has ended. In a container, the children of a killed parent may stay as zombies."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return not is_running(pid)


QUITS = ["print(client.pid, flush=True)", "print(client.pid, flush=True); del client"]
QUITS.append("print(client.pid, flush=True); client.dismiss(60.0)")


@pytest.mark.parametrize("then", QUITS, ids=["quits", "forgets", "dismisses"])
def test_a_parent_that_quits_without_stop_kills_a_deaf_server(root: Path, then: str) -> None:
    deaf = [sys.executable, "-c", "import time; time.sleep(600)"]
    with run_parent(root, deaf, then) as parent:
        pid = int(parent.stdout.readline())
        assert parent.wait(PATIENCE) == 0
        assert not is_running(pid)


def test_writing_to_a_dead_server_does_not_raise_sigpipe(root: Path) -> None:
    then = """
assert client.wait(lambda: client.state is ServerState.READY, 60), client.message
import os
import shlex
os.kill(client.pid, signal.SIGSTOP)
for _ in range(20):
    client.request("ping", {"padding": "x" * 100_000}, lambda _: None, lambda _: None)
os.kill(client.pid, signal.SIGKILL)
assert client.wait(lambda: client.state is ServerState.FAILED and not client.pending, 60), client.state
print(client.message)
"""
    before = "signal.signal(signal.SIGPIPE, signal.SIG_DFL)"
    with run_parent(root, fake_command(), then, before) as parent:
        out, _ = parent.communicate(timeout=2 * PATIENCE)
        assert parent.returncode == 0
        assert "killed by SIGKILL" in out


def test_a_forgotten_client_ends_its_server() -> None:
    client = InferenceClient(lambda *_: None)
    client.start(fake_command())
    pid = client.pid
    del client
    gc.collect()
    assert eventually(lambda: not is_running(pid))
