"""Kafka's jars: fetched whole by one process, kept only when they are what is pinned."""

from __future__ import annotations

import fcntl
import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from stream.kafka import jars
from stream.kafka.jars import JarsError

CONTENT = {"kafka.jar": b"the broker", "scala.jar": b"its language"}


class Central:
    """What stands in for Maven Central: the jars of a list, or what happens instead of the second."""

    def __init__(self, cache: Path) -> None:
        self.cache = cache
        self.content = dict(CONTENT)
        self.instead: Callable[[], None] = lambda: None
        self.asked = 0

    def download(self, scratch: Path) -> list[Path]:
        self.asked += 1
        with (self.cache / "lock").open() as lock, pytest.raises(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        found: list[Path] = []
        for name, content in self.content.items():
            if found:
                self.instead()
            found.append(scratch / name)
            found[-1].write_bytes(content)
        return found


@pytest.fixture
def central(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Central:
    sums = tmp_path / "jars.sha256"
    sums.write_text(
        "".join(f"{hashlib.sha256(content).hexdigest()}  {name}\n" for name, content in CONTENT.items())
    )
    central = Central(tmp_path / "cache")
    monkeypatch.setattr(jars, "SUMS", sums)
    monkeypatch.setattr(jars, "user_cache_path", lambda _: central.cache)
    monkeypatch.setattr(jars, "_download", central.download)
    return central


def found() -> dict[str, bytes]:
    """What a fresh process would find."""
    return {Path(part).name: Path(part).read_bytes() for part in jars.class_path.__wrapped__().split(":")}


def test_they_are_fetched_once(central: Central) -> None:
    assert found() == found() == CONTENT
    assert central.asked == 1
    assert sorted(path.name for path in central.cache.iterdir())[1:] == ["lock"], "nothing else is left"


@pytest.mark.parametrize("error", [KeyboardInterrupt(), JarsError("No network.")])
def test_a_fetch_that_was_cut_off_is_begun_anew(central: Central, error: BaseException) -> None:
    def cut() -> None:
        raise error

    central.instead = cut
    with pytest.raises(type(error)):
        found()
    central.instead = lambda: None
    assert found() == CONTENT


def test_what_a_killed_process_left_is_removed(central: Central) -> None:
    left = central.cache / "fetching-1"
    left.mkdir(parents=True)
    (left / "kafka.jar").write_bytes(b"the br")
    assert found() == CONTENT
    assert not left.exists()


@pytest.mark.parametrize("harm", [b"altered", None])
def test_what_is_altered_or_gone_is_fetched_anew(central: Central, harm: bytes | None) -> None:
    (kept,) = {Path(part).parent for part in jars.class_path.__wrapped__().split(":")}
    if harm is None:
        shutil.rmtree(kept)
    else:
        (kept / "kafka.jar").write_bytes(harm)
    assert found() == CONTENT
    assert central.asked == 2


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ({**CONTENT, "kafka.jar": b"altered"}, r"kafka\.jar .* has SHA-256 \w+, pinned is"),
        ({"kafka.jar": CONTENT["kafka.jar"]}, r"scala\.jar is missing"),
        ({**CONTENT, "more.jar": b"unknown"}, r"more\.jar is not one that is pinned"),
    ],
)
def test_what_is_not_pinned_is_refused_and_not_kept(
    central: Central, content: dict[str, bytes], told: str
) -> None:
    central.content = content
    with pytest.raises(JarsError, match=told):
        found()
    assert list(central.cache.rglob("*.jar")) == []


def test_a_cache_that_cannot_be_written_is_told(central: Central) -> None:
    central.cache.write_text("a file")
    with pytest.raises(JarsError, match="cannot be kept"):
        found()


def test_no_network_is_told_with_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTPS_PROXY", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    with pytest.raises(JarsError, match=r"\(ProxyError\).*KAFKA_BROKERS"):
        jars._download(tmp_path)
