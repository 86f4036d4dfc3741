"""The newest telling does not depend on the order, nor on how often each one came."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tables.versions import Rank, Telling, Versioned, digest, fold

Told = tuple[int, Telling[str]]


@st.composite
def lives(draw: st.DrawFn) -> list[Told]:
    """An object's events in true order: whole seconds, several in one second, perhaps deleted at the end.

    No state comes back within its second: such a return only a fetch can tell.
    """
    told: list[Told] = []
    state, second = "s0", 0
    told.append((second, Telling("evt_00", Rank.CREATED, state)))
    for number in range(1, draw(st.integers(1, 8))):
        second += draw(st.sampled_from([0, 0, 1, 5]))
        before, state = state, f"s{number}"
        told.append((second, Telling(_id(draw, number), Rank.UPDATED, state, digest(before))))
    if draw(st.booleans()):
        told.append((second + draw(st.integers(0, 1)), Telling(_id(draw, 99), Rank.DELETED, state)))
    return told


def _id(draw: st.DrawFn, number: int) -> str:
    """Stripe's IDs say nothing of the order."""
    return f"evt_{draw(st.integers(0, 9))}{number}"


def folded(told: list[Told]) -> Versioned[str]:
    state = None
    for created, telling in told:
        state = fold(state, created, telling)
    assert state is not None
    return state


@given(lives(), st.data())
def test_any_order_with_duplicates_ends_in_the_last_state(life: list[Told], data: st.DataObject) -> None:
    again = data.draw(st.lists(st.sampled_from(life)))
    shuffled = data.draw(st.permutations(life + again))
    state = folded(shuffled)
    assert state.newest.body == life[-1][1].body
    assert not state.ambiguous
    assert state.deleted == (life[-1][1].rank == Rank.DELETED)
    assert state == folded(life)


@given(lives(), st.data())
def test_a_missing_event_never_brings_an_older_second_back(life: list[Told], data: st.DataObject) -> None:
    part = data.draw(st.lists(st.sampled_from(life), min_size=1))
    assert folded(part).created == max(created for created, _ in part) or folded(part).deleted


def test_a_late_update_does_not_resurrect() -> None:
    state = folded(
        [(5, Telling("e1", Rank.DELETED, "x")), (9, Telling("e2", Rank.UPDATED, "y", digest("x")))]
    )
    assert state.deleted
    assert state.newest.body == "x"


def test_a_return_within_a_second_is_ambiguous_until_fetched() -> None:
    there = Telling("e2", Rank.UPDATED, "b", digest("a"))
    back = Telling("e1", Rank.UPDATED, "a", digest("b"))
    state = folded([(1, there), (1, back)])
    assert state.ambiguous
    assert state.newest.event_id == "e2"
    state = fold(state, 1, Telling("fetched", Rank.FETCHED, "a"))
    assert not state.ambiguous
    assert state.newest.body == "a"


def test_a_return_within_the_second_of_creation_is_told_by_the_events() -> None:
    life: list[Told] = [
        (1, Telling("e9", Rank.CREATED, "a")),
        (1, Telling("e1", Rank.UPDATED, "b", digest("a"))),
        (1, Telling("e2", Rank.UPDATED, "a", digest("b"))),
    ]
    assert folded(life).newest.body == "a"
    assert not folded(life).ambiguous


def test_one_happening_told_by_two_events_counts_once() -> None:
    life: list[Told] = [
        (1, Telling("e1", Rank.UPDATED, "b", digest("a"))),
        (1, Telling("e2", Rank.UPDATED, "b", digest("a"))),
        (1, Telling("e3", Rank.UPDATED, "c", digest("b"))),
    ]
    assert folded(life).newest.body == "c"
