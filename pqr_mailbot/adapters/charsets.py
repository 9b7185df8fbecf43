"""Bytes in the charset they are declared to be in, or in the one they truly are in -> text, never raising."""

from __future__ import annotations

import codecs
import re
from functools import lru_cache

_NAME = re.compile(r"[a-z0-9][a-z0-9_.:-]{0,40}")
_NO_CHARSETS = frozenset({"punycode", "idna", "undefined", "unicode_escape", "raw_unicode_escape"})  # slow, or no text
_CP1252 = frozenset({"ascii", "iso8859-1", "cp1252"})  # what they are declared by is Windows, mostly
_STATEFUL = re.compile(r"utf-(?:7|16|32)|iso2022|hz")  # their bytes look like UTF-8 and are not
_EASTERN = frozenset({"gb18030", "gbk", "gb2312", "big5", "cp950", "big5hkscs", "cp932", "euc_jp", "cp949", "euc_kr"})
# Names the standard library does not know, and those whose bytes are in truth of a larger set.
_CHARSET_NAMES = (
    (re.compile(r"(?:x-|cs)?(?:windows|win|cp|ms)-?(125[0-8]|874|932|936|949|950)(?:[^0-9].*)?"), r"cp\1"),
    (re.compile(r"(?:x-|cs)?iso-?8859-?([0-9]{1,2})(?:-[ie]|[^0-9].*)?"), r"iso-8859-\1"),
    (re.compile(r"(?:x-)?(?:unicode-[0-9]-[0-9]-)?utf-?(7|8|16|32)(?:mb4|-?sig|-bom)?"), r"utf-\1"),
    (re.compile(r"(?:x-)?(?:gbk|gb_?2312(?:-80)?|gb18030|euc-cn|cp936)"), "gb18030"),
    (re.compile(r"(?:x-)?(?:s(?:hift)?[_-]?jis|windows-31j|ms_kanji)"), "cp932"),
    (re.compile(r"(?:x-)?(?:euc-kr|ks_?c_?5601(?:-1987)?|ksc5601)"), "cp949"),
    (re.compile(r"(?:x-)?(?:mac|macintosh|mac-?roman|x-mac-roman)"), "mac_roman"),
    (re.compile(r"(?:x-)?mac-?(cyrillic|greek|turkish|iceland|romanian|croatian)"), r"mac_\1"),
    (re.compile(r"(?:x-)?mac-?(?:ce|centraleurroman)"), "mac_latin2"),
    (re.compile(r"(?:x-)?big-?5(?:-eten)?"), "cp950"),
    (re.compile(r"hz-gb-2312"), "hz"),
    (re.compile(r"latin-?([1-9])"), r"latin_\1"),
)
_HIGH_BYTES = {0xDC00 + byte: bytes([byte]).decode("cp1252", "replace") for byte in range(0x80, 0x100)}
_HALVES = re.compile(rb"(?:\xed[\xa0-\xaf][\x80-\xbf]\xed[\xb0-\xbf][\x80-\xbf])++")
_SURROGATES = re.compile(r"[\udc80-\udcff]")


def is_name(charset: str) -> bool:
    """May this be the name of a charset at all?"""
    return _NAME.fullmatch(charset) is not None


def is_stateful(charset: str) -> bool:
    """Do the bytes of this charset look like ASCII or UTF-8 and are not?"""
    return _STATEFUL.match(codec_of(charset).replace("_", "-")) is not None


@lru_cache(maxsize=256)
def codec_of(charset: str) -> str:
    """The codec for a declared charset, "" when there is none that reads text."""
    charset = charset.strip("'\" ").lower().replace(" ", "-")
    if not _NAME.fullmatch(charset):
        return ""
    for pattern, name in _CHARSET_NAMES:
        if found := pattern.fullmatch(charset):
            charset = found.expand(name)
            break
    try:
        name = codecs.lookup(charset).name
        "".encode(name)  # refuses codecs that are not between text and bytes
    except (LookupError, ValueError, UnicodeError, TypeError):
        return ""
    return "" if name.replace("-", "_") in _NO_CHARSETS else name


