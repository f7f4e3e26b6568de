"""JSON messages over a stream socket, each behind its length; a slow reader blocks no sender."""

from __future__ import annotations

import json
import select
import socket
import struct
import time
from typing import Any

_HEADER = struct.Struct(">I")
_CHUNK = 1 << 16
LARGEST = 64 << 20


class Channel:
    """One end of a conversation.

    ``closed`` turns true when the other end is gone or says what no message of ours can be; what
    arrived before is still received.
    """

    def __init__(self, end: socket.socket) -> None:
        end.setblocking(False)
        self._end = end
        self._incoming = bytearray()
        self._outgoing = bytearray()
        self.closed = False

    @staticmethod
    def pair() -> tuple[Channel, Channel]:
        one, other = socket.socketpair()
        return Channel(one), Channel(other)

    def fileno(self) -> int:
        return self._end.fileno()

    @property
    def unsent(self) -> bool:
        return bool(self._outgoing) and not self.closed

    def send(self, message: Any) -> None:
        """Send what the socket takes now; the rest goes with the next send, flush or receive."""
        text = json.dumps(message, separators=(",", ":")).encode()
        self._outgoing += _HEADER.pack(len(text)) + text
        self.flush()

    def flush(self) -> None:
        while self.unsent:
            try:
                sent = self._end.send(self._outgoing)
            except BlockingIOError:
                return
            except OSError:
                self.closed = True
                return
            del self._outgoing[:sent]

    def receive(self, timeout: float | None = 0.0) -> list[Any]:
        """The messages that have arrived; waits for the first at most ``timeout`` seconds."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            self.flush()
            self._read()
            messages = self._unpack()
            left = None if deadline is None else deadline - time.monotonic()
            if messages or self.closed or (left is not None and left <= 0):
                return messages
            self._wait(select.POLLIN | (select.POLLOUT if self.unsent else 0), left)

    def drain(self) -> None:
        """Wait until everything is sent or the other end is gone."""
        while self.unsent:
            self._wait(select.POLLOUT, None)
            self.flush()

    def close(self) -> None:
        self.closed = True
        self._end.close()

    def _wait(self, events: int, timeout: float | None) -> None:
        # not select(), which fails for descriptors beyond 1023
        poll = select.poll()
        poll.register(self, events)
        poll.poll(None if timeout is None else 1000 * timeout)

    def _read(self) -> None:
        while not self.closed:
            try:
                chunk = self._end.recv(_CHUNK)
            except BlockingIOError:
                return
            except OSError:
                chunk = b""
            self.closed = not chunk
            self._incoming += chunk

    def _unpack(self) -> list[Any]:
        messages: list[Any] = []
        while len(self._incoming) >= _HEADER.size:
            (length,) = _HEADER.unpack_from(self._incoming)
            end = _HEADER.size + length
            if length > LARGEST:
                self.closed = True
                return messages
            if len(self._incoming) < end:
                break
            try:
                messages.append(json.loads(self._incoming[_HEADER.size : end]))
            except ValueError:
                self.closed = True
                return messages
            del self._incoming[:end]
        return messages
