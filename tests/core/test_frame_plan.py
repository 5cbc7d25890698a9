"""Plans: filled in piece by piece, kept where an edit changes nothing, asked for from the playhead outwards."""

from dataclasses import replace

import numpy as np
import pytest

from latent_lantern.lantern_protocol.orders import RenderSettings, ShadowSettings
from latent_lantern.latent_addon.core.frame_plan import FramePlan, planned, wanted
from latent_lantern.latent_addon.core.frame_request import DIGEST, FrameRequest
from latent_lantern.latent_addon.core.ranges import Ranges

REQUEST = FrameRequest("ab" * 32, "z", b"", RenderSettings(0.7, 8), 128, 128, (4,))
SHADOW = ShadowSettings()


class Numbers:
    """A strip whose latents are given numbers; `asked` lists the pieces that were named."""

    def __init__(self, start, values, **settings):
        self.start = start
        self.width = 4
        self._requests = [replace(REQUEST, latent=np.full(4, value, "<f4").tobytes(), **settings) for value in values]
        self.asked = []

    def __len__(self):
        return len(self._requests)

    def requests(self, first, end):
        return self._requests[first:end]

    def names(self, first, end):
        self.asked.append((first, end))

        def digests(names):
            return np.frombuffer(b"".join(bytes.fromhex(name[2:-4]) for name in names), np.uint8).reshape(-1, DIGEST)

        chosen = self._requests[first:end]
        return digests([r.colour_name() for r in chosen]), digests([r.name() for r in chosen])


def whole(start, values, present=(), **settings):
    plan = FramePlan(Numbers(start, values, **settings))
    plan.complete(present)
    return plan


def test_a_plan_knows_what_is_missing():
    plan = whole(10, range(5))
    assert plan.missing() == [10, 11, 12, 13, 14] and plan.done == 0 and plan.lacks
    there = {plan.at(12).name}
    assert plan.note(there) == {2: plan.name_at(12)}
    assert plan.missing() == [10, 11, 13, 14]
    assert plan.note(there, there=False) == {2: plan.name_at(12)} and plan.done == 0
    assert plan.at(9) is None and plan.at(15) is None and plan.name_at(9) is None
    assert whole(10, range(5), plan.files()).missing() == []


def test_names_are_those_of_the_requests():
    for shadow in (None, SHADOW):
        plan = whole(1, range(300), shadow=shadow)
        for frame in plan.frames:
            assert (frame.colour, frame.name) == (frame.request.colour_name(), frame.request.name())
        assert plan.files() == {name for frame in plan.frames for name in (frame.colour, frame.name)}


def test_a_plan_is_the_same_in_whatever_pieces_it_is_filled_in():
    at_once = whole(1, range(100), shadow=SHADOW)
    present = set(at_once.names(20, 40))
    pieces = FramePlan(Numbers(1, range(100), shadow=SHADOW))
    left, taken = Ranges([(0, 100)]), []
    while left:
        first, end = left.take(30, 7)
        pieces.fill_in(first, end, present)
        taken.append((first, end))
        assert len(pieces.unknown) == len(left)
        assert all((pieces.name_at(i + 1) is None) == (i in left) for i in range(100))
    assert taken[0] == (30, 37)
    assert pieces.names(0, 100) == at_once.names(0, 100)
    assert pieces.missing() == [i for i in range(1, 101) if not 21 <= i <= 40]
    assert sorted(pieces.source.asked) == sorted(taken)  # nothing was named twice


def test_ranges_are_taken_from_the_middle_outward_and_whole():
    left, seen = Ranges([(0, 10), (20, 25)]), []
    distances = []
    while left:
        first, end = left.take(12, 3)
        assert 0 < end - first <= 3
        seen += range(first, end)
        distances.append(min(abs(first - 12), abs(end - 1 - 12)))
    assert sorted(seen) == [*range(10), *range(20, 25)]
    assert distances == sorted(distances)
    assert left.take(0, 5) is None and len(left) == 0


def test_what_an_edit_does_not_reach_stays_known():
    old = whole(1, range(50), ())
    old.note({old.name_at(5), old.name_at(45)})
    values = [100 + i if 20 <= i <= 29 else i for i in range(50)]
    plan = FramePlan.after(Numbers(1, values), old, 0, (20.0, 29.0))
    assert list(plan.unknown) == [(20, 30)]
    assert plan.done == 2 and plan.name_at(25) is None and plan.name_at(24 + 10) == old.name_at(34)
    plan.complete(())
    assert plan.source.asked == [(20, 30)]
    assert plan.names(0, 50) == whole(1, values).names(0, 50)
    assert plan.missing() == [i for i in range(1, 51) if i not in (5, 45)]


