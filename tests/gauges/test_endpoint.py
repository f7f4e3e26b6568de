"""The endpoint of the gauges: what it answers, and to whom."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from prometheus_client.parser import text_string_to_metric_families as parsed

from archsearch.errors import InputError
from archsearch.gauges import page
from archsearch.gauges.endpoint import VARIABLE, Endpoint

METHODS = (
    "GET",
    "HEAD",
    "POST",
    "PUT",
    "PATCH",
    "DELETE",
    "OPTIONS",
    "TRACE",
    "CONNECT",
    "MADE-UP",
)
TOKEN = "0123456789abcdef0123456789abcdef"


@pytest.fixture(scope="module")
def endpoint() -> Iterator[Endpoint]:
    opened = Endpoint("0")
    yield opened
    opened.close()


@pytest.fixture
def token_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "token"
    path.write_text(TOKEN + "\n")
    path.chmod(0o600)
    monkeypatch.setenv(VARIABLE, str(path))
    return path


def ask(
    endpoint: Endpoint, method: str = "GET", path: str = "/metrics", **headers: str
) -> tuple[int, str]:
    address = urlsplit(endpoint.url)
    assert address.hostname is not None
    connection = http.client.HTTPConnection(address.hostname, address.port, timeout=5)
    try:
        connection.putrequest(method, path, skip_host="Host" in headers)
        for name, value in headers.items():
            connection.putheader(name, value)
        connection.endheaders()
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def test_what_is_put_in_comes_out(endpoint: Endpoint) -> None:
    hostile = 'a"b\\c\nd'
    endpoint.add(page.TRIALS, 3, study=hostile, phase="search", state="complete")
    endpoint.put(page.BEST, 0.25, study=hostile, metric="error")
    endpoint.observe(page.SECONDS, 2.0, study=hostile, phase="search")
    status, text = ask(endpoint)
    assert status == 200
    found = {
        (sample.name, sample.labels.get("le")): (sample.value, sample.labels["study"])
        for family in parsed(text)
        for sample in family.samples
    }
    assert found["archsearch_trials_total", None] == (3.0, hostile)
    assert found["archsearch_best_value", None] == (0.25, hostile)
    assert found["archsearch_trial_seconds_bucket", "1.0"] == (0.0, hostile)
    assert found["archsearch_trial_seconds_bucket", "3.0"] == (1.0, hostile)
    assert found["archsearch_trial_seconds_sum", None] == (2.0, hostile)
    assert {family.name for family in parsed(text)} == {
        series.name.removesuffix("_total") for series in page.PAGE
    }


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("path", ["/metrics", "/", "/metrics/", "/../metrics", "/favicon.ico"])
def test_all_is_refused_but_one(endpoint: Endpoint, method: str, path: str) -> None:
    status, _ = ask(endpoint, method, path)
    assert (status == 200) == (method == "GET" and path == "/metrics")
    assert status in (200, 404, 405)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "localhost:9", "[::1]", "[::1]:80"])
def test_a_host_that_is_this_machine(endpoint: Endpoint, host: str) -> None:
    assert ask(endpoint, Host=host)[0] == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:80",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "evil.example:localhost",
        "localhost:80:80",
        "127.0.0.1@evil.example",
        "0.0.0.0",
        "[::1",
        "",
        " ",
    ],
)
def test_a_host_that_is_not(endpoint: Endpoint, host: str) -> None:
    status, text = ask(endpoint, Host=host)
    assert status == 403
    assert "archsearch" not in text


def test_no_host_at_all(endpoint: Endpoint) -> None:
    address = urlsplit(endpoint.url)
    with socket.create_connection((str(address.hostname), address.port or 0), timeout=5) as line:
        line.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
        assert b" 403 " in line.recv(200)


def test_nobody_is_invited_from_elsewhere(endpoint: Endpoint) -> None:
    """No browser may read the answer for a page of another origin."""
    address = urlsplit(endpoint.url)
    assert address.hostname == "127.0.0.1"
    connection = http.client.HTTPConnection(str(address.hostname), address.port, timeout=5)
    connection.request("GET", "/metrics", headers={"Origin": "https://evil.example"})
    headers = {name.lower() for name, _ in connection.getresponse().getheaders()}
    connection.close()
    assert not [name for name in headers if name.startswith("access-control")]


def test_a_silent_client_keeps_nobody_waiting(endpoint: Endpoint) -> None:
    address = urlsplit(endpoint.url)
    with socket.create_connection((str(address.hostname), address.port or 0), timeout=5):
        assert ask(endpoint)[0] == 200


class TestToken:
    @pytest.mark.parametrize(
        "given",
        [None, "", "Bearer", "Bearer ", "Bearer " + TOKEN[:-1], TOKEN, "Basic " + TOKEN,
         "Bearer " + TOKEN + "x", "Bearer \xe9"],
    )  # fmt: skip
    def test_without_it_nothing(self, token_file: Path, given: str | None) -> None:
        endpoint = Endpoint("0")
        try:
            headers = {} if given is None else {"Authorization": given}
            for method in METHODS:
                for path in ("/metrics", "/metrics?token=" + TOKEN, "/"):
                    assert ask(endpoint, method, path, **headers)[0] == 401
        finally:
            endpoint.close()

    def test_with_it_the_same(self, token_file: Path) -> None:
        endpoint = Endpoint("0")
        try:
            given = {"Authorization": f"Bearer {TOKEN}", "Host": "node-7.cluster"}
            assert ask(endpoint, **given)[0] == 200
            assert ask(endpoint, "POST", **given)[0] == 405
        finally:
            endpoint.close()

    def test_it_opens_the_way_for_other_machines(self, token_file: Path) -> None:
        endpoint = Endpoint("0.0.0.0:0")
        endpoint.close()

    def test_a_file_that_others_can_read(self, token_file: Path) -> None:
        token_file.chmod(0o640)
        with pytest.raises(InputError, match="chmod 600"):
            Endpoint("0")

    def test_a_short_one(self, token_file: Path) -> None:
        token_file.write_text("short")
        with pytest.raises(InputError, match="at least 32 characters"):
            Endpoint("0")

    def test_one_that_is_no_text(self, token_file: Path) -> None:
        token_file.write_bytes(b"\xe7\xff" * 32)
        with pytest.raises(InputError, match="at least 32 characters"):
            Endpoint("0")


@pytest.mark.parametrize("place", ["0.0.0.0:0", "[::]:0", "192.0.2.1:0"])
def test_without_a_token_this_machine_alone(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    with pytest.raises(InputError, match="other machines can reach"):
        Endpoint(place)


@pytest.mark.parametrize("place", ["", "x", "http", "example.org:1", "70000", "-1", "1:2:3", "²"])
def test_a_place_that_is_none(place: str) -> None:
    with pytest.raises(InputError, match="expected PORT or ADDRESS:PORT"):
        Endpoint(place)


def test_a_place_that_is_taken(endpoint: Endpoint) -> None:
    with pytest.raises(InputError, match="choose another port"):
        Endpoint(str(urlsplit(endpoint.url).port))
