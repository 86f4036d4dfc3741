"""Words for notices: Jinja2 templates, ours or those of a folder.

A notice of workflow `churn` is rendered by `churn.text.j2` for Slack and Chatter and by `churn.mail.j2` for mail,
whose first line is `Subject: …`; by `notice.…` when there is none of its own; several in one message by `digest.…`.
A template may use the notice's facts by their names, and what `context` adds.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from jinja2 import ChoiceLoader, FileSystemLoader, TemplateError
from jinja2.sandbox import SandboxedEnvironment
from markupsafe import Markup

from stream.notify.port import Message, Parcel
from stream.notify.routes import number
from stream.records import EventRef, Notice, Scalar
from stream.settings import ChannelName, Notify, missing

OURS = Path(__file__).parent / "templates"
DIGEST = "digest"
OTHER = "notice"

LONGEST_FACT = 300
LONGEST_LINE = 200
# Of a digest; the rest is counted.
LISTED = 20

_SUBJECT = "Subject: "
# What is left where a condition does not hold.
_BLANKS = re.compile(r"\n\s*\n\s*\n")
# The facts that ours use, and so what each is tried with.
FACTS = (
    *("customer", "plan", "arr", "movement", "reason", "invoice", "attempts", "next_attempt", "due"),
    *("link", "lost_mrr", "comment"),
)
_TRIED: dict[str, Scalar] = dict.fromkeys(FACTS, "text")


def plain(value: Any) -> Any:
    """A fact on one line, without control characters and not too long: it may be anything that a customer typed."""
    if not isinstance(value, str):
        return value
    told = "".join(char for char in " ".join(value.split()) if char.isprintable())
    return told if len(told) <= LONGEST_FACT else told[: LONGEST_FACT - 1] + "…"


def for_slack(value: Any) -> Any:
    """A value as Slack takes it: `<` would make it a link, or call a whole channel ("Formatting text")."""
    if isinstance(value, str) and not isinstance(value, Markup):
        return value.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return value


def context(notice: Notice) -> dict[str, Any]:
    """What a template may use: the facts, and id (the notice's own), workflow, account, segment, event (id, type),
    the amount as text with its currency, and the customer's page in Stripe's dashboard."""
    connected, _, customer = notice.account.rpartition("/")
    amount = number(notice.amount)
    dashboard = "/".join(filter(None, ("https://dashboard.stripe.com", connected, "customers", customer)))
    own = {
        "id": notice.id,
        "workflow": notice.workflow,
        "account": notice.account,
        "segment": plain(notice.segment),
        "event": notice.event,
        "amount": None if amount is None else f"{amount:,f} {notice.currency or ''}".strip(),
        "dashboard": dashboard,
    }
    return {**{name: plain(value) for name, value in notice.facts.items()}, **own}


class Templates:
    """All templates, compiled and tried. Raises SettingError that names one that is broken."""

    def __init__(self, notify: Notify) -> None:
        folders = [OURS]
        if notify.templates is not None:
            if not notify.templates.is_dir():
                raise missing("notify", "templates", f"{notify.templates} is no folder")
            folders.insert(0, notify.templates)
        self._plain = _environment(folders, lambda value: value)
        self._slack = _environment(folders, for_slack)
        self._names = set(self._plain.list_templates(filter_func=lambda name: not name.startswith("_")))
        for name in sorted(self._names):
            self._try(name)

    def _try(self, name: str) -> None:
        stem, _, kind = name.partition(".")
        if kind not in ("text.j2", "mail.j2"):
            raise missing("notify", "templates", f"{name} ends neither in .text.j2 nor in .mail.j2")
        event = EventRef("evt_1", "type", 0, 0)
        full = context(Notice("x", stem, "cus_1", event, _TRIED, "1.00", "EUR", "segment"))
        bare = context(Notice("x", stem, "cus_1", event, {}))
        several = {"count": 2, "lines": ["one"], "more": 1}
        try:
            for told in (full, bare):
                text = self._plain.get_template(name).render({**told, **(several if stem == DIGEST else {})})
                if kind == "mail.j2":
                    _mail(text)
        except Exception as error:  # what a template does may raise anything
            line = (
                f", line {error.lineno}"
                if isinstance(error, TemplateError) and hasattr(error, "lineno")
                else ""
            )
            raise missing("notify", "templates", f"{name}{line} is broken: {error}") from None

    def render(self, parcel: Parcel) -> Message:
        """The message. Raises what a template raises."""
        if parcel.channel == "log":
            return Message("", "")
        first = parcel.items[0].notice
        if len(parcel.items) == 1:
            return self._render(parcel.channel, first.workflow, context(first))
        notices = [item.notice for item in parcel.items]
        lines = [self._line(parcel.channel, notice) for notice in notices[:LISTED]]
        told = {"count": len(notices), "lines": lines, "more": len(notices) - len(lines)}
        return self._render(parcel.channel, DIGEST, told)

    def _line(self, channel: ChannelName, notice: Notice) -> Markup:
        """A notice as one line of a digest: the first of its text."""
        environment = self._slack if channel == "slack" else self._plain
        text = environment.get_template(self._name(notice.workflow, "text")).render(context(notice))
        first = text.strip().partition("\n")[0]
        return Markup(first if len(first) <= LONGEST_LINE else first[: LONGEST_LINE - 1] + "…")  # noqa: S704

    def _render(self, channel: ChannelName, stem: str, told: Mapping[str, Any]) -> Message:
        environment = self._slack if channel == "slack" else self._plain
        kind = "mail" if channel == "mail" else "text"
        text = _BLANKS.sub("\n\n", environment.get_template(self._name(stem, kind)).render(told).strip())
        return _mail(text) if kind == "mail" else Message("", text)

    def _name(self, stem: str, kind: str) -> str:
        name = f"{stem}.{kind}.j2"
        return name if name in self._names else f"{OTHER}.{kind}.j2"


def _environment(folders: list[Path], finalize: Callable[[Any], Any]) -> SandboxedEnvironment:
    # None of it is HTML: mail is plain text, and Slack has an escaping of its own.
    return SandboxedEnvironment(
        loader=ChoiceLoader([FileSystemLoader(folder) for folder in folders]),
        autoescape=False,
        finalize=lambda value: finalize("" if value is None else value),
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _mail(text: str) -> Message:
    head, _, body = text.strip().partition("\n")
    if not head.startswith(_SUBJECT) or not body.strip():
        raise ValueError(f"a mail begins with a line `{_SUBJECT}…`, and has a text")
    return Message(" ".join(head.removeprefix(_SUBJECT).split()), body.strip() + "\n")
