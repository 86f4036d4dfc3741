"""A running local Salesforce: its two ports, its certificate and its state."""

from __future__ import annotations

import ssl
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

from aiohttp import web

from stream.sandbox.salesforce import certificate
from stream.sandbox.salesforce.admin import Admin
from stream.sandbox.salesforce.app import Api
from stream.sandbox.salesforce.bulk import MAX_UPLOAD_BYTES
from stream.sandbox.salesforce.options import Identity, Options
from stream.sandbox.salesforce.org import Org

_SHUTDOWN_SECONDS = 2.0
_LONGEST_HEAD = 65_536  # read, so that a longer one than Salesforce takes is refused in its own words


class LocalSalesforce:
    """One org on http and https. Port 0 takes any free one; without `state` nothing is kept on disk but the
    certificate, in a folder that goes when it stops.

    >>> async with LocalSalesforce() as salesforce:  # doctest: +SKIP
    ...     print(salesforce.url, salesforce.https_url, salesforce.ca_file)
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        https_port: int = 0,
        state: Path | None = None,
        identity: Identity | None = None,
        options: Options | None = None,
    ) -> None:
        self._host = host
        self._ports = (port, https_port)
        self._state = state
        self._identity = identity or Identity()
        self._options = options or Options()
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._runner: web.AppRunner | None = None
        self._api: Api | None = None
        self.url = ""
        self.https_url = ""
        self.ca_file = Path()

    @property
    def api(self) -> Api:
        """What is behind it, for tests in the same process."""
        if self._api is None:
            raise RuntimeError("The local Salesforce has not been started.")
        return self._api

    @property
    def org(self) -> Org:
        """The org behind it, for tests in the same process."""
        return self.api.org

    async def start(self) -> None:
        """Listens. Raises OSError when a port is taken."""
        try:
            await self._listen()
        except BaseException:
            await self.stop()
            raise

    async def _listen(self) -> None:
        if self._state is None:
            self._folder = tempfile.TemporaryDirectory(prefix="salesforce-", ignore_cleanup_errors=True)
        else:
            self._state.mkdir(parents=True, exist_ok=True)
        folder = self._state or Path(self._folder.name if self._folder else "")
        files = certificate.ensure(folder, tuple(dict.fromkeys((*certificate.LOOPBACK, self._host))))
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.minimum_version = ssl.TLSVersion.TLSv1_2
        tls.load_cert_chain(files.certificate, files.key)

        self._api = Api(Org(self._identity, self._options, self._state))
        app = web.Application(client_max_size=MAX_UPLOAD_BYTES + 1024 * 1024)
        app.add_routes([*self.api.routes(), *Admin(self.api).routes()])
        self._runner = web.AppRunner(
            app,
            access_log=None,
            shutdown_timeout=_SHUTDOWN_SECONDS,
            max_line_size=_LONGEST_HEAD,
            max_field_size=_LONGEST_HEAD,
        )
        await self._runner.setup()
        for port, context in zip(self._ports, (None, tls), strict=True):
            await web.TCPSite(self._runner, self._host, port, ssl_context=context).start()
        plain, secure = (address[1] for address in self._runner.addresses)
        self.url = f"http://{self._host}:{plain}"
        self.https_url = f"https://{self._host}:{secure}"
        self.ca_file = files.ca
        self.api.jobs.resume()

    async def stop(self) -> None:
        """Ends calls in flight, and closes everything."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None
        if self._api is not None:
            await self._api.jobs.stop()
            self._api.org.journal.close()
            self._api = None
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()
