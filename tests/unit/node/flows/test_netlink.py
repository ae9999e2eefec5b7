# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Messages and attributes of netlink, those that are cut short among them."""

from __future__ import annotations

import errno
import struct

import pytest
from ansible_collections.hostfence.calico.plugins.module_utils.node.flows.netlink import (
    HEADER_BYTES,
    NESTED,
    attribute,
    attributes,
    each_attribute,
    message,
    messages,
    raise_error,
)


def test_an_attribute_is_padded_and_its_length_is_not() -> None:
    made = attribute(7, b"abcde")
    assert (len(made), made[:4]) == (12, struct.pack("=HH", 9, 7))
    assert attribute(7, b"ab", b"cde") == made


def test_attributes_are_found_again_nested_ones_without_their_mark() -> None:
    data = attribute(1, b"a") + attribute(2 | NESTED, attribute(3, b"inner")) + attribute(1, b"last")
    found = attributes(data, 0, len(data))
    assert sorted(found) == [1, 2]
    assert data[slice(*found[1])] == b"last"
    inner = attributes(data, *found[2])
    assert data[slice(*inner[3])] == b"inner"
    assert [kind for kind, _first, _last in each_attribute(data, 0, len(data))] == [1, 2, 1]


@pytest.mark.parametrize(
    "rest", [b"", b"\x08", struct.pack("=HH", 3, 1), struct.pack("=HH", 0, 1), struct.pack("=HH", 400, 1)]
)
def test_an_attribute_that_cannot_be_one_ends_the_list(rest: bytes) -> None:
    data = attribute(1, b"a") + rest
    assert list(each_attribute(data, 0, len(data))) == [(1, 4, 5)]


def test_messages_of_one_buffer_are_told_apart() -> None:
    data = message(20, 1, 5, b"abc") + b"\0" + message(21, 1, 6, b"")
    assert list(messages(data)) == [(5, 20, 0, HEADER_BYTES + 3), (6, 21, 20, 20 + HEADER_BYTES)]


@pytest.mark.parametrize("rest", [b"", b"\0" * (HEADER_BYTES - 1), b"\0" * HEADER_BYTES])
def test_what_is_no_message_ends_the_buffer(rest: bytes) -> None:
    data = message(20, 1, 5, b"abcd") + rest
    assert [sequence for sequence, _kind, _start, _end in messages(data)] == [5]


def test_an_error_is_raised_with_its_number_and_an_acknowledgement_is_none() -> None:
    with pytest.raises(PermissionError) as raised:
        raise_error(message(2, 0, 1, struct.pack("=i", -errno.EPERM)), 0)
    assert raised.value.errno == errno.EPERM
    raise_error(message(2, 0, 1, struct.pack("=i", 0)), 0)
