"""Set Up Inference, by clicks in the preferences: planned, installed from a folder of tiny wheels, ready."""

from __future__ import annotations

from pathlib import Path

from story import Story

from tests.fake_wheels import write_server, write_wheels


def use_tiny_wheels(story: Story) -> None:
    """Let the real engine install for a server that needs only tiny packages."""
    server, wheels = write_server(story.folder / "server"), write_wheels(story.folder / "wheels")
    story.blender.run(
        "import sys, pathlib\n"
        "inference = addon('session.runtime').runtime\n"
        "inference._setup = addon('environments.installation').Setup(\n"
        f"    inference.setup.folder, pathlib.Path({str(server)!r}), pathlib.Path(sys.executable))\n"
        f"addon('preferences').preferences().wheels_folder = {str(wheels)!r}\n"
        "inference.look()"
    )


def test_inference_is_set_up_by_clicks(story: Story) -> None:
    blender, person = story.blender, story.person
    blender.run("addon('preferences').preferences().server_python = ''")
    person.press("lantern.add_latent_strip")
    story.picture("not_set_up")
    person.keys("Escape")  # the report goes away
    person.over("VIEW_3D")
    person.see()
    assert blender.look("cut_in_panels('SEQUENCE_EDITOR')")["cut"] == []
    person.press("preferences.addon_show")
    blender.until("any(area.type == 'PREFERENCES' for area in windows()[-1].screen.areas)")
    person.see()
    person.press("lantern.set_up_inference", "PREFERENCES", "WINDOW")
    blender.until("addon('session.runtime').runtime.plan is not None")
    story.picture("inference_plan")
    assert blender.look("cut_in_panels('SEQUENCE_EDITOR')")["cut"] == []
    person.press("lantern.cancel_set_up", "PREFERENCES", "WINDOW", across=0.8)
    assert not blender.look("__import__('os').path.exists(addon('session.runtime').runtime.setup.folder)")

    use_tiny_wheels(story)
    person.press("lantern.set_up_inference", "PREFERENCES", "WINDOW")
    blender.until("addon('session.runtime').runtime.plan is not None")
    person.press("lantern.install_inference", "PREFERENCES", "WINDOW", across=0.3)
    blender.until("addon('session.runtime').runtime.status.state.name == 'READY'")
    story.picture("inference_ready")
    python = Path(blender.look("str(addon('session.runtime').runtime.setup.status.python)"))
    assert python.exists() and story.folder in python.parents
