"""What decides the name of a frame."""

from dataclasses import fields, replace

import numpy as np
import pytest

from latent_lantern.lantern_protocol.orders import FrameOrder, RenderSettings, ShadowSettings
from latent_lantern.latent_addon.core.frame_request import (
    FrameNamer,
    FrameRequest,
    GeneratorFacts,
    file_name,
    frame_order,
    shadow_name,
)

FACTS = GeneratorFacts("ab" * 32, "family", 4, 6, 128, 128)
REQUEST = FrameRequest("ab" * 32, "z", np.arange(4, dtype="<f4").tobytes(), RenderSettings(0.7, 8), 128, 128, (4,))

OTHER_VALUES = {
    "checkpoint": "cd" * 32,
    "space": "w",
    "latent": np.ones(4, "<f4").tobytes(),
    "psi": 0.5,
    "cutoff": None,
    "noise": 3,
    "classes": (1.0, 0.0),
    "width": 64,
    "height": 64,
    "shape": (2, 2),
    "toward": "ef" * 32,
    "mix": 0.5,
    "transform": (0.0, 1.0, 0.0, -1.0, 0.0, 0.0, 0.0, 0.0, 1.0),
    "shadow": ShadowSettings(),
}


def changed(**values):
    """The request with other values, of its own fields and of its settings'."""
    own = {field.name for field in fields(RenderSettings)}
    settings = replace(REQUEST.settings, **{name: value for name, value in values.items() if name in own})
    return replace(REQUEST, settings=settings, **{k: v for k, v in values.items() if k not in own})


@pytest.mark.parametrize(
    "field",
    [field.name for each in (FrameRequest, RenderSettings) for field in fields(each) if field.name != "settings"],
)
def test_every_field_is_in_the_name(field):
    assert changed(**{field: OTHER_VALUES[field]}).name() != REQUEST.name()


@pytest.mark.parametrize("field", [field.name for field in fields(ShadowSettings)])
def test_every_shadow_setting_is_in_the_shadows_name_and_in_no_colour_name(field):
    default = getattr(ShadowSettings(), field)
    other = (
        (9, 9, 9, 9) if isinstance(default, tuple) else not default if isinstance(default, bool) else default / 2 + 1
    )
    shadowed = replace(REQUEST, shadow=ShadowSettings())
    other_shadow = replace(REQUEST, shadow=replace(ShadowSettings(), **{field: other}))
    assert other_shadow.name() != shadowed.name()
    assert other_shadow.colour_name() == shadowed.colour_name() == REQUEST.name()


def test_names_stay_what_they_were():
    """If names change, every frame that people have already made is useless."""
    assert REQUEST.name() == "c_9038267280a8e76ed412f67cf1b4dadb2ee6e88c.png"
    assert shadow_name(REQUEST.name(), ShadowSettings()) == "s_bcce3bfdc896d2a3e41f9d4977d41307a517566e.png"


def test_requests_that_differ_in_their_latents_alone_are_named_from_one_beginning():
    for shadow in (None, ShadowSettings(threshold=70.0)):
        namer = FrameNamer(replace(REQUEST, latent=b"", shadow=shadow))
        for latent in (REQUEST.latent, OTHER_VALUES["latent"]):
            request = replace(REQUEST, latent=latent, shadow=shadow)
            colour = namer.colour(latent)
            assert file_name(colour, shadow=False) == request.colour_name()
            assert file_name(namer.shown(colour), shadow=shadow is not None) == request.name()


def test_settings_that_make_no_difference_share_frames():
    assert changed(psi=1.0, cutoff=3).normalised(FACTS) == changed(psi=1.0, cutoff=None)
    quiet = replace(FACTS, has_noise=False)
    assert changed(noise=5).normalised(quiet) == changed(noise="const")
    assert changed(shadow=ShadowSettings(mix=0.0)).normalised(FACTS) == REQUEST
    assert changed(noise=5).normalised(FACTS).settings.noise == 5
    assert changed(toward="ef" * 32).normalised(FACTS) == REQUEST
    assert changed(toward=REQUEST.checkpoint, mix=0.5).normalised(FACTS) == REQUEST
    between = changed(toward="ef" * 32, mix=0.5)
    assert between.normalised(FACTS) == between
    plain = replace(FACTS, has_truncation=False)
    assert REQUEST.normalised(plain) == changed(psi=1.0, cutoff=None)
    moved = changed(transform=OTHER_VALUES["transform"])
    assert moved.normalised(FACTS) == REQUEST
    assert moved.normalised(replace(FACTS, has_transform=True)) == moved


def test_a_latent_has_the_shape_of_its_space():
    facts = replace(FACTS, num_ws=3)
    assert [facts.latent_shape(space) for space in ("Z", "W", "W+")] == [(4,), (6,), (3, 6)]
    assert facts.latent_shape("Z", 2, 3) == (4,)  # only some generators make pictures of other sizes
    assert facts.picture_size(2, 3) == (128, 128)
    canvas = replace(FACTS, canvas_step=16)
    assert canvas.latent_shape("Z", 2, 3) == (4, 2, 3) and canvas.latent_shape("Z") == (4,)
    assert canvas.picture_size(2, 3) == (160, 144)


def test_an_order_survives_the_wire():
    shadow = ShadowSettings(threshold=80.0, softness=1.5)
    request = changed(shadow=shadow, mix=0.25, transform=OTHER_VALUES["transform"])
    order = frame_order(request, 3, request.colour_name(), request.name())
    assert FrameOrder.from_json(order.to_json()).to_json() == order.to_json()
    assert order.shadows[0].source == request.colour_name()
    assert (order.settings.mix, order.settings.transform) == (0.25, OTHER_VALUES["transform"])
