"""The feeder with two wanters: whose frames are ordered, in which order, and what replaces what."""

from __future__ import annotations

from pathlib import Path

import pytest

from latent_lantern.lantern_protocol import errors
from latent_lantern.lantern_protocol.params import GeneratorFile
from latent_lantern.latent_addon.core.wanting import first_lacking
from latent_lantern.latent_addon.session.feeding import WINDOW, Feeder
from latent_lantern.latent_addon.session.wanters import Wanters
from test_frame_plan import whole

FOLDER = Path("frames")


class Client:
    """Keeps what it is asked, as the client of a server that does not answer."""

    def __init__(self):
        self.requests = []
        self.refuse = self.end = None

    def ask(self, method, params, answered, failed):
        self.requests.append((method.name, params.to_json()))
        self.end, self.refuse = answered, failed

    def taken(self):
        """Job and names of the orders since this was last asked."""
        orders = [(params["job"], [f["name"] for f in params.get("frames", ())]) for _, params in self.requests]
        self.requests.clear()
        return orders


class Wanter:
    """Wants the frames of one plan."""

    def __init__(self, priority, plan, at=0):
        self.priority = priority
        self.plan, self.at = plan, at
        self.looks_at = set()
        self.known = True
        self.failures = []

    def plans(self):
        return [(self.plan, self.at)]

    def looked_at(self):
        return self.looks_at

    def generator(self, sha256):
        return GeneratorFile(None, sha256) if self.known else None

    def files_in_use(self):
        return self.plan.files()

    def made(self, names):
        self.plan.note(names)

    def failed(self, reason):
        self.failures.append(reason)

    def look_again(self, present):
        self.plan.fill_in(0, len(self.plan), present)

    @property
    def names(self):
        return self.plan.names(0, len(self.plan))


class Table:
    """A client, a feeder, and the frames that are there."""

    def __init__(self):
        self.client = Client()
        self.failures = []
        self.feeder = Feeder(self.client, lambda *failure: self.failures.append(failure))
        self.present = set()

    def feed(self, *wanters):
        """Feed them, and return what was ordered."""
        self.nameless = self.feeder.feed(wanters, self.present, FOLDER)
        return self.client.taken()

    def make(self, names, *wanters):
        """Let frames be made."""
        self.present.update(names)
        self.feeder.made(names)
        for wanter in wanters:
            wanter.made(names)


@pytest.fixture
def table():
    return Table()


def test_nothing_of_a_lower_priority_is_ordered_while_a_higher_one_lacks_frames(table):
    strip, sheet = Wanter(0, whole(0, range(6))), Wanter(1, whole(0, range(100, 106)))
    assert table.feed(sheet, strip) == [(1, strip.names)]
    assert table.feed(sheet, strip) == []  # they are on order, and not there
    table.make(strip.names[:5], strip, sheet)
    assert table.feed(sheet, strip) == []
    table.make(strip.names[5:], strip, sheet)
    assert table.feed(sheet, strip) == [(2, sheet.names)]
    table.make(sheet.names, strip, sheet)
    assert table.feed(sheet, strip) == [] and not table.feeder.busy


def test_a_higher_priority_replaces_the_orders_of_a_lower_one_which_are_ordered_again(table):
    strip, sheet = Wanter(0, whole(0, range(3))), Wanter(1, whole(0, range(100, 200)))
    table.present.update(strip.names)
    strip.look_again(table.present)
    assert table.feed(strip, sheet) == [(1, sheet.names[:WINDOW])]
    table.make(sheet.names[:2], strip, sheet)
    strip.plan = whole(0, range(50, 53))  # an edit
    assert table.feeder.is_due(first_lacking([strip, sheet]), table.present)
    assert table.feed(strip, sheet) == [(2, strip.names)]
    assert table.feeder.busy_for(strip) and not table.feeder.busy_for(sheet)
    table.make([sheet.names[2]], strip, sheet)  # what the device had begun
    table.make(strip.names, strip, sheet)
    assert table.feed(strip, sheet) == [(3, sheet.names[3 : 3 + WINDOW])]


def test_a_frame_that_both_want_is_ordered_once_and_is_there_for_both(table):
    strip, sheet = Wanter(0, whole(0, range(4))), Wanter(1, whole(0, range(2, 8)))
    assert table.feed(strip, sheet) == [(1, strip.names)]
    table.make(strip.names, strip, sheet)
    assert table.feed(strip, sheet) == [(2, sheet.names[2:])]


def test_orders_that_a_higher_priority_wants_too_are_kept(table):
    strip, sheet = Wanter(0, whole(0, range(2))), Wanter(1, whole(0, range(10, 13)))
    table.make(strip.names, strip)
    assert table.feed(strip, sheet) == [(1, sheet.names)]
    strip.plan = whole(0, range(10, 14))
    assert table.feed(strip, sheet) == [(1, strip.names[3:])]


