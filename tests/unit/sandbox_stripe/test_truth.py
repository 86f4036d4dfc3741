"""What the simulated Stripe tells is consistent with itself."""

from __future__ import annotations

from collections import defaultdict
from itertools import pairwise
from typing import TypeVar

import pytest

from stream.sandbox.stripe.book import StripeEvent
from stream.sandbox.stripe.identities import Mixture
from stream.sandbox.stripe.objects import (
    Charge,
    CreditNote,
    Customer,
    Dispute,
    FraudWarning,
    Invoice,
    PaymentIntent,
    Refund,
    Subscription,
    Thing,
    key_of,
)
from stream.sandbox.stripe.world import World

T = TypeVar("T", bound=Thing)


@pytest.fixture(scope="module", params=(1, 2, 3))
def world(request: pytest.FixtureRequest) -> World:
    return World(request.param, 80, mixture=Mixture(connected=0.2))


def things(world: World, kind: type[T]) -> list[T]:
    return [thing for thing in world.things.values() if isinstance(thing, kind)]


def histories(world: World) -> dict[str, list[StripeEvent]]:
    """The events of each thing; what is only foretold has no ID, and no history."""
    told: dict[str, list[StripeEvent]] = defaultdict(list)
    for event in world.events:
        if event.thing.id:
            told[event.thing.key].append(event)
    return told


def test_each_update_starts_from_the_state_before_it(world: World) -> None:
    for key, events in histories(world).items():
        states = [events[0].thing]
        for event in events[1:]:
            if event.before is not None and event.type.endswith(".updated"):
                assert event.before in states, (
                    f"{event.type} of {key} starts from a state that never was told"
                )
                assert event.thing != event.before
            states.append(event.thing)


def test_a_history_is_a_chain_that_ends_in_the_final_truth(world: World) -> None:
    for key, events in histories(world).items():
        chained = [event for event in events if event.before is not None]
        for last, following in pairwise(chained):
            between = events[events.index(last) : events.index(following)]
            assert following.before == between[-1].thing
        if key in world.things and not events[-1].type.startswith("customer.discount."):
            assert events[-1].thing == world.things[key]


def test_nothing_is_told_before_it_was_created(world: World) -> None:
    for event in world.events:
        if event.type != "invoice.upcoming":
            assert event.created >= event.thing.created


def test_an_ended_subscription_never_changes(world: World) -> None:
    for events in histories(world).values():
        ends = [
            at
            for at, event in enumerate(events)
            if isinstance(event.thing, Subscription) and event.thing.ended_at
        ]
        assert not ends or ends == [len(events) - 1]


def test_a_deleted_customer_never_changes(world: World) -> None:
    for customer in things(world, Customer):
        events = histories(world)[customer.key]
        assert [event.type for event in events].count("customer.deleted") == int(customer.deleted)
        assert not customer.deleted or events[-1].type == "customer.deleted"


def test_items_of_one_rhythm_share_their_period_and_an_annual_one_may_be_added(world: World) -> None:
    for event in world.events:
        if isinstance(event.thing, Subscription):
            items = event.thing.items
            first = items[0].price
            assert {i.price.currency for i in items} == {first.currency}
            alike = [i for i in items if i.price.interval == first.interval]
            assert {i.price.interval_count for i in alike} == {first.interval_count}
            assert len({(i.period_start, i.period_end) for i in alike}) == 1
            assert all(i.price.interval == "year" for i in items if i not in alike)
            assert all(i.trial_end is None for i in alike)
            assert all(i.period_start < i.period_end for i in items)
            assert len({i.price.id for i in items}) == len(items)


def test_the_lines_of_an_invoice_add_up(world: World) -> None:
    for invoice in things(world, Invoice):
        assert invoice.total == sum(
            line.amount - sum(amount for _, amount in line.discounts) for line in invoice.lines
        )
        assert all(line.start < line.end for line in invoice.lines), invoice
        for line in invoice.lines:
            rebate = sum(amount for _, amount in line.discounts)
            assert 0 <= rebate <= max(line.amount, 0)


def test_no_invoice_owes_the_customer_money(world: World) -> None:
    # A credit would have to become a balance, which is not simulated.
    assert all(invoice.total >= 0 for invoice in things(world, Invoice))


