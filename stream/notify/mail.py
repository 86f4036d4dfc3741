"""Mail, over SMTP."""

from __future__ import annotations

import hashlib
import ssl
from contextlib import suppress
from email.message import EmailMessage
from email.utils import format_datetime, localtime

import aiosmtplib

from stream.notify.port import Message, Parcel, Undelivered, Why
from stream.settings import ChannelName, Notify, missing


class Mail:
    """The port `Channel` over one SMTP connection per message. Raises SettingError for a login that could be
    overheard, or a CA file that holds no certificate."""

    name: ChannelName = "mail"

    def __init__(self, notify: Notify) -> None:
        if notify.smtp_username and notify.smtp_security == "none":
            raise missing("notify", "smtp_security", "a login needs TLS, and it is none")
        self._notify = notify
        self._tls: ssl.SSLContext | None = None
        if notify.smtp_security != "none":
            try:
                self._tls = ssl.create_default_context(
                    cafile=str(notify.smtp_ca_file) if notify.smtp_ca_file else None
                )
            except OSError as error:
                raise missing("notify", "smtp_ca_file", f"cannot be used: {error.strerror}") from None

    async def send(self, parcel: Parcel, message: Message) -> None:
        """One mail to all recipients. Those that the server refuses, while it takes others, are not told."""
        client = self._client()
        try:
            await self._connect(client)
            await self._hand_over(client, letter(self._notify.mail_from, parcel, message))
        finally:
            with suppress(aiosmtplib.SMTPException, OSError):
                await client.quit()
            client.close()

    def _client(self) -> aiosmtplib.SMTP:
        notify, secret = self._notify, self._notify.smtp_password
        return aiosmtplib.SMTP(
            hostname=notify.smtp_host,
            port=notify.smtp_port,
            username=notify.smtp_username,
            password=secret.get_secret_value() if secret else None,
            timeout=notify.timeout_seconds,
            use_tls=notify.smtp_security == "tls",
            start_tls=notify.smtp_security == "starttls",
            tls_context=self._tls,
        )

    async def _connect(self, client: aiosmtplib.SMTP) -> None:
        try:
            await client.connect()
        except aiosmtplib.SMTPResponseException as error:
            raise Undelivered(_why(error.code), f"SMTP {error.code}") from None
        except (aiosmtplib.SMTPNotSupported, ssl.SSLCertVerificationError) as error:
            raise Undelivered(Why.NEVER, type(error).__name__) from None
        except (aiosmtplib.SMTPException, OSError) as error:
            raise Undelivered(Why.LATER, type(error).__name__) from None

    async def _hand_over(self, client: aiosmtplib.SMTP, mail: EmailMessage) -> None:
        try:
            await client.send_message(mail)
        except aiosmtplib.SMTPRecipientsRefused as error:
            codes = [each.code for each in error.recipients]
            raise Undelivered(min(map(_why, codes)), f"SMTP {codes[0]}") from None
        except aiosmtplib.SMTPResponseException as error:
            raise Undelivered(_why(error.code), f"SMTP {error.code}") from None
        except (aiosmtplib.SMTPException, OSError) as error:
            # The server may have the whole mail, and only its answer is lost.
            raise Undelivered(Why.UNSURE, type(error).__name__) from None

    async def close(self) -> None:
        """Nothing is kept open."""


def _why(code: int) -> Why:
    """4yz is a transient refusal, 5yz a permanent one (RFC 5321, 4.2.1)."""
    return Why.LATER if 400 <= code < 500 else Why.NEVER


def letter(sender: str, parcel: Parcel, message: Message) -> EmailMessage:
    """The mail. The same notices have the same Message-ID, and it says that no person wrote it (RFC 3834)."""
    mail = EmailMessage()
    mail["From"] = sender
    mail["To"] = ", ".join(parcel.address)
    mail["Subject"] = message.subject
    mail["Date"] = format_datetime(localtime())
    told = hashlib.sha256("\n".join(item.notice.id for item in parcel.items).encode()).hexdigest()
    mail["Message-ID"] = f"<{told[:32]}@{sender.rpartition('@')[2]}>"
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(message.text)
    return mail
