"""Asks a server that nobody trusts: an answer is bounded in bytes and in seconds, and leads nowhere else."""

import http.client
import socket
import threading
import time
from dataclasses import dataclass
from typing import NoReturn

JSON, CSV = "application/json", "text/csv"


class Unanswered(Exception):
    """There was no answer; why, in words that go on from what was asked."""


class Gone(Unanswered):
    """Nobody listens, or the connection was closed before the answer."""


@dataclass(frozen=True)
class Answer:
    """What the server said."""

    status: int
    body: bytes
    seconds: float


@dataclass(frozen=True)
class Asker:
    """One server. Each question has a connection of its own, so that no answer is taken for another's."""

    port: int
    seconds: float  # for the whole of an answer: one that trickles is late, too
    host: str = "127.0.0.1"

    def ask(self, method: str, path: str, body: bytes = b"", kind: str = JSON, limit: int = 64 * 1024) -> Answer:
        """The answer, of `limit` bytes at most."""
        began, late = time.monotonic(), threading.Event()
        connection = http.client.HTTPConnection(self.host, self.port, timeout=self.seconds)
        try:
            connection.connect()
            found = connection.sock

            def end() -> None:
                late.set()
                _shut(found)

            timer = threading.Timer(self.seconds, end)
            timer.start()
            try:
                connection.request(method, path, body or None, {"Content-Type": kind} if body else {})
                response = connection.getresponse()
                content = response.read(limit + 1)
            finally:
                timer.cancel()
        except (OSError, http.client.HTTPException, ValueError) as error:
            _unanswered(error, late.is_set(), self.seconds)
        finally:
            connection.close()
        if late.is_set():
            _unanswered(TimeoutError(), late=True, seconds=self.seconds)
        if len(content) > limit:
            raise Unanswered(f"gave an answer of more than {limit} bytes")
        return Answer(response.status, content, time.monotonic() - began)


def _shut(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)  # whoever reads from it is woken
    except OSError:
        return  # it has ended by itself


def _unanswered(error: Exception, late: bool, seconds: float) -> NoReturn:
    if late or isinstance(error, TimeoutError):
        raise Unanswered(f"gave no whole answer within {seconds:g} s") from error
    if isinstance(error, OSError | http.client.IncompleteRead):
        raise Gone("closed the connection, or listens no more") from error
    raise Unanswered(f"gave an answer that is no HTTP: {type(error).__name__}") from error
