"""The page of gauges over HTTP, in the text format of Prometheus, for whoever may read it.

Everything is refused but ``GET /metrics``. Without a token the endpoint listens on this machine
alone and answers only to a ``Host`` that names it, so that no web page can read it by rebinding a
name; with a token, every request shows it.
"""

from __future__ import annotations

import hmac
import ipaddress
import os
import socket
import stat
import threading
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from socketserver import TCPServer
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST, ThreadingWSGIServer, generate_latest

from archsearch.errors import InputError
from archsearch.gauges.page import PAGE, Series, Sink

VARIABLE = "ARCHSEARCH_METRICS_TOKEN_FILE"
LEAST_TOKEN = 32
OURS = ("127.0.0.1", "localhost", "[::1]")
HEADERS = [("X-Content-Type-Options", "nosniff"), ("Cache-Control", "no-store")]
KINDS = {"counter": Counter, "gauge": Gauge, "histogram": Histogram}


class Endpoint(Sink):
    """Serves ``place``, ``PORT`` or ``HOST:PORT``, until it is closed; port 0 takes a free one.

    Raises InputError for a place that cannot be had, and for one that other machines can reach
    while the environment variable ``ARCHSEARCH_METRICS_TOKEN_FILE`` names no file with a token.
    """

    def __init__(self, place: str) -> None:
        host, port = _place(place)
        token = _token()
        if token is None and not ipaddress.ip_address(host).is_loopback:
            raise InputError(
                f"--metrics {place}: other machines can reach {host}; leave the host out, or let "
                f"{VARIABLE} name a file with a token of at least {LEAST_TOKEN} characters"
            )
        # when a series was made is nobody's question, and would double the page
        disable_created_metrics()  # type: ignore[no-untyped-call]
        registry = CollectorRegistry()
        self._series = {entry.name: _made(entry, registry) for entry in PAGE}
        try:
            application = guarded(registry, token)
            self._server = make_server(host, port, application, _server_class(host), Quiet)
        except OSError as error:
            why = (error.strerror or "cannot be used").lower()
            raise InputError(f"--metrics {place}: {why}; choose another port") from None
        serve = partial(self._server.serve_forever, poll_interval=0.05)
        self._thread = threading.Thread(target=serve, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        host, port = self._server.server_address[:2]
        shown = f"[{host!s}]" if ":" in str(host) else str(host)
        return f"http://{shown}:{port}/metrics"

    def add(self, counter: Series, amount: float, **labels: str) -> None:
        self._series[counter.name].labels(**labels).inc(amount)

    def put(self, gauge: Series, value: float, **labels: str) -> None:
        self._series[gauge.name].labels(**labels).set(value)

    def observe(self, histogram: Series, value: float, **labels: str) -> None:
        self._series[histogram.name].labels(**labels).observe(value)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class Quiet(WSGIRequestHandler):
    """Gives a slow client five seconds, and keeps requests out of the terminal."""

    timeout = 5

    def log_message(self, format: str, *args: object) -> None:
        pass


def guarded(registry: CollectorRegistry, token: str | None) -> Callable[..., Iterable[bytes]]:
    """The WSGI application; what it is not sure of it refuses."""

    def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        status = _refusal(environ, token)
        if status is not None:
            start_response(status, [("Content-Type", "text/plain"), *HEADERS])
            return [status.encode() + b"\n"]
        start_response("200 OK", [("Content-Type", CONTENT_TYPE_LATEST), *HEADERS])
        return [generate_latest(registry)]

    return application


def _refusal(environ: dict[str, Any], token: str | None) -> str | None:
    if token is None:
        host = environ.get("HTTP_HOST", "")
        name, colon, port = host.rpartition(":")
        if not (colon and port.isdecimal()):
            name = host
        if name not in OURS:
            return "403 Forbidden"
    else:
        given = environ.get("HTTP_AUTHORIZATION", "")
        if not hmac.compare_digest(given.encode("latin-1"), f"Bearer {token}".encode()):
            return "401 Unauthorized"
    if environ["PATH_INFO"] != "/metrics":
        return "404 Not Found"
    return None if environ["REQUEST_METHOD"] == "GET" else "405 Method Not Allowed"


def _place(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    host = host.strip("[]") or "127.0.0.1"
    if host == "localhost":
        host = "127.0.0.1"
    try:
        ipaddress.ip_address(host)
    except ValueError:
        host = ""
    if not host or not port.isdecimal() or int(port) > 65535:
        raise InputError(f"--metrics {text}: expected PORT or ADDRESS:PORT, e.g. --metrics 9464")
    return host, int(port)


def _token() -> str | None:
    name = os.environ.get(VARIABLE)
    if name is None:
        return None
    path = Path(name)
    # what is no text is no token, which is told below
    token = path.read_text(errors="replace").strip()
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise InputError(f"{VARIABLE}: {name} can be read by others; chmod 600 {name}")
    if len(token) < LEAST_TOKEN or not token.isascii() or not token.isprintable():
        raise InputError(f"{VARIABLE}: {name} needs a token of at least {LEAST_TOKEN} characters")
    return token


def _server_class(host: str) -> type[WSGIServer]:
    class Server(ThreadingWSGIServer):
        address_family = socket.AF_INET6 if ":" in host else socket.AF_INET

        def server_bind(self) -> None:
            # not the parent's, which looks up the name of this machine
            TCPServer.server_bind(self)
            self.server_name, self.server_port = host, int(self.server_address[1])
            self.setup_environ()

    return Server


def _made(entry: Series, registry: CollectorRegistry) -> Any:
    more = {"buckets": entry.bounds} if entry.bounds else {}
    return KINDS[entry.kind](entry.name, entry.help, entry.labels, registry=registry, **more)
