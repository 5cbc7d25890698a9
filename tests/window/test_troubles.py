"""Faults while a person works in the window: a message appears, nothing is lost, and the next click works."""

from __future__ import annotations

import os
import signal

from story import Story


def test_a_server_that_is_killed_while_it_makes_frames_is_started_again(story: Story) -> None:
    story.use_fake_server("--slow", 0.1)
    story.keyed_strip({1: 1}, length=4)
    story.person.press("lantern.randomise(", across=0.25)
    story.operate("lantern.add_latent_strip(length=40)")
    story.operate("lantern.randomise(seed=7)")
    story.operate("lantern.insert_latent_key()")
    story.blender.run("bpy.context.scene.frame_set(40)")
    story.operate("lantern.randomise(seed=8)")
    server = story.blender.until(
        "addon('session.session').session.feeder.busy and addon('session.session').session.client.pid"
    )
    os.kill(server, signal.SIGKILL)
    story.filled()
    assert story.blender.look("addon('session.session').session.client.pid") != server
    assert story.blender.look("addon('session.session').session.halted") == ""
    assert all(name.startswith("c_") for strip in range(2) for name in story.shown(strip))


def test_esc_ends_the_wait_for_a_server_that_does_not_answer(story: Story) -> None:
    story.use_python_that_hangs()
    story.person.press("lantern.add_latent_strip")
    story.blender.until("waiting_operators()")
    story.person.over("SEQUENCE_EDITOR")
    story.person.keys("Escape")
    story.blender.until("not waiting_operators()")
    assert story.strips() == []
    story.use_fake_server()
    story.person.press("lantern.add_latent_strip")
    story.blender.until("strip_rows()")
    story.filled()


def test_repeat_last_works_with_a_server_that_was_stopped(story: Story) -> None:
    story.keyed_strip({1: 1}, length=4)
    story.person.press("lantern.randomise(", across=0.25)
    story.blender.until("not waiting_operators()")
    story.blender.run("addon('session.session').session.client.stop()")
    story.person.over("SEQUENCE_EDITOR")
    story.person.keys("shift+r")
    story.filled()
    assert story.blender.look("addon('session.session').session.halted") == ""
    assert all(name.startswith("c_") for name in story.shown())


def test_the_extension_is_switched_off_and_on_while_frames_are_made(story: Story) -> None:
    story.use_fake_server("--slow", 0.5)
    story.operate("lantern.add_latent_strip(length=60)")
    story.operate("lantern.insert_latent_key()")
    story.blender.run("bpy.context.scene.frame_set(60)")
    story.operate("lantern.randomise(seed=8)")
    server = story.blender.until(
        "addon('session.session').session.feeder.busy and addon('session.session').session.client.pid"
    )
    story.blender.run("import addon_utils\naddon_utils.disable(EXTENSION, default_set=True)")
    story.until_ended(server)
    story.picture("switched_off")
    assert not story.blender.look("hasattr(bpy.types, 'LANTERN_PT_sequencer_strip')")
    story.blender.run("addon_utils.enable(EXTENSION, default_set=True)")
    story.use_fake_server()
    story.person.open_tab()
    story.person.press("lantern.make_frames")
    story.filled()
    assert all(name.startswith("c_") for name in story.shown())


def test_a_file_whose_frames_are_gone_says_so_and_makes_them_again_when_asked(story: Story) -> None:
    path = story.begin("frames_are_gone")
    story.keyed_strip({1: 1, 12: 2})
    before = story.shown()
    story.blender.run("bpy.ops.wm.save_mainfile()")
    # At once: otherwise the session would make them again.
    story.open(path, f"__import__('shutil').rmtree({str(path.parent / 'latent_lantern')!r})")
    story.blender.until("not changes_waiting()")
    story.picture("frames_are_gone")
    assert story.ordered() == [] and not (path.parent / "latent_lantern").exists()
    story.person.press("lantern.make_frames", across=0.9)
    story.filled()
    assert story.shown() == before and set(story.ordered()) == set(before)
