"""The jars of the embedded Kafka: from Maven Central, once, whole or not at all.

`jgo` resolves and downloads them, and takes what a cut-off download left behind for whole. So it works in a folder
of its own, which becomes the cache only when every jar has the sum pinned in `jars.sha256`.
"""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import shutil
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from platformdirs import user_cache_path

log = logging.getLogger(__name__)

VERSION = "4.1.2"
COORDINATES = f"org.apache.kafka:kafka_2.13:{VERSION}+org.slf4j:slf4j-simple:1.7.36"
SUMS = Path(__file__).with_name("jars.sha256")
MEGABYTES = 60

_FETCHING = "fetching-"


class JarsError(Exception):
    """Kafka's jars are not to be had. The message says what to do."""


@cache
def class_path() -> str:
    """Java's class path of all jars, each checked. Raises JarsError."""
    pinned = _pinned()
    cache_ = user_cache_path("revstream")
    folder = cache_ / f"kafka-{VERSION}-{hashlib.sha256(SUMS.read_bytes()).hexdigest()[:8]}"
    try:
        cache_.mkdir(parents=True, exist_ok=True)
        with (cache_ / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # of processes that start at once one fetches
            if _sums(folder.glob("*.jar")) != pinned:
                _fetch(folder, pinned)
    except OSError as error:
        raise JarsError(f"Kafka's jars cannot be kept in {cache_}: {error.strerror or error}.") from error
    return os.pathsep.join(str(folder / name) for name in pinned)


def _pinned() -> dict[str, str]:
    return {name: digest for digest, name in map(str.split, SUMS.read_text().splitlines())}


def _sums(jars: Iterable[Path]) -> dict[str, str]:
    return {jar.name: hashlib.sha256(jar.read_bytes()).hexdigest() for jar in jars}


def _fetch(folder: Path, pinned: dict[str, str]) -> None:
    """Makes the folder of exactly the pinned jars. Raises JarsError, OSError."""
    log.info("Fetching Kafka %s from Maven Central, %d MB, once.", VERSION, MEGABYTES)
    for left in folder.parent.glob(f"{_FETCHING}*"):  # by a process that was killed
        shutil.rmtree(left)
    with TemporaryDirectory(prefix=_FETCHING, dir=folder.parent) as scratch:
        jars = _download(Path(scratch))
        found = _sums(jars)
        for name in sorted(pinned.keys() ^ found.keys()):
            what = "missing" if name in pinned else "not one that is pinned"
            raise JarsError(f"Of Kafka's jars from Maven Central {name} is {what}.")
        for name, digest in found.items():
            if digest != pinned[name]:
                raise JarsError(
                    f"Kafka's jar {name} from Maven Central has SHA-256 {digest}, pinned is {pinned[name]}. "
                    "Try again; if it stays so, something between here and there alters it."
                )
        whole = Path(scratch, "whole")
        whole.mkdir()
        for jar in jars:
            shutil.copy(jar, whole)
        shutil.rmtree(folder, ignore_errors=True)
        whole.rename(folder)


def _download(scratch: Path) -> list[Path]:
    """All jars, somewhere under a folder. Raises JarsError."""
    # Here, for it brings in a fifth of what any command loads, and is needed once.
    from jgo.constants import MAVEN_CENTRAL_URL
    from jgo.env import EnvironmentBuilder
    from jgo.maven import MavenContext

    context = MavenContext(repo_cache=scratch / "repository", remote_repos={"central": MAVEN_CENTRAL_URL})
    try:
        environment = EnvironmentBuilder(context=context, cache_dir=scratch / "environments")
        return list(environment.from_endpoint(COORDINATES).all_jars)
    except Exception as error:  # of requests, of XML that is none, or that there is no such version
        raise JarsError(
            f"Kafka's jars cannot be fetched from Maven Central ({type(error).__name__}). "
            "That takes the network once (HTTPS_PROXY is heeded); with KAFKA_BROKERS a Kafka of your own is used."
        ) from error