def test_what_invoices_say_was_paid_was_charged(world: World) -> None:
    charges = {charge.key: charge for charge in things(world, Charge)}
    for invoice in things(world, Invoice):
        assert invoice.amount_paid == (invoice.amount_due if invoice.status == "paid" else 0)
        took = [c for c in charges.values() if c.invoice == invoice.id and c.status == "succeeded"]
        assert sum(charge.amount for charge in took) == invoice.amount_paid - invoice.off_stripe
        assert invoice.off_stripe in (0, invoice.amount_paid)
        if invoice.amount_paid and not invoice.off_stripe:
            assert charges[key_of(invoice.account, str(invoice.charge))].status == "succeeded"


def test_what_is_given_back_was_taken(world: World) -> None:
    refunds: dict[str, int] = defaultdict(int)
    for refund in things(world, Refund):
        refunds[key_of(refund.account, refund.charge)] += refund.amount
    for charge in things(world, Charge):
        assert charge.amount_refunded == refunds[charge.key] <= charge.amount
        assert not charge.refunds or charge.status == "succeeded"


def test_what_is_credited_stands_on_the_invoice_once(world: World) -> None:
    before: dict[str, int] = defaultdict(int)
    after: dict[str, int] = defaultdict(int)
    for note in things(world, CreditNote):
        assert note.amount == note.pre_payment + note.post_payment > 0
        assert (note.out_of_band == note.post_payment) != bool(note.refund) or note.pre_payment
        if note.status == "issued":
            before[key_of(note.account, note.invoice)] += note.pre_payment
            after[key_of(note.account, note.invoice)] += note.post_payment
    for invoice in things(world, Invoice):
        assert (invoice.credited_before, invoice.credited_after) == (before[invoice.key], after[invoice.key])


def test_no_more_is_captured_than_was_authorised(world: World) -> None:
    charges = [charge for charge in things(world, Charge) if charge.amount_captured is not None]
    assert {0 < charge.taken < charge.amount for charge in charges} == {True, False}
    for charge in charges:
        reversed_ = sum(refund.amount for refund in charge.refunds if refund.reversal)
        # Before basil what was not captured came back by a refund, afterwards it just lapses.
        assert reversed_ in (0, charge.amount - charge.taken)
        assert 0 <= charge.left <= charge.taken <= charge.amount


def test_a_warning_can_be_acted_upon_until_its_charge_is_given_back_or_contested(world: World) -> None:
    for warning in things(world, FraudWarning):
        charge = world.things[key_of(warning.account, warning.charge)]
        assert isinstance(charge, Charge)
        assert warning.actionable == (charge.dispute is None and charge.left > 0)


def test_a_dispute_is_of_what_had_not_been_given_back(world: World) -> None:
    for dispute in things(world, Dispute):
        charge = world.things[key_of(dispute.account, dispute.charge)]
        assert isinstance(charge, Charge)
        assert charge.dispute == dispute.id
        assert 0 < dispute.amount == charge.left
        assert dispute.funds_withdrawn == (dispute.status != "won")


def test_a_voided_invoice_leaves_no_intent_to_pay_it(world: World) -> None:
    for invoice in things(world, Invoice):
        if invoice.status == "void" and invoice.payment_intent:
            intent = world.things[key_of(invoice.account, invoice.payment_intent)]
            assert isinstance(intent, PaymentIntent)
            assert intent.status == "canceled"


def test_the_account_owes_only_while_a_subscription_is_behind(world: World) -> None:
    behind = {
        key_of(subscription.account, subscription.customer)
        for subscription in things(world, Subscription)
        if subscription.status in ("past_due", "unpaid")
    }
    assert behind <= {customer.key for customer in things(world, Customer) if customer.delinquent}


def test_some_things_change_twice_within_one_second(world: World) -> None:
    seconds = [(event.thing.key, event.created) for event in world.events if event.before is not None]
    assert len(set(seconds)) < len(seconds)


def test_movements_name_events_that_were_told(world: World) -> None:
    told = {event.id: event for event in world.events}
    for move in world.movements:
        assert move.events, f"{move.kind} of {move.subject} was told by nothing"
        assert all(told[id_].created <= move.at for id_ in move.events)


def test_every_event_of_a_life_but_words_of_warning_belongs_to_one_movement(world: World) -> None:
    named = [id_ for move in world.movements for id_ in move.events]
    assert len(set(named)) == len(named)
