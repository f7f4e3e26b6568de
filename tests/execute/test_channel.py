"""Messages arrive whole, in order and without either end waiting for the other."""

from __future__ import annotations

import json
import math
import socket
import struct
import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archsearch.execute.channel import LARGEST, Channel

plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=50, deadline=None)
@given(st.lists(plain, max_size=5))
def test_messages_arrive_as_they_left(messages: list[object]) -> None:
    one, other = Channel.pair()
    for message in messages:
        one.send(message)
    found: list[object] = []
    while len(found) < len(messages):
        found += other.receive(1.0)
    assert found == messages
    one.close()
    other.close()


def test_infinity_and_nan_arrive() -> None:
    one, other = Channel.pair()
    one.send([math.inf, -math.inf, math.nan])
    ((high, low, none),) = other.receive(1.0)
    assert (high, low) == (math.inf, -math.inf)
    assert math.isnan(none)
    one.close()
    other.close()


def test_a_reader_that_sleeps_blocks_no_sender() -> None:
    one, other = Channel.pair()
    large = "x" * (4 << 20)
    began = time.monotonic()
    one.send(large)
    one.send("after it")
    assert time.monotonic() - began < 10
    assert one.unsent
    found: list[object] = []
    while len(found) < 2:
        found += other.receive(0.0)
        one.flush()
    assert found == [large, "after it"]
    assert not one.unsent
    one.close()
    other.close()


def test_both_ends_may_send_much_at_once() -> None:
    one, other = Channel.pair()
    large = "x" * (2 << 20)
    thread = threading.Thread(target=lambda: (other.send(large), other.receive(5.0), other.drain()))
    thread.start()
    one.send(large)
    found = one.receive(5.0)
    one.drain()
    thread.join(5.0)
    assert found == [large]
    assert not thread.is_alive()
    one.close()
    other.close()


def test_what_was_sent_before_the_end_is_received() -> None:
    one, other = Channel.pair()
    one.send("last words")
    one.close()
    assert other.receive(1.0) == ["last words"]
    assert other.closed
    assert other.receive(None) == []
    other.close()


def test_waiting_ends_in_time() -> None:
    one, other = Channel.pair()
    began = time.monotonic()
    assert other.receive(0.1) == []
    assert 0.1 <= time.monotonic() - began < 10
    one.close()
    other.close()


def test_a_message_in_pieces_is_one_message() -> None:
    end, far = socket.socketpair()
    channel = Channel(far)
    text = json.dumps({"a": 1}).encode()
    whole = struct.pack(">I", len(text)) + text
    for at in range(len(whole)):
        assert channel.receive() == []
        end.send(whole[at : at + 1])
    assert channel.receive(1.0) == [{"a": 1}]
    end.close()
    channel.close()


@pytest.mark.parametrize(
    "garbage",
    [
        struct.pack(">I", 5) + b"{{{{{",
        struct.pack(">I", LARGEST + 1),
        struct.pack(">I", 1) + b"\xff",
    ],
)
def test_garbage_closes_the_channel(garbage: bytes) -> None:
    end, far = socket.socketpair()
    channel = Channel(far)
    end.send(garbage)
    assert channel.receive(1.0) == []
    assert channel.closed
    end.close()
    channel.close()


def test_sending_to_the_dead_is_silent() -> None:
    one, other = Channel.pair()
    other.close()
    one.send("hello")
    one.send("hello?")
    assert one.closed
    one.close()
