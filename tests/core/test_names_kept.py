"""Frames keep their names for ever: if a name changes, people's frames must all be made again.

The files in tests/fixtures/names were written once and never change. If a case fails, the code is wrong.
"""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from latent_lantern.lantern_protocol.orders import RenderSettings, ShadowSettings
from latent_lantern.latent_addon.core.fcurves import CurveKeys, grouped
from latent_lantern.latent_addon.core.frame_request import (
    FrameNamer,
    FrameRequest,
    GeneratorFacts,
    Snapshot,
    file_name,
    shadow_name,
)
from latent_lantern.latent_addon.core.recipe import LATENT, Look, Recipe, Track
from latent_lantern.latent_addon.core.whole_keys import whole_keys

NAMES = Path(__file__).resolve().parent.parent / "fixtures" / "names"
REQUESTS: dict[str, dict[str, Any]] = json.loads((NAMES / "requests.json").read_text(encoding="utf-8"))
RECIPES: dict[str, dict[str, Any]] = json.loads((NAMES / "recipes.json").read_text(encoding="utf-8"))
"""The field that says what is shown is left out if every frame shows the colour frame."""

Plain = dict[str, Any]


def made_of(plain: Plain) -> FrameRequest | Recipe:
    """The request, or the recipe, made from plain values. Only this function knows how the classes are made."""

    def facts_of(facts: Plain) -> GeneratorFacts:
        return GeneratorFacts(**facts | {"snapshots": tuple(Snapshot(*each) for each in facts.get("snapshots", ()))})

    def shadow_of(settings: Plain | None) -> ShadowSettings | None:
        return settings and ShadowSettings(**{k: tuple(v) if isinstance(v, list) else v for k, v in settings.items()})

    if "tracks" not in plain:
        request = FrameRequest(
            checkpoint=plain["checkpoint"],
            space=plain["space"],
            latent=latent_of(plain["latent"]),
            settings=RenderSettings(
                psi=plain["psi"],
                cutoff=plain["cutoff"],
                noise=plain["noise"],
                classes=tuple(plain["classes"]),
                mix=plain["mix"],
                transform=tuple(plain["transform"]),
            ),
            width=plain["width"],
            height=plain["height"],
            shape=tuple(plain["shape"]),
            toward=plain["toward"],
            shadow=shadow_of(plain["shadow"]),
        )
        return request.normalised(facts_of(plain["facts"])) if plain["facts"] else request

    look = Look(**plain["look"] | {"facts": facts_of(plain["look"]["facts"]), "limits": tuples(plain["limits"])})
    curves = {
        name: {int(member): curve_of(curve) for member, curve in track.get("curves", {}).items()}
        for name, track in plain["tracks"].items()
    }
    tracks = {
        name: Track(
            np.array(track["base"], np.float64),
            grouped(curves[name], plain["origin"]),
            np.array(track.get("sampled", ()), np.intp),
            np.array(track.get("samples", np.empty((0, 0))), np.float64),
        )
        for name, track in plain["tracks"].items()
    }
    whole = whole_keys(curves[LATENT], tracks[LATENT].base) if look.motion != "FCURVE" and curves[LATENT] else None
    return Recipe(plain["start"], plain["end"], plain["origin"], look, tracks, whole)


def tuples(rows: list[list[Any]]) -> tuple[tuple[Any, ...], ...]:
    return tuple(map(tuple, rows))


def latent_of(plain: str | Plain) -> bytes:
    """Little-endian float32: from base64, or `count` numbers from a seed, between -2 and 2, multiples of 2**-16."""
    if isinstance(plain, str):
        return base64.b64decode(plain)
    numbers = np.random.RandomState(plain["seed"]).randint(-(1 << 17), 1 << 17, plain["count"])
    return (numbers / 65536).astype("<f4").tobytes()


def curve_of(plain: Plain) -> CurveKeys:
    """keys: for each, [time, value, time and value of the left handle, of the right handle, interpolation]."""
    rows = np.array(plain["keys"], np.float32)
    places = np.stack([rows[:, 0:2], rows[:, 2:4], rows[:, 4:6]])
    return CurveKeys(places, rows[:, 6].astype(np.int32), plain["extrapolates"])


def names_of(request: FrameRequest) -> dict[str, str]:
    return {"colour": request.colour_name(), "shown": request.name()}


def shown_of(kept: Plain) -> list[str]:
    return kept["names"].get("shown", kept["names"]["colour"])


@pytest.mark.parametrize("case", REQUESTS)
def test_a_request_keeps_its_name(case: str) -> None:
    kept = REQUESTS[case]
    request = made_of(kept["request"])
    assert names_of(request) == kept["names"]


@pytest.mark.parametrize("case", REQUESTS)
def test_the_namer_of_many_frames_gives_the_name_of_each(case: str) -> None:
    kept = REQUESTS[case]
    request = made_of(kept["request"])
    namer = FrameNamer(replace(request, latent=b""))
    colour = namer.colour(request.latent)
    shown = file_name(namer.shown(colour), shadow=request.shadow is not None)
    assert {"colour": file_name(colour, shadow=False), "shown": shown} == kept["names"]
    if request.shadow is not None:
        assert shadow_name(kept["names"]["colour"], request.shadow) == kept["names"]["shown"]


@pytest.mark.parametrize("case", RECIPES)
def test_the_frames_of_a_recipe_keep_their_names(case: str) -> None:
    kept = RECIPES[case]
    recipe = made_of(kept["recipe"])
    colours, shown = recipe.names(0, len(recipe))
    pairs = [(colour.tobytes(), name.tobytes()) for colour, name in zip(colours, shown, strict=True)]
    assert [file_name(colour, shadow=False) for colour, _ in pairs] == kept["names"]["colour"]
    assert [file_name(name, shadow=name != colour) for colour, name in pairs] == shown_of(kept)


@pytest.mark.parametrize("case", RECIPES)
def test_the_requests_of_a_recipe_have_the_names_of_its_frames(case: str) -> None:
    kept = RECIPES[case]
    recipe = made_of(kept["recipe"])
    found = [names_of(request) for request in recipe.requests(0, len(recipe))]
    assert [names["colour"] for names in found] == kept["names"]["colour"]
    assert [names["shown"] for names in found] == shown_of(kept)


def test_what_is_kept_is_a_good_spread() -> None:
    requests = [kept["request"] for kept in REQUESTS.values()]
    assert len(requests) >= 60 and len(RECIPES) >= 10
    assert {request["space"] for request in requests} == {"z", "w"}
    assert {len(request["shape"]) for request in requests} == {1, 2, 3}
    assert {recipe["recipe"]["look"]["motion"] for recipe in RECIPES.values()} == {
        *("FCURVE", "SPHERICAL", "GREAT_CIRCLE"),
    }
