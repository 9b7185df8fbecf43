"""Outlook's winmail.dat ([MS-OXTNEF]) -> what was packed into it, in bounds.

The one package for it on PyPI (tnefparse, last released in 2021) copies the rest of the file for each of its records
and believes each count it finds, which makes a few bytes of winmail.dat run for hours.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from pqr_mailbot.adapters.charsets import codec_of, decoded

_SIGNATURE = b"\x78\x9f\x3e\x22"
_NEW_FILE, _FILE_TITLE, _FILE_DATA, _FILE_PROPERTIES = 0x9002, 0x8010, 0x800F, 0x9005
_BODY, _PROPERTIES, _CODEPAGE = 0x800C, 0x9003, 0x9007
_LONG_NAME, _DISPLAY_NAME, _DATA, _TEXT_BODY, _HTML_BODY = 0x3707, 0x3001, 0x3701, 0x1000, 0x1013
_CONTENT_ID = 0x3712
_FIXED_SIZES = {2: 4, 3: 4, 4: 4, 5: 8, 6: 8, 7: 8, 10: 4, 11: 4, 20: 8, 64: 8, 72: 16}  # of MAPI types, padded


_NOTHING = memoryview(b"")


@dataclass(frozen=True, slots=True)
class File:
    """A file as it stands in a winmail.dat, no copy of it."""

    name: str = ""
    content: memoryview = _NOTHING
    content_id: str = ""


@dataclass(frozen=True, slots=True)
class Winmail:
    """What was packed into a winmail.dat: each file, and (is it HTML?, text) of each body."""

    files: tuple[File, ...]
    bodies: tuple[tuple[bool, str], ...]


def read_tnef(data: bytes) -> Winmail | None:
    """None when it is no TNEF. Names come as they stand there and are not safe; RTF bodies are not read."""
    if not data.startswith(_SIGNATURE):
        return None
    files: list[File] = []
    bodies: list[tuple[bool, str]] = []
    codepage = "cp1252"
    for number, value in _records(data):
        if number == _CODEPAGE:
            codepage = codec_of(f"cp{int.from_bytes(value[:4], 'little')}") or codepage
        elif number == _BODY:
            bodies.append((False, decoded(bytes(value).rstrip(b"\0"), codepage)))
        elif number == _PROPERTIES:
            bodies += _bodies(value, codepage)
        elif number == _NEW_FILE:
            files.append(File())
        elif files:
            files[-1] = _file(files[-1], number, value, codepage)
    return Winmail(tuple(files), tuple(bodies))


def _records(data: bytes) -> Iterator[tuple[int, memoryview]]:
    position, view = 6, memoryview(data)
    while position + 11 <= len(data):
        length = int.from_bytes(view[position + 5 : position + 9], "little")
        yield int.from_bytes(view[position + 1 : position + 3], "little"), view[position + 9 : position + 9 + length]
        position += 11 + length


def _file(file: File, number: int, value: memoryview, codepage: str) -> File:
    if number == _FILE_TITLE:
        return replace(file, name=file.name or decoded(bytes(value).partition(b"\0")[0], codepage))
    if number == _FILE_DATA:
        return replace(file, content=value)
    if number == _FILE_PROPERTIES:
        found = dict(_mapi(value))
        title = found.get(_LONG_NAME) or (_NOTHING if file.name else found.get(_DISPLAY_NAME, _NOTHING))
        return File(
            _wide_or_narrow(title, codepage) or file.name,
            file.content or found.get(_DATA, _NOTHING)[16:],
            _wide_or_narrow(found.get(_CONTENT_ID, _NOTHING), codepage).strip("<> "),
        )
    return file


def _bodies(value: memoryview, codepage: str) -> Iterator[tuple[bool, str]]:
    found = dict(_mapi(value))
    if _TEXT_BODY in found:
        yield False, _wide_or_narrow(found[_TEXT_BODY], codepage)
    elif _HTML_BODY in found:
        yield True, _wide_or_narrow(found[_HTML_BODY], codepage)


def _wide_or_narrow(value: memoryview, codepage: str) -> str:
    data = bytes(value)
    wide = len(data) > 1 and data[1::2].count(0) * 2 > len(data) // 2
    return decoded(data, "utf-16-le" if wide else codepage).rstrip("\0")


def _mapi(data: memoryview) -> Iterator[tuple[int, memoryview]]:
    """(identifier, value) of the properties in a property list; stops where it makes no sense."""

    def number(place: int, size: int = 4) -> int:
        return int.from_bytes(data[place : place + size], "little")

    position = 4
    for _ in range(min(number(0), len(data) // 4)):
        kind, identifier = number(position, 2), number(position + 2, 2)
        position += 4
        if identifier >= 0x8000:  # a name of its own stands before the value
            named = number(position + 16)
            position += 24 + (-(-number(position + 20) // 4) * 4 if named else 0)
        many, kind = kind & 0x1000, kind & 0x0FFF
        if kind in _FIXED_SIZES:
            position += (4 + _FIXED_SIZES[kind] * number(position)) if many else _FIXED_SIZES[kind]
        elif kind in (0x0D, 0x1E, 0x1F, 0x102):
            count, position = number(position), position + 4
            for _ in range(min(count, len(data) // 4)):
                length, position = number(position), position + 4
                yield identifier, data[position : position + length]
                position += -(-length // 4) * 4
                if position > len(data):
                    return
        else:
            return
        if position > len(data):
            return
