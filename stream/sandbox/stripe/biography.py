"""Who does what, and when: the script of one customer's life."""

from __future__ import annotations

from collections.abc import Callable

from stream.sandbox.stripe import (
    addons,
    changes,
    credits,
    customers,
    discounts,
    dunning,
    fraud,
    holds,
    pauses,
    payments,
    sent,
    subscriptions,
)
from stream.sandbox.stripe.catalogue import Plan
from stream.sandbox.stripe.life import DAY, HOUR, MINUTE, Life
from stream.sandbox.stripe.objects import Charge, Invoice, PauseBehavior, Subscription

_ENDIVE = "2026-09-30"
_PAUSES: tuple[PauseBehavior, ...] = ("keep_as_draft", "mark_uncollectible", "void")


def write(life: Life) -> None:
    """Plans a life: its beginning, and what comes of it every few days."""
    start = life.now
    life.at(start, lambda: customers.sign_up(life))
    if life.identity.kind == "guest" or life.chance(0.08):
        life.at(start + life.rng.randint(1, 9) * HOUR, lambda: _pay_once(life))
    if life.identity.kind != "guest":
        life.at(start + life.rng.randint(1, 30) * MINUTE, lambda: _subscribe(life))
    when = start + life.rng.randint(1, 9) * DAY
    while when < life.end:
        life.at(when + life.rng.randint(0, 80_000), lambda: _something(life))
        when += life.rng.randint(3, 16) * DAY


def _pay_once(life: Life) -> None:
    payments.guest(life, life.rng.randint(5, 400) * 100, life.identity.country.currency)


def _subscribe(life: Life) -> None:
    """With a card, or with a trial that may go without one."""
    if life.gone or not life.signed_up or len(life.subscriptions(*subscriptions.LIVING)) > 1:
        return
    trial = life.rng.choice((7, 14, 30)) if life.chance(0.3) else 0
    card = life.customer.default_payment_method is not None
    if not card and not (trial and life.chance(0.4)):
        customers.keep_card(life)
    currency = life.customer.currency or life.identity.country.currency
    plans = _choose(life, currency)
    missing = life.rng.choice(("pause", "cancel")) if trial else "create_invoice"
    fails = not trial and life.chance(0.1)
    begun = subscriptions.begin(life, plans, trial_days=trial, missing=missing, fails=fails)
    if fails and life.chance(0.5):
        life.at(life.now + life.rng.randint(1, 20) * HOUR, lambda: subscriptions.finish_first(life, begun))


def _choose(life: Life, currency: str) -> list[Plan]:
    """One plan, now and then a second that is billed in the same rhythm."""
    on_sale = [plan for plan in life.catalogue.on_sale(currency, life.now) if plan.level]
    first = life.rng.choice(on_sale)
    rhythm = (first.price.interval, first.price.interval_count)
    others = [
        plan
        for plan in life.catalogue.on_sale(currency, life.now)
        if plan.name != first.name and (plan.price.interval, plan.price.interval_count) == rhythm
    ]
    return [first, life.rng.choice(others)] if others and life.chance(0.25) else [first]


def _something(life: Life) -> None:
    """One of the things that a customer in this state may do."""
    if life.gone or not life.signed_up:
        return
    choices: list[tuple[int, Callable[[], None]]] = [
        (6, lambda: customers.edit(life)),
        (3, lambda: customers.edit(life, life.rng.randint(2, 3))),
        (1, lambda: customers.revert(life)),
        (1, lambda: customers.delete(life)),
        (2, lambda: customers.keep_card(life)),
    ]
    if life.identity.kind != "guest":
        living = life.subscriptions(*subscriptions.LIVING)
        choices.append((3 if living else 12, lambda: _subscribe(life)))
        if life.customer.discount is None:
            choices.append((1, lambda: discounts.redeem_for_all(life)))
        for subscription in living:
            choices += _of_subscription(life, subscription)
        if life.customer.default_payment_method:
            choices.append((1, lambda: holds.hold(life, life.rng.randint(20, 900) * 100)))
        choices += _of_money(life)
    life.rng.choices([do for _, do in choices], [weight for weight, _ in choices])[0]()


