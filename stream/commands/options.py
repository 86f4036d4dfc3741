"""Options that several commands have, and the stages whose offsets they are about."""

from __future__ import annotations

import click

from stream import topics

STAGES = {"projector": topics.PROJECTOR_GROUP, "writer": topics.WRITER_GROUP}
# A reset of the projector moves Stripe's events alone: what Salesforce answered is not asked for again.
PLANNED = {topics.PROJECTOR_GROUP: (topics.STRIPE_EVENTS,), topics.WRITER_GROUP: (topics.SALESFORCE_WRITES,)}

as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
yes = click.option("--yes", is_flag=True, help="Do not ask.")
stage = click.option(
    "--stage", type=click.Choice(list(STAGES)), default="projector", show_default=True, help="Whose offsets."
)
wait = click.option(
    "--wait", default=0.0, metavar="SECONDS", help="Wait so long for the group's members to leave."
)
