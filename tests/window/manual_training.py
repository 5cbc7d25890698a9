"""Make the picture of the panel Training: a data set of a strip's frames, and a training that continues its generator.

`python3 dev.py pictures` runs this, with the real server: it takes minutes.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import BlenderWindow, window
from manual_pictures import document, sidebar
from story import Story

pytestmark = pytest.mark.pictures


@pytest.fixture(scope="module")
def blender(folder: Path) -> Iterator[BlenderWindow]:
    """A Blender with room for the whole panel."""
    with window(folder, "--factory-startup", size=(1600, 1350)) as blender:
        yield blender


@pytest.fixture(scope="module")
def story(arranged: Story) -> Story:
    """A strip of many pictures, and a separate training folder."""
    arranged.begin("training")
    arranged.use_server()
    arranged.keyed_strip({1: 3, 16: 7, 32: 31, 48: 12, 64: 27}, length=64)
    arranged.blender.run(
        f"addon('preferences').preferences().training_folder = {str(arranged.folder / 'Training')!r}\n"
        "form = addon('training.properties').training_form(bpy.context.scene)\n"
        "form.source, form.size, form.data_set_name = 'STRIP', '256', 'Dinner'\n"
        "form.start, form.hours, form.run_name = 'STRIP', 0.05, 'Dinner at Home'"
    )
    return arranged


def test_a_training(story: Story) -> None:
    person, blender = story.person, story.blender
    for label in ("Training", "Drawing", "Shadow", "Latent Strip"):
        person.click(person.header(label))
        person.see()
    person.press("lantern.make_data_set")
    blender.until(
        "addon('training.training').training.ready_data_sets and not addon('training.training').training.working"
    )
    across, up = person.find("latent_lantern_training.source", across=0.7)
    person.click((across, up + 25))  # the name of the inner panel, which folds it
    person.press("lantern.start_training")
    training = "addon('training.training').training.runs[0]"
    blender.until(f"addon('training.training').training.runs and {training}.picture and {training}.status.done", 600.0)
    person.over("SEQUENCE_EDITOR")
    person.see(after=5.0)  # the picture is read in a different thread
    document(story, "training_panel", sidebar(story))
    person.press("lantern.stop_job", across=0.3)
    blender.until("not addon('training.training').training.working", 120.0)