@pytest.mark.parametrize(("shift", "count"), [(10, 30), (-10, 70), (60, 20), (-80, 20), (0, 50)])
def test_a_trimmed_or_extended_strip_goes_on_with_what_it_knows(shift, count):
    old = whole(1, range(50))
    values = range(shift, shift + count)
    plan = FramePlan.after(Numbers(1 + shift, values), old, shift, None)
    assert len(plan.unknown) == len([v for v in values if not 0 <= v < 50])
    plan.complete(())
    assert plan.names(0, count) == whole(1 + shift, values).names(0, count)


def test_an_edit_of_a_plan_that_is_not_complete_leaves_the_rest_to_do():
    old = FramePlan(Numbers(1, range(50)))
    old.fill_in(10, 30, ())
    plan = FramePlan.after(Numbers(1, range(50)), old, 0, (25.0, 27.0))
    assert list(plan.unknown) == [(0, 10), (25, 28), (30, 50)]


def test_files_are_found_by_name_wherever_they_are_shown():
    plan = whole(1, [3, 5, 3, 7, 3])
    name = plan.name_at(1)
    assert plan.places([name, plan.name_at(4), "c_" + "0" * 40 + ".png", "placeholder_16x16.png"]) == {
        name: [0, 2, 4],
        plan.name_at(4): [3],
    }
    half = FramePlan(Numbers(1, [3, 5, 3, 7, 3]))
    half.fill_in(2, 4, ())
    assert half.places([name]) == {name: [2]}


def test_held_frames_are_one_file():
    held = whole(1, [1, 1, 1, 2])
    assert held.frames[0] == held.frames[1]
    assert len(held.files()) == 2
    assert [each.number for each in wanted([(held, 2)])] == [1, 3]


def test_frames_are_wanted_outward_from_the_playhead():
    plan = whole(1, range(7))
    assert [each.number + 1 for each in wanted([(plan, 4)])] == [4, 5, 3, 6, 2, 7, 1]
    plan.note({plan.name_at(5)})
    assert [each.number + 1 for each in wanted([(plan, 100)])] == [7, 6, 4, 3, 2, 1]


def test_what_someone_looks_at_is_wanted_first():
    plan, other = whole(1, range(7)), whole(1, range(3), checkpoint="cd" * 32)
    plan.note({plan.name_at(6)})
    looked_at = {plan.name_at(7), plan.name_at(6), plan.name_at(1), other.name_at(3), "c_" + "0" * 40 + ".png"}
    order = [(each.plan, each.number + 1) for each in wanted([(plan, 4), (other, 1)], looked_at)]
    assert order[:3] == [(plan, 1), (plan, 7), (other, 3)]
    assert order[3:] == [(plan, 4), (other, 1), (plan, 5), (other, 2), (plan, 3), (plan, 2)]


def test_what_is_not_planned_yet_is_not_wanted_yet():
    plan = FramePlan(Numbers(1, range(100)))
    assert not plan.lacks and list(wanted([(plan, 50)])) == []
    plan.fill_in(40, 60, ())
    assert {each.number for each in wanted([(plan, 1)])} == set(range(40, 60))
    assert plan.missing() == list(range(1, 101))
    assert [frame.name for frame in plan.frames] == [frame.name for frame in whole(1, range(100)).frames]


def test_two_strips_share_the_device_by_distance_and_what_they_have_in_common():
    one, other = whole(1, range(3)), whole(1, range(3), checkpoint="cd" * 32)
    order = list(wanted([(one, 1), (other, 1), (one, 1)]))
    assert len(order) == 6
    assert {order[0].name, order[1].name} == {one.at(1).name, other.at(1).name}
    assert [frame.name for frame in planned(order)] == [each.name for each in order]
    assert all(frame.request.name() == frame.name for frame in planned(order))


def test_a_frame_costs_a_few_bytes_not_an_object():
    plan = whole(1, range(1000))
    held = sum(value.nbytes for value in vars(plan).values() if isinstance(value, np.ndarray))
    assert held <= 64 * 1000