def _of_subscription(life: Life, it: Subscription) -> list[tuple[int, Callable[[], None]]]:
    status = it.status
    if status == "paused":
        return [(20, lambda: _wake(life, it)), (3, lambda: subscriptions.cancel(life, it))]
    if status in ("past_due", "unpaid"):
        return [(12, lambda: _settle(life, it)), (2, lambda: subscriptions.cancel(life, it))]
    if status == "incomplete":
        return []
    if it.cancel_at_period_end:
        return [(12, lambda: subscriptions.withdraw_end(life, it))]
    choices: list[tuple[int, Callable[[], None]]] = [
        (4, lambda: subscriptions.schedule_end(life, it)),
        (3, lambda: subscriptions.cancel(life, it)),
        (1, lambda: changes.annotate(life, it)),
    ]
    if life.identity.kind == "company" and it.days_until_due is None and status == "active":
        choices.append((3, lambda: sent.change_collection(life, it)))
    if it.pause:
        return [*choices, (3, lambda: pauses.resume_collection(life, it.id))]
    choices += [(4, change) for change in _changes(life, it)]
    if status == "trialing":
        return choices
    choices += (
        [(2, lambda: discounts.remove(life, it))] if it.discounts else [(2, lambda: discounts.add(life, it))]
    )
    behavior: PauseBehavior = life.rng.choice(_PAUSES)
    choices.append((2, lambda: pauses.pause_collection(life, it, behavior)))
    if life.book.version_at(life.now) >= _ENDIVE:
        choices += [(4, add) for add in _add_ons(life, it)]
        if all(item.trial_end is None for item in it.items):
            choices.append((3, lambda: pauses.pause(life, it)))
    return choices


def _add_ons(life: Life, it: Subscription) -> list[Callable[[], None]]:
    """An annual item beside those that are billed more often, at once or after a trial of its own."""
    if any(item.price.interval == "year" for item in it.items):
        return []
    taken = {life.catalogue.plan_of(item.price).name for item in it.items}
    annual = [
        plan
        for plan in life.catalogue.on_sale(it.currency, life.now)
        if plan.level
        and plan.name not in taken
        and plan.price.interval == "year"
        and plan.price.usage_type == "licensed"
    ]
    if not annual:
        return []
    plan = life.rng.choice(annual)
    return [lambda: addons.add(life, it, plan, 0), lambda: addons.add(life, it, plan, 14)]


def _changes(life: Life, it: Subscription) -> list[Callable[[], None]]:
    """Another plan in the same rhythm, another rhythm of the plan, another number of seats."""
    item = it.items[0]
    plan = life.catalogue.plan_of(item.price)
    rhythm = (item.price.interval, item.price.interval_count)
    taken = {other.price.id for other in it.items}
    on_sale = [
        p
        for p in life.catalogue.on_sale(it.currency, life.now)
        if p.level and p.price.id not in taken and p.price.usage_type == "licensed"
    ]
    found: list[Callable[[], None]] = []
    same = [
        p for p in on_sale if p.name != plan.name and (p.price.interval, p.price.interval_count) == rhythm
    ]
    if same:
        chosen = life.rng.choice(same)
        found.append(lambda: changes.change_item(life, it, chosen))
    other = [
        p for p in on_sale if p.name == plan.name and (p.price.interval, p.price.interval_count) != rhythm
    ]
    if other and len(it.items) == 1:
        longer = life.rng.choice(other)
        found.append(lambda: changes.change_item(life, it, longer))
    if plan.kind in ("seats", "graduated", "volume", "packs") and item.quantity:
        step = 700 if plan.kind == "packs" else 1
        amount = max(step, item.quantity + life.rng.choice((-2, -1, 1, 2, 5, 10)) * step)
        if amount != item.quantity:
            found.append(lambda: changes.change_item(life, it, None, amount))
    return found


def _wake(life: Life, it: Subscription) -> None:
    if life.customer.default_payment_method is None:
        customers.keep_card(life)
    pauses.resume(life, it)


def _settle(life: Life, it: Subscription) -> None:
    """A card that works, and what is owed is paid."""
    customers.keep_card(life)
    dunning.settle(life, it)


def _of_money(life: Life) -> list[tuple[int, Callable[[], None]]]:
    """What can be given back, contested or credited."""
    return [*_of_charges(life), *_of_invoices(life)]


def _of_invoices(life: Life) -> list[tuple[int, Callable[[], None]]]:
    """Of an invoice that is not credited yet."""
    invoices = [
        thing
        for thing in life.book.things.values()
        if isinstance(thing, Invoice)
        and thing.status in ("open", "paid")
        and thing.amount_due > 10
        and not thing.credited_before
        and not thing.credited_after
    ]
    if not invoices:
        return []
    invoice = life.rng.choice([it for it in invoices if it.status == "open"] or invoices)
    return [(3 if invoice.status == "open" else 1, lambda: credits.credit(life, invoice))]


def _of_charges(life: Life) -> list[tuple[int, Callable[[], None]]]:
    """Of a charge that is not contested and of which something is left."""
    charges = [
        thing
        for thing in life.book.things.values()
        if isinstance(thing, Charge) and thing.customer and thing.dispute is None and thing.left
    ]
    if not charges:
        return []
    charge = life.rng.choice(charges)
    part = charge.left if life.chance(0.4) else max(1, charge.left * life.rng.randint(1, 9) // 10)
    return [
        (3, lambda: payments.refund(life, charge, part)),
        (2, lambda: payments.contest(life, charge)),
        (1, lambda: fraud.warn(life, charge)),
    ]
