"""People: two on chairs at the ends of the table, two behind it."""

from __future__ import annotations

import math

from .heads import Head
from .knobs import Knobs, ramp
from .pen import Colour, Pen, shade

METAL: Colour = (214, 222, 230)
Point = tuple[float, float]


def bent(shoulder: Point, hand: Point, upper: float, lower: float, bend: int) -> Point:
    """Return the elbow between shoulder and hand, from the two lengths of an arm; ``bend`` 1 or -1 is its side."""
    dx, dy = hand[0] - shoulder[0], hand[1] - shoulder[1]
    far = math.hypot(dx, dy)
    share = (upper * upper - lower * lower + far * far) / (2 * far)
    out = math.sqrt(max(0.0, upper * upper - share * share) + 0.5)  # never quite straight: the elbow stays smooth
    return (
        shoulder[0] + (share * dx - bend * out * dy) / far,
        shoulder[1] + (share * dy + bend * out * dx) / far,
    )


def draw_arm(pen: Pen, knobs: Knobs, shoulder: Point, hand: Point, bend: int, colours: dict[str, Colour]) -> None:
    """Draw an arm and what its hand holds: a spoon, nothing (spread fingers) or a cup. Each grows from nothing."""
    far = math.dist(shoulder, hand)
    length = max(0.53 * far, 11.5)
    elbow = bent(shoulder, hand, length, length, bend)
    held = knobs.places["held"]
    spoon, cup, empty = ramp(held, 0.4, 0.12), ramp(held, 0.6, 0.88), ramp(abs(held - 0.5), 0.2, 0.05)
    lower = math.atan2(hand[1] - elbow[1], hand[0] - elbow[0])
    upright = 0.35 * math.cos(lower)
    tool = pen.moved(*hand, turn=upright)
    tool.limb([(0, 2 * spoon), (0, -9 * spoon)], [1.1 * spoon, 1.1 * spoon], METAL, 0.7)
    tool.oval(0, -11.5 * spoon, 2.7 * spoon, 3.8 * spoon, METAL, 0.8)
    if cup > 0.02:
        glass = [(-4.3, -10.5), (4.3, -10.5), (3.4, -3), (1.2, -0.5), (1.2, 4.5), (3.2, 5.6), (-3.2, 5.6), (-1.2, 4.5)]
        glass += [(-1.2, -0.5), (-3.4, -3)]
        tool.piece([(x * cup, y * cup) for x, y in glass], colours["cup"], 0.8 * cup)
    for spread in (-0.6, -0.05, 0.5):
        tip = (hand[0] + 6.6 * empty * math.cos(lower + spread), hand[1] + 6.6 * empty * math.sin(lower + spread))
        pen.limb([hand, tip], [1.5, 1.3 * empty + 0.2], colours["skin"], 0.6 * empty)
    pen.limb([shoulder, elbow, hand], [4.3, 3.6, 2.9], colours["sleeve"])
    pen.disc(*hand, 3.5, colours["skin"], 0.7)


def draw_seated(pen: Pen, knobs: Knobs, colours: dict[str, Colour], table: float) -> None:
    """Draw a person on a chair, turned to +x.

    The origin is the hip, 30 units above the floor; ``table`` is the y of the table.
    """
    wood, cloth = colours["wood"], colours["cloth"]
    for x in (-9.5, 8):
        pen.limb([(x, 6), (x - 0.5, 30)], [1.7, 1.6], wood, 0.7)
    pen.limb([(-10, 6), (-12, -20)], [1.9, 1.9], wood, 0.7)
    pen.limb([(-10, 6), (10, 6)], [1.9, 1.9], wood, 0.7)
    tall = knobs.between("height", 0.92, 1.06)
    legs = shade(colours["trousers"], 0.9)
    tuck = knobs.between("reach", -2, 4)
    pen.limb([(0, 0), (18, -0.5), (17 + tuck, 25)], [5.6, 4.6, 3.4], legs)
    pen.blob([(13.5 + tuck, 30), (14 + tuck, 25.5), (19 + tuck, 25), (25 + tuck, 27.5), (25.5 + tuck, 30)], wood, 0.7)
    body = pen.moved(0, 0, turn=knobs.between("lean", -0.06, 0.07), size=tall)
    body.blob(
        [(-8, 4), (-9.3, -8), (-8.5, -21), (-5, -27.5), (2, -28.5), (7, -23), (8.8, -11), (8.5, 3), (0, 6)], cloth
    )
    grown = knobs.grown("collar")
    for y, half in ((-16, 6.6), (-7, 7.2)):
        body.limb([(-half, y), (half, y)], [1.6 * grown] * 2, colours["band"], 0)
    body.limb([(-4.5, -26.5), (3.5, -26.5)], [2.6 * grown] * 2, colours["band"], 0)
    head = body.moved(0.4, -29, turn=knobs.between("tilt", -0.08, 0.2))
    Head(head, knobs, colours, knobs.between("turn", 0.72, 1.2)).draw()
    lift, reach = knobs.either("arm"), knobs.between("reach", -1.5, 2.0)
    # From the plate, straight ahead, next to the face, to above it: on this path the hand never covers a face.
    resting, raised = (22.5 + reach, table - 4), (23.5 + 0.5 * reach, -51.0)
    back = 3.5 * math.sin(math.pi * lift)
    hand = (resting[0] + (raised[0] - resting[0]) * lift - back, resting[1] + (raised[1] - resting[1]) * lift)
    draw_arm(pen, knobs, (1.5, -20.5 * tall), hand, 1, colours)


def draw_behind(pen: Pen, knobs: Knobs, colours: dict[str, Colour], turn: float) -> None:
    """Draw a person behind the table, seen from the front.

    The origin is the middle of the body at the table's edge. ``turn`` is added to the turn of the head, in radians. The
    arm at -x moves.
    """
    size = knobs.either("height", 0.76, 1.0)
    body = pen.moved(0, 0, turn=knobs.between("lean", -0.09, 0.06))
    body = body.moved(0, 0, size=size)
    body.blob([(-10, 6), (-9.6, -6), (-8, -14), (-3, -17), (3, -17), (8, -14), (9.6, -6), (10, 6)], colours["cloth"])
    grown = knobs.grown("collar")
    body.limb([(-4.5, -15.5), (0, -13), (4.5, -15.5)], [2.3 * grown] * 3, colours["band"], 0)
    for y in (-8.5, -3.8):
        body.disc(0, y, 1.5 * grown, colours["band"])
    # A child's head is nearly as large as an adult's.
    head = body.moved(0, -17, turn=knobs.between("tilt", -0.16, 0.16), size=0.81 / size**0.7)
    Head(head, knobs, colours, knobs.between("turn", -0.55, 0.55) + turn).draw()
    draw_arm_at_rest(body, colours)
    lift, reach = knobs.either("arm"), knobs.between("reach", -1.0, 1.0)
    hand = (-10 - 5.5 * lift + reach, -2.5 - 25 * lift)
    draw_arm(body, knobs, (-8.2, -12.5), hand, -1, colours)


def draw_arm_at_rest(pen: Pen, colours: dict[str, Colour]) -> None:
    """Draw the other arm, which lies on the table."""
    pen.limb([(8.2, -12), (10.5, -4.5), (5.5, -1.5)], [3.7, 3.2, 2.6], colours["sleeve"])
    pen.disc(4.6, -1.6, 2.9, colours["skin"], 0.6)