def test_equals_are_served_by_the_distance_from_their_playheads(table):
    one, other = Wanter(0, whole(0, range(5)), at=2), Wanter(0, whole(0, range(20, 25)), at=0)
    ((_job, ordered),) = table.feed(one, other)
    assert ordered[:3] == [one.names[2], other.names[0], one.names[3]]
    assert sorted(ordered) == sorted(one.names + other.names)
    assert table.feeder.busy_for(one) and table.feeder.busy_for(other)


def test_what_someone_looks_at_in_a_sheet_waits_for_strips_and_not_for_the_rest_of_the_sheet(table):
    strip, sheet = Wanter(0, whole(0, range(3))), Wanter(1, whole(0, range(100, 300)))
    sheet.looks_at, sheet.at = {sheet.plan.name_at(150)}, 150
    assert table.feed(strip, sheet) == [(1, strip.names)]
    table.make(strip.names, strip, sheet)
    ((_job, first),) = table.feed(strip, sheet)
    assert first[0] == sheet.plan.name_at(150)
    sheet.looks_at, sheet.at = {sheet.plan.name_at(20)}, 20
    assert table.feeder.is_due([sheet], table.present)
    ((_job, first),) = table.feed(strip, sheet)
    assert first[0] == sheet.plan.name_at(20)


def test_a_failure_names_the_wanter_that_it_was_ordered_for(table):
    strip, sheet = Wanter(0, whole(0, range(3))), Wanter(1, whole(0, range(100, 103)))
    for wanter in (strip, sheet):
        table.feed(strip, sheet)
        error = errors.ProtocolError(errors.CHECKPOINT_CHANGED, "It has changed.")
        table.client.refuse(error)
        assert table.failures.pop() == (error, wanter.names, [wanter])
        assert not table.feeder.busy
        table.feed(strip, sheet)
        assert table.feeder.wanters_of([*wanter.names, "c_nobody.png"]) == [wanter]
        table.client.end({})  # neither made nor failed
        (error, names, wanters) = table.failures.pop()
        assert "skipped 3 frames" in str(error) and names == wanter.names and wanters == [wanter]
        table.make(wanter.names, wanter)


def test_what_became_of_replaced_orders_is_nobody_s_failure(table):
    strip, sheet = Wanter(0, whole(0, ())), Wanter(1, whole(0, range(100, 103)))
    table.feed(strip, sheet)
    end, refuse = table.client.end, table.client.refuse
    strip.plan = whole(0, range(3))
    table.feed(strip, sheet)
    end({"made": 0, "failed": 0, "dropped": 3})
    refuse(errors.ProtocolError(errors.INTERNAL_ERROR, "Late."))
    assert table.failures == [] and table.feeder.busy_for(strip)


def test_a_wanter_whose_generator_has_no_name_orders_nothing(table):
    sheet = Wanter(1, whole(0, range(3)))
    sheet.known = False
    assert table.feed(sheet) == [] and not table.feeder.busy
    assert table.nameless == [sheet]
    other = Wanter(1, whole(0, range(3, 6)))  # of the same generator, whose name it knows
    ((_job, ordered),) = table.feed(sheet, other)
    assert sorted(ordered) == sorted(sheet.names + other.names) and table.nameless == []


def test_a_wanter_that_was_given_up_is_not_asked_until_it_changes(table):
    strip, sheet, takes = (Wanter(n, whole(0, range(10 * n, 10 * n + 3))) for n in range(3))
    wanters = Wanters(strip)
    for wanter in (sheet, takes, sheet):
        wanters.add(wanter)
    assert list(wanters) == [strip, sheet, takes]
    table.make(strip.names, strip)
    assert wanters.first_lacking(urgent_only=False) == [sheet]
    assert wanters.first_lacking(urgent_only=True) == []
    wanters.give_up(sheet, "It failed.")
    assert sheet.failures == ["It failed."]
    assert wanters.first_lacking(urgent_only=False) == [takes]
    wanters.forgive(sheet)
    assert wanters.first_lacking(urgent_only=False) == [sheet]
    wanters.give_up(strip, "It failed.")
    strip.plan = whole(0, range(50, 53))
    assert wanters.first_lacking(urgent_only=True) == [strip]  # it has its own way to say that it wants no more
    assert wanters.files_in_use() == {name for wanter in wanters for name in wanter.plan.files()}
    wanters.remove(sheet)
    assert list(wanters) == [strip, takes]
    wanters.forget_file()
    assert list(wanters) == [strip]
