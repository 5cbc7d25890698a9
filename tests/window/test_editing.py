"""Keys, strips, shadows and undo, with pointer and keyboard; the fake server shows what was ordered."""

from __future__ import annotations

from story import Story


def edit_curves(story: Story) -> None:
    """Turn the 3D Viewport into a Graph Editor that shows all keys."""
    story.person.over("VIEW_3D")
    story.person.keys("shift+F6")
    story.person.over("GRAPH_EDITOR")
    story.person.keys("n", "Home")


def drag_keys(story: Story, frame: int, by: str) -> None:
    """Box-select the keys of a frame in the Graph Editor and drag them along the time."""
    person = story.person
    _x, bottom, _width, height = story.blender.look("rectangle('GRAPH_EDITOR', 'WINDOW')")
    left, right = (story.place_in_view("GRAPH_EDITOR", frame + beside, 0)[0] for beside in (-1.5, 1.5))
    person.drag((left, bottom + 40), (right, bottom + height - 60))
    person.keys("g", "x", *by, "Return")


def test_dragged_keys_have_only_the_frames_around_them_made_again(story: Story) -> None:
    story.keyed_strip({1: 1, 12: 2, 24: 3, 36: 4}, length=36)
    # When one key is moved, Blender changes automatic handles of other keys too, and so every frame of an F-curve.
    story.blender.run("latent_strips()[0].latent_lantern.interpolation = 'GREAT_CIRCLE'")
    story.filled()
    story.forget_orders()
    before = story.shown()
    edit_curves(story)
    drag_keys(story, 12, "4")
    story.filled()
    after, ordered = story.shown(), story.ordered()
    story.picture("keys_dragged")
    assert story.key_frames() == [1, 16, 24, 36]
    assert after[0] == before[0] and after[15] == before[11] and after[23:] == before[23:]
    assert set(ordered) == set(after) - set(before) and len(ordered) == len(set(ordered))

    story.person.over("GRAPH_EDITOR")
    story.person.keys("ctrl+z")
    story.filled()
    assert story.shown() == before and story.key_frames() == [1, 12, 24, 36]
    story.person.keys("ctrl+shift+z")
    story.filled()
    assert story.shown() == after and story.key_frames() == [1, 16, 24, 36]
    assert story.ordered() == []


def test_shadows_come_and_go_without_the_generator(story: Story) -> None:
    story.keyed_strip({1: 1, 12: 2})
    colours = story.shown()
    plain = story.picture("colours", "SEQUENCE_EDITOR", "PREVIEW")
    story.person.click(story.person.header("Shadow", across=0.1))
    story.filled()
    shadows = story.shown()
    assert {name[:2] for name in colours} == {"c_"} and {name[:2] for name in shadows} == {"s_"}
    assert set(story.ordered()) == set(shadows)
    shadow = story.picture("shadows", "SEQUENCE_EDITOR", "PREVIEW")
    assert story.changed(plain, shadow) > 0.05
    story.person.click(story.person.header("Shadow", across=0.1))
    story.filled()
    assert story.shown() == colours and story.ordered() == []
    assert story.changed(plain, story.picture("colours_again", "SEQUENCE_EDITOR", "PREVIEW")) < 0.01
    story.person.over("SEQUENCE_EDITOR")
    story.person.keys("ctrl+z")
    story.filled()
    assert story.shown() == shadows and story.ordered() == []


def test_a_strip_is_moved_duplicated_and_cut_without_a_frame_made_again(story: Story) -> None:
    story.keyed_strip({1: 1, 12: 2, 24: 3})
    frames = story.shown()
    person = story.person
    # High up, because the panel of the last operation opens over the lowest channels.
    story.blender.run("latent_strips()[0].channel = 5")
    person.over("SEQUENCE_EDITOR")
    person.keys("Home")

    person.click(story.place_in_view("SEQUENCE_EDITOR", 12, 5.3))
    person.keys("g", "1", "0", "Return")
    story.filled()
    assert story.strips() == [("Latent", 5, 11, 34)] and story.shown() == frames
    assert story.key_frames() == [11, 22, 34]

    person.click(story.place_in_view("SEQUENCE_EDITOR", 22, 5.3))
    person.keys("shift+d", "4", "0", "Return")
    story.filled()
    assert [strip[1:] for strip in story.strips()] == [(5, 11, 34), (5, 51, 74)]
    assert story.shown(0) == frames and story.shown(1) == frames

    story.blender.run("bpy.context.scene.frame_set(23)")
    person.click(story.place_in_view("SEQUENCE_EDITOR", 17, 5.3))
    person.keys("k")
    story.filled()
    assert [strip[1:] for strip in story.strips()] == [(5, 11, 22), (5, 23, 34), (5, 51, 74)]
    story.picture("cut")
    assert story.shown(0) + story.shown(1) == frames
    assert story.ordered() == []

    for _ in ("cut", "selected", "duplicated", "selected", "moved"):
        person.keys("ctrl+z")
    story.filled()
    assert story.strips() == [("Latent", 5, 1, 24)] and story.shown() == frames
    assert story.ordered() == []
