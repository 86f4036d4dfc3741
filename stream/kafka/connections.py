"""aiokafka's connections on uvloop.

Writing to a connection that the other side has reset is dropped by asyncio, and raises RuntimeError on uvloop.
aiokafka expects OSError alone: its fetcher or its coordinator ended, no record came any more, and the process
looked well. Here it is a broken connection like any other, which aiokafka opens again.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from aiokafka.conn import AIOKafkaConnection, CloseReason
from aiokafka.errors import KafkaConnectionError, KafkaError


def _broken_at_most(send: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(send)
    def guarded(self: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return send(self, *args, **kwargs)
        except RuntimeError as error:
            self.close(reason=CloseReason.CONNECTION_BROKEN)
            raise KafkaConnectionError(f"Connection at {self.host}:{self.port} broken: {error}") from error

    return guarded


def guard() -> None:
    """Has every connection of this process say so when it is broken. A second call changes nothing."""
    for name in ("send", "_send_sasl_token"):
        send = getattr(AIOKafkaConnection, name)
        if not hasattr(send, "__wrapped__"):
            setattr(AIOKafkaConnection, name, _broken_at_most(send))


async def poll(consumer: Any, timeout_ms: int) -> dict[Any, list[Any]]:
    """What has come, by partition, as `getmany`. Raises KafkaError when the consumer's fetcher has ended, which
    aiokafka only logs: nothing would ever come again."""
    if consumer._fetcher._fetch_task.done():
        raise KafkaError("The consumer fetches no more; the log says why. The process has to start again.")
    fetched: dict[Any, list[Any]] = await consumer.getmany(timeout_ms=timeout_ms)
    return fetched
