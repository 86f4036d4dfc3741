"""Reading tables back from their changelogs, a fetch at a time.

Stock Faust 0.15.3 takes a changelog record by record: each goes through a queue, wakes six asyncio tasks and has
the remaining offsets of all partitions added up twice. Here all fetched records of a partition are applied in one
call.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import monotonic
from typing import Any

from aiokafka import ConsumerRecord
from faust.tables.recovery import Recovery
from faust.types import TP

from stream import metrics

Restore = Callable[[int, Sequence[ConsumerRecord]], None]


class ChunkRecovery(Recovery):  # type: ignore[misc]
    """Faust's recovery, which is told when and from where to read; what is read comes by `take`.

    `restores` says by changelog topic how a table takes records of a partition, `checks` whether it then has all.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.restores: dict[str, Restore] = {}
        self.checks: dict[str, Callable[[int], None]] = {}

    def take(self, tp: TP, records: Sequence[ConsumerRecord]) -> None:
        """Applies records of a changelog. Raises what the table raises; nothing of them counts as read then.

        Once streams flow, what a former owner may still have written is left out: it tells of events that it could
        not commit, so they are folded again here, and it would undo what has been since.
        """
        if not self.in_recovery or tp not in self.active_tps:
            return
        seen = self.active_offsets.get(tp)
        fresh = records if seen is None else [record for record in records if record.offset > seen]
        if fresh:
            self.restores[tp.topic](tp.partition, fresh)
            self.active_offsets[tp] = fresh[-1].offset
            # Faust warns where nothing has come for half a minute.
            self._active_events_received_at[tp] = self._last_flush_at = monotonic()
            metrics.RECOVERY_REMAINING.labels(self.tp_to_table[tp].name).set(self._remaining(tp.topic))
        self._end_if_done()

    async def on_recovery_completed(self, generation_id: int = 0) -> None:
        """Hands streams over from where they are committed, if tables are whole; no event flows before.

        Faust seeks first and then empties all queues. A chunk that was fetched in between was gone, and as it was
        never acknowledged, nothing behind it was ever committed.
        """
        self.app.consumer.stop_flow()
        try:
            for tp in self.active_tps:
                if check := self.checks.get(tp.topic):
                    check(tp.partition)
        except Exception as error:
            await self.app.crash(error)
            raise
        await super().on_recovery_completed(generation_id)

    def _remaining(self, topic: str) -> int:
        return sum(left for tp, left in self.active_remaining().items() if tp.topic == topic)

    def _end_if_done(self) -> None:
        if self.in_recovery and not self.need_recovery():
            self._set_recovery_ended()
            self.signal_recovery_end.set()

    def _set_recovery_started(self) -> None:
        self.signal_recovery_end.clear()
        super()._set_recovery_started()

    @Recovery.task  # type: ignore[untyped-decorator]
    async def _slurp_changelogs(self) -> None:
        """Nothing comes by Faust's queue."""
