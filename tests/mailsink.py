"""A mail server for tests: takes every mail and keeps it (RFC 5321, as much as smtplib speaks)."""

import base64
import contextlib
import socketserver
import threading
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any, Self


@dataclass
class Mail:
    """What one DATA brought, and for whom."""

    recipients: list[str]
    message: EmailMessage

    @property
    def text(self) -> str:
        return str(self.message.get_content())


class _Handler(socketserver.StreamRequestHandler):
    server: "MailSink"

    def handle(self) -> None:
        self._say("220 sink")
        recipients: list[str] = []
        with contextlib.suppress(ConnectionError):
            for line in self.rfile:
                verb, _, rest = line.decode().strip().partition(" ")
                match verb.upper():
                    case "EHLO":
                        self._say("250-sink", "250-8BITMIME", "250 AUTH PLAIN")
                    case "AUTH":
                        _, user, password = base64.b64decode(rest.split()[-1]).decode().split("\0")
                        self.server.logins.append((user, password))
                        self._say("235 welcome")
                    case "MAIL":
                        recipients = []
                        self._say("250 go on")
                    case "RCPT" if self.server.refuses:
                        # Some servers say back what they were given.
                        self._say(f"550 {rest} refused")
                    case "RCPT":
                        recipients.append(rest.partition("<")[2].partition(">")[0])
                        self._say("250 go on")
                    case "DATA":
                        self._say("354 go on")
                        self.server.mails.append(Mail(recipients, self._message()))
                        self._say("250 taken")
                    case "QUIT":
                        self._say("221 bye")
                        return
                    case _:
                        self._say("250 go on")

    def _say(self, *lines: str) -> None:
        self.wfile.write("".join(f"{line}\r\n" for line in lines).encode())

    def _message(self) -> EmailMessage:
        raw = b"".join(
            line.removeprefix(b".") for line in iter(self.rfile.readline, b".\r\n") if line
        )
        return message_from_bytes(raw, policy=policy.default)  # type: ignore[return-value]


@dataclass(eq=False)
class MailSink(socketserver.ThreadingTCPServer):
    """Listens on a free port of 127.0.0.1 while its context is open."""

    mails: list[Mail] = field(default_factory=list)
    logins: list[tuple[str, str]] = field(default_factory=list)
    refuses: bool = False

    daemon_threads = True

    def __post_init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    def __enter__(self) -> Self:
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *exc: Any) -> None:
        self.shutdown()
        self.server_close()
