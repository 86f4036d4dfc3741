"""The far ends of the notifier's channels: Slack and a mail server on loopback, which go wrong on demand."""

from __future__ import annotations

import asyncio
import email
import email.policy
import ssl
from types import TracebackType
from typing import Any, Self

from aiohttp import web
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session

from stream.notify.port import Why


def _abort(transport: Any) -> None:
    """Cuts a connection off, if there still is one."""
    if transport is not None:
        transport.abort()


class SlackEnd:
    """Takes what an incoming webhook takes, and answers as Slack does."""

    def __init__(self) -> None:
        self.posts = 0
        self.texts: list[str] = []
        self.bodies: list[dict[str, Any]] = []
        self.refusals: list[Why] = []
        self.down = False
        self.silent = False
        self.answer = "ok"
        self.url = ""
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_post("/services/T0/B0/x", self._post)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/services/T0/B0/x"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _post(self, request: web.Request) -> web.Response:
        self.posts += 1
        why = Why.LATER if self.down else self.refusals.pop(0) if self.refusals else None
        if why is Why.LATER:
            return web.Response(status=503, text="service_unavailable", headers={"Retry-After": "0"})
        if why is Why.NEVER:
            return web.Response(status=404, text="no_service")
        if self.silent:
            await asyncio.Event().wait()
        body = await request.json()
        self.bodies.append(body)
        self.texts.append(body["text"])
        if why is Why.UNSURE:
            _abort(request.transport)
        return web.Response(text=self.answer)


class SmtpEnd:
    """A mail server. With a TLS context it wants STARTTLS and the login `me`, `secret`."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.mails: list[tuple[Envelope, Any]] = []
        self.refusals: list[Why] = []
        self.refused_recipients: set[str] = set()
        self.port = 0
        self._tls = tls
        self._server: asyncio.Server | None = None
        self._served: list[SMTP] = []

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    def _serve(self) -> SMTP:
        more: dict[str, Any] = {}
        if self._tls:
            more = {"tls_context": self._tls, "require_starttls": True, "authenticator": self._login}
        served = SMTP(self, hostname="mail.example", loop=asyncio.get_running_loop(), **more)
        self._served.append(served)
        return served

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
            for served in self._served:
                _abort(served.transport)
            await self._server.wait_closed()
            self._server = None

    def _login(self, server: SMTP, session: Session, envelope: Envelope, how: str, given: Any) -> AuthResult:
        good = (given.login, given.password) == (b"me", b"secret")
        return AuthResult(success=good, handled=False)

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if address in self.refused_recipients:
            return "550 no such user"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        why = self.refusals.pop(0) if self.refusals else None
        if why is Why.LATER:
            return "451 try again later"
        if why is Why.NEVER:
            return "554 not wanted"
        content = envelope.original_content or b""
        self.mails.append((envelope, email.message_from_bytes(content, policy=email.policy.default)))
        if why is Why.UNSURE:
            _abort(server.transport)
        return "250 OK"

    @property
    def whole(self) -> list[str]:
        """Every mail that was taken: its subject, and its text from the next line on. A long subject begins in its
        header's second line, after a blank."""
        return [f"{mail['Subject'].strip()}\n{mail.get_content()}" for _, mail in self.mails]

    def texts(self) -> list[str]:
        return [mail.get_content().replace("\r\n", "\n") for _, mail in self.mails]
