"""Fewer log lines from the Kafka client."""

from __future__ import annotations

import logging

from stream.quiet import EVERY_SECONDS, OneOfMany


def line(logger: str, text: str, *values: object) -> logging.LogRecord:
    return logging.LogRecord(logger, logging.ERROR, "file", 1, text, values, None)


def test_a_clients_line_passes_once_in_a_while() -> None:
    now = 100.0
    lines = OneOfMany("aiokafka", lambda: now)
    assert lines.filter(line("aiokafka", "no node %d", 1))
    assert not lines.filter(line("aiokafka", "no node %d", 2))
    assert lines.filter(line("aiokafka.conn", "closed"))
    assert lines.filter(line("stream.gateway", "no node %d", 3))
    assert lines.filter(line("stream.gateway", "no node %d", 3))
    now += EVERY_SECONDS
    assert lines.filter(line("aiokafka", "no node %d", 4))