def decoded(data: bytes, charset: str, cut: bool = False) -> str:
    """Text from bytes: UTF-8 if it is, else as declared, else Windows. `cut`: the end may be half a character."""
    codec = codec_of(charset) if charset else ""
    if b"\x1b$" in data and (codec in _CP1252 or codec in ("", "utf-8")):
        codec = "iso2022_jp"
    stateful = _STATEFUL.match(codec.replace("_", "-")) is not None
    if not stateful and data.isascii():
        return data.decode("ascii")
    if data[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) and not codec.startswith("utf-16"):
        codec, stateful = "utf-16", True
    for name in _order(data, codec, stateful):
        text = _decoded_as(data, name, cut)
        if text is not None:
            return text
    return _mended(data, codec, stateful)


def _order(data: bytes, codec: str, stateful: bool) -> tuple[str, ...]:
    """The codecs to try, those that cannot fail left out."""
    if codec in _CP1252 or codec in ("", "utf-8"):
        return ("utf-8",)
    if codec.startswith(("utf-16", "utf-32")) and b"\0" not in data and _decoded_as(data, "utf-8", True) is not None:
        return ("utf-8",)  # declared wide, and narrow
    if codec == "utf-16" and data[:2] not in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        big = data[:2_000:2].count(0) > data[1:2_000:2].count(0)
        return ("utf-16-be" if big else "utf-16-le", "utf-8")
    if stateful:
        return (codec, "utf-8")
    if codec in _EASTERN and (text := _decoded_as(data, "utf-8", True)) and not re.search(r"[\u0800-\U0010ffff]", text):
        # Two-byte letters only: either alphabet would do. Western ones are UTF-8 with the wrong name.
        return ("utf-8",) if all(letter < "\u0100" for letter in text) else (codec, "utf-8")
    if codec not in _EASTERN and (text := _decoded_as(data, "utf-8", True)) and not _is_likely(text, codec):
        return (codec, "utf-8")
    return ("utf-8", codec)


def _is_likely(text: str, codec: str) -> bool:
    """May `text` be UTF-8 with the wrong name? Three letters of a Russian charset can be one Thai letter by chance; but
    letters of the West, signs, and letters the named charset has as well do not come by chance."""
    return any(
        letter < "\u0100" or "\u2000" <= letter <= "\u20ff" or letter > "\uffff" or _encodable(letter, codec)
        for letter in set(text)
        if letter > "\x7f"
    )


def _encodable(letter: str, codec: str) -> bool:
    try:
        return bool(letter.encode(codec))
    except (UnicodeError, ValueError):
        return False


def _decoded_as(data: bytes, codec: str, cut: bool) -> str | None:
    try:
        return codecs.getincrementaldecoder(codec)().decode(data, not cut)
    except (UnicodeError, LookupError, ValueError, AssertionError):
        return None


def _joined_halves(halves: re.Match[bytes]) -> bytes:
    two = halves[0].decode("utf-8", "surrogatepass").encode("utf-16-le", "surrogatepass")
    return two.decode("utf-16-le").encode("utf-8")


def _mended(data: bytes, codec: str, stateful: bool) -> str:
    """Text that is damaged in any charset: UTF-8 with Windows letters among it, or the declared one with gaps, when
    that explains nearly all of it; else Windows."""
    if b"\xed\xa0" in data or b"\xed\xa1" in data:  # letters beyond U+FFFF as two halves, as Java writes them
        data = _HALVES.sub(_joined_halves, data)
    whole = "" if stateful or codec in _EASTERN else _decoded_as(data, "utf-8", True) or ""
    if not whole.isascii():  # half a letter at the end: a subject that was cut off
        return whole
    text = data.decode("utf-8", "surrogateescape")
    strays = len(_SURROGATES.findall(text))
    if len(data) - len(text) > 2 * strays:  # bytes that are parts of good letters
        return text.translate(_HIGH_BYTES)
    if stateful or codec in _EASTERN:
        text = data.decode(codec, "replace")
        if text.count("\ufffd") * 20 <= len(text) + 20:  # one gap is borne in any text
            return text
    return data.decode("cp1252", "replace")
