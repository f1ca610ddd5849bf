"""Filters that end events by their name: `eventpub/tracking/filters.py`."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventpub.schemas.event.ttypes import Event as ThriftEvent
from eventpub.tracking import EventEmissionExit, MemoryBackend, NameAllowlist, RegexFilter, Tracker
from eventpub.tracking.errors import FilterError

NAMES = ["edx.course.enrolled", "edx.video.played", "shop.edx.bought", "page_view"]


def passing(*processors: Any) -> list[str]:
    memory = MemoryBackend()
    tracker = Tracker({"m": memory}, processors=processors)
    for name in NAMES:
        tracker.emit(name)
    return memory.names


def test_an_allowlist_lets_events_pass_that_match_an_expression_from_their_beginning():
    assert passing(RegexFilter("allowlist", [r"edx\."])) == NAMES[:2]


def test_a_blocklist_ends_events_that_match_an_expression_from_their_beginning():
    assert passing(RegexFilter("blocklist", [r"edx\."])) == NAMES[2:]


def test_one_of_several_expressions_is_enough():
    assert passing(RegexFilter("allowlist", [r"edx\.video", r"page_view$"])) == [NAMES[1], NAMES[3]]
    assert passing(RegexFilter("blocklist", [r"edx\.video", re.compile("PAGE", re.IGNORECASE)])) == [
        NAMES[0],
        NAMES[2],
    ]


def test_an_expression_that_ends_in_a_dollar_matches_whole_names():
    assert passing(RegexFilter(regular_expressions=["edx", "page$"])) == NAMES[:2]


def test_without_expressions_an_allowlist_ends_all_events_and_a_blocklist_none():
    assert passing(RegexFilter()) == []
    assert passing(RegexFilter("blocklist")) == NAMES


def test_expressions_may_come_from_a_generator():
    assert passing(RegexFilter(regular_expressions=(name for name in NAMES[:1]))) == NAMES[:1]


@pytest.mark.parametrize("filter_type", ["whitelist", "", None, ["allowlist"]])
def test_another_type_is_a_value_error_that_says_what_is_allowed(filter_type: Any):
    with pytest.raises(ValueError, match=r"filter_type: .* is none of allowlist, blocklist"):
        RegexFilter(filter_type, ["a"])


@pytest.mark.parametrize("expression", ["(", "*a", None, 1])
def test_an_expression_that_cannot_be_compiled_is_a_value_error_that_shows_it(expression: Any):
    with pytest.raises(
        ValueError, match=re.escape(f"regular_expressions: {expression!r} cannot be compiled")
    ) as caught:
        RegexFilter("blocklist", ["a", expression])
    assert isinstance(caught.value, FilterError)


@pytest.mark.parametrize("several", ["edx", b"edx", None, 1])
def test_one_text_instead_of_several_is_a_value_error(several: Any):
    with pytest.raises(ValueError, match=r"regular_expressions: .* write \[...\] around it"):
        RegexFilter("allowlist", several)
    with pytest.raises(ValueError, match=r"names: .* write \[...\] around it"):
        NameAllowlist(several)


def test_the_name_allowlist_lets_exactly_these_names_pass():
    assert passing(NameAllowlist(["page_view", "edx"])) == ["page_view"]
    assert passing(NameAllowlist([])) == []


def test_a_version_2_event_is_called_source_noun_action_as_before_it_was_one():
    event = {"name": "shop.order.placed", "timestamp": None, "data": {}, "context": {}}
    struct = ThriftEvent(source="shop", noun="order", action="placed")
    keep = NameAllowlist(["shop.order.placed"])
    assert (keep(event), keep(struct)) == (event, struct)
    with pytest.raises(EventEmissionExit):
        keep(ThriftEvent(source="shop", noun="order"))


def test_filters_take_events_of_any_kind_and_those_without_a_name_as_unknown():
    class Named:
        name = "edx.video.played"

    named, struct = Named(), ThriftEvent(source="edx")
    assert NameAllowlist(["edx.video.played"])(named) is named
    assert RegexFilter(regular_expressions=["unknown"])(struct) is struct
    with pytest.raises(EventEmissionExit):
        NameAllowlist(["page_view"])({})


@given(st.text(), st.lists(st.text(alphabet="ab.", max_size=4).map(re.escape), max_size=4))
def test_a_blocklist_ends_exactly_what_an_allowlist_of_the_same_expressions_lets_pass(
    name: str, expressions: list[str]
):
    def passes(kind: Any) -> bool:
        try:
            RegexFilter(kind, expressions)({"name": name})
        except EventEmissionExit:
            return False
        return True

    assert passes("allowlist") is not passes("blocklist")
