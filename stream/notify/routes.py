"""Which notice goes where. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from decimal import Decimal, InvalidOperation
from email.headerregistry import Address

from stream.notify.port import Item, Parcel
from stream.records import Notice
from stream.settings import ChannelName, Notify, Route, SettingError, missing


def channels(notify: Notify) -> tuple[ChannelName, ...]:
    """The channels that the settings set up; the log always is. Raises SettingError for half a mail."""
    found: list[ChannelName] = []
    if notify.slack_webhook_url:
        found.append("slack")
    if notify.smtp_host:
        if not notify.mail_from:
            raise missing("notify", "mail_from", "mail needs a sender")
        found.append("mail")
    if notify.chatter:
        found.append("chatter")
    return (*found, "log")


def routes(notify: Notify) -> tuple[Route, ...]:
    """The routes, each with the channels and recipients that it means.

    Without a route everything goes to every channel that is set up, and to the log when none is. Raises
    SettingError for a route to a channel that is not set up, and for mail to nobody or to what is no address.
    """
    there = channels(notify)
    default: list[ChannelName] = [name for name in there if name != "log"] or ["log"]
    found = []
    for number, route in enumerate(notify.routes or [Route()], start=1):
        named = route.channels or default
        for name in named:
            if name not in there:
                raise missing("notify", "routes", f"route {number} goes to {name}, which is not set up")
        mail_to = route.mail_to or notify.mail_to
        if "mail" in named:
            _check_addresses([notify.mail_from, *mail_to])
            if not mail_to:
                raise missing("notify", "mail_to", "mail has no recipient")
        found.append(route.model_copy(update={"channels": named, "mail_to": mail_to}))
    return tuple(found)


def _check_addresses(addresses: Collection[str]) -> None:
    for address in addresses:
        try:
            if not Address(addr_spec=address).domain:
                raise ValueError
        except Exception:  # email's parser raises what it likes, IndexError among them
            raise SettingError(
                f"NOTIFY_MAIL_FROM or NOTIFY_MAIL_TO: {address!r} is no mail address."
            ) from None


def takes(route: Route, notice: Notice) -> bool:
    """Whether a notice goes this way. One without an amount is never over a least amount."""
    if route.workflows and notice.workflow not in route.workflows:
        return False
    if route.segments and notice.segment not in route.segments:
        return False
    if route.currency and notice.currency != route.currency:
        return False
    if route.least_amount is None:
        return True
    amount = number(notice.amount)
    return amount is not None and amount >= route.least_amount


def number(amount: str | None) -> Decimal | None:
    """A notice's amount; None when it has none, or what can be none."""
    try:
        found = Decimal(amount) if amount is not None else None
    except InvalidOperation:
        return None
    return found if found is not None and found.is_finite() else None


def parcels(item: Item, ways: Sequence[Route]) -> list[Parcel]:
    """One parcel for each channel that a route names; several routes to mail are one mail to all recipients."""
    wanted: dict[ChannelName, list[str]] = {}
    for route in ways:
        if takes(route, item.notice):
            for channel in route.channels:
                recipients = wanted.setdefault(channel, [])
                if channel == "mail":
                    recipients += route.mail_to
                elif channel == "chatter":
                    recipients.append(item.notice.account)
    return [Parcel(name, tuple(dict.fromkeys(to)), (item,)) for name, to in wanted.items()]


def unwanted(notice: Notice, replayed: bool, now: float, notify: Notify) -> str | None:
    """Why nobody is told: `replayed` or `stale`; None when they are. `now` is epoch seconds."""
    if replayed and not notify.replayed:
        return "replayed"
    if now - notice.event.created > notify.oldest_hours * 3600:
        return "stale"
    return None
