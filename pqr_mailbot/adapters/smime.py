"""A mail inside its own signature (RFC 8551 section 3.5.2) -> the octets that were signed; no signature is checked."""

from __future__ import annotations

_SIGNED_DATA = bytes.fromhex("06092a864886f70d010702")  # its object identifier


def signed_content(data: bytes) -> bytes:
    """The octets a SignedData (RFC 5652 section 5.1) is about, in BER of definite or indefinite length; b"" if none."""
    position = data.find(_SIGNED_DATA, 0, 40)
    if position < 0:
        return b""
    position += len(_SIGNED_DATA)
    for expected in (0xA0, 0x30, -0x02, -0x31, 0x30, -0x06, 0xA0):  # go into, or behind when negative
        tag, start, length = _ber(data, position)
        if tag != abs(expected) or (expected < 0 and length < 0):
            return b""
        position = start + length if expected < 0 else start
    tag, start, length = _ber(data, position)
    if tag == 0x04:
        return data[start : start + length]
    pieces = bytearray()
    end = start + length if length >= 0 else len(data)
    while tag == 0x24 and start < end:
        inner, begin, size = _ber(data, start)
        if inner != 0x04 or size < 0:
            break
        pieces += data[begin : begin + size]
        start = begin + size
    return bytes(pieces)


def _ber(data: bytes, position: int) -> tuple[int, int, int]:
    """(tag, where the content begins, its length or -1 when that is not said); a tag of 0 behind the end."""
    head = data[position : position + 6]
    if len(head) < 2:
        return 0, len(data), 0
    if head[1] < 0x80:
        return head[0], position + 2, head[1]
    count = head[1] - 0x80
    length = int.from_bytes(head[2 : 2 + count], "big") if 0 < count <= 4 else -1
    return head[0], position + 2 + count, length
