"""HTML of a mail -> the text a person would read, in linear time whatever was sent."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from selectolax.lexbor import LexborHTMLParser

MAX_HTML = 2_000_000  # characters; the rest is cut off
MAX_DEPTH = 200  # open elements; tree builders walk them for each tag, so unbounded depth would cost its square

# What stands in the text while the tree is still needed. Control characters cannot come from the mail: they are
# dropped first, and character references to them are dropped too.
_BREAK, _LINE, _PARAGRAPH, _CELL = "\x1e", "\x03", "\x04", "\x1f"  # line break; new line; blank line; next cell
_QUOTE, _UNQUOTE, _HIDE, _SHOW = "\x1c", "\x1d", "\x01", "\x02"
_REPLY = "\x05"  # Outlook's box around "De: … Enviado: …"

_LINE_MARKS = frozenset((_BREAK, _LINE, _PARAGRAPH, _QUOTE, _UNQUOTE, _REPLY))
_RULER = "_" * 32  # what Outlook itself sets above that box in a text mail
_ADDRESSED_FIELD = re.compile(r"[^\W\d][^:@<>]{0,25}:\s[^@]{0,200}@")  # "De: Ana <ana@…>", in any language
_SIGNATURE_DASHES = re.compile(r"\s*--[ \xa0]\s*")  # RFC 3676 section 4.3: the blank says that a program wrote them

_DROPPED_NAMES = ("script", "style", "title", "template")
# Those that are never closed end where the body begins.
_DROPPED = "|".join(rf"<{name}\b[^>]*>.*?(?:</{name}\s*>|(?=</head\b|<body\b)|\Z)" for name in _DROPPED_NAMES)
_TOKEN = re.compile(
    r"(<!--(?:-?>|.*?(?:--!?>|\Z))"
    rf"|{_DROPPED}"
    r"""|</?[a-z](?:[^"'>]++|"[^"<>]*+"|'[^'<>]*+'|"[^"]{0,500}+"|'[^']{0,500}+'|["'])*+>?"""
    r"|<[!?/][^>]*>?)",
    re.IGNORECASE | re.DOTALL,
)
_TAG = re.compile(r"<(/?)([a-z][a-z0-9:_-]*+)(.*)", re.IGNORECASE | re.DOTALL)
_ATTRIBUTE = re.compile(r"""([^\s"'>/=]{1,80})(?:\s{0,9}=\s{0,9}(?:"([^"]*+)"|'([^']*+)'|([^\s"'>]++)))?""")
_MAY_HIDE = re.compile(r"hidden|none|size", re.IGNORECASE)
_HIDING = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden", re.IGNORECASE)
# Of boxes only the space between their parts is meant by this (MJML); what is in them has a size of its own.
_SIZELESS = re.compile(r"font-size\s*:\s*0(?:px|pt|em|%)?\s*(?=[;!]|$)", re.IGNORECASE)
# A blockquote alone may be the sender's own (Gmail indents by it); a quote has a kind, a name or a line at its left.
_CITED = re.compile(
    r"""type\s{0,9}=\s{0,9}["']?cite|(?:class|id)\s{0,9}=\s{0,9}(?:"[^"<>]{0,200}|'[^'<>]{0,200}|[^\s"'<>]{0,200})quote"""
    r"""|border-left(?:-\w{1,9})?\s{0,9}:\s{0,9}(?!none|0(?:px|pt)?\b)""",
    re.IGNORECASE,
)
_OUTLOOK_BOX = re.compile(
    r"""id\s{0,9}=\s{0,9}["']?(?:x_){0,9}divRplyFwdMsg|border-top\s{0,9}:\s{0,9}solid\s{1,9}#[0-9a-f]{3,6}\s{1,9}1\.0pt"""
    r"""|border-(?:top|width)\s{0,9}:\s{0,9}1pt\s{1,9}(?:solid\s{1,9}rgb|medium)""",  # as other programs write it anew
    re.IGNORECASE,
)
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
_CONTROL_REFERENCE = re.compile(
    r"&#(?:x0*+(?:[1-8bcef]|1[0-9a-f]|7f)(?![0-9a-f])|0*+(?:[1-8]|1[124-9]|2[0-9]|3[01]|127)(?![0-9]));?", re.IGNORECASE
)
# Shown with space around them.
_PARAGRAPHS = frozenset(("blockquote", "h1", "h2", "h3", "h4", "h5", "h6", "ol", "p", "pre", "table", "ul"))
_LINES = frozenset(
    ("address", "article", "aside", "body", "caption", "center", "dd", "details", "div", "dl", "dt", "fieldset",
     "figure", "footer", "form", "header", "html", "li", "main", "nav", "option", "section", "summary", "tbody",
     "tfoot", "thead", "tr")
)  # fmt: skip
_BLOCKS = _PARAGRAPHS | _LINES
_MARKS = {
    **dict.fromkeys(_LINES, _LINE), **dict.fromkeys(_PARAGRAPHS, _PARAGRAPH),
    "td": _CELL, "th": _CELL, "br": _BREAK, "hr": _LINE,
}  # fmt: skip
_VOID = frozenset(
    ("area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source", "track", "wbr")
)
_BOXES = frozenset(("div", "table", "tbody", "td", "th", "tr"))
_MAX_REMEMBERED = 200  # characters of a tag
_SELF_CLOSING = frozenset({"p", "li"})  # opened again, they close the one before: they cannot nest by themselves


def html_text(html: str) -> str:
    """The readable text of `html`: one line a block, hidden parts, scripts and styles left out, links by their words.

    Quoted blocks as mail clients mark them (blockquotes of type cite, of a name with "quote", or with a line at their
    left) come out with "> " before each line, and Outlook's box of fields under a ruler, as in a text mail, so that one
    set of rules recognises quotes in both.
    """
    plain = _CONTROL_REFERENCE.sub(" ", _CONTROL.sub("", html[:MAX_HTML]))
    tree = LexborHTMLParser(f"<body>{''.join(_tamed(plain))}</body>")
    if tree.body is None:
        return ""
    for selector, before, after in ((".h", _HIDE, _SHOW), (".q", _QUOTE, _UNQUOTE)):
        for node in tree.css(selector):
            node.insert_before(before)
            node.insert_after(after)
    return _laid_out(_shown(tree.body.text(deep=True)))


@dataclass(frozen=True, slots=True)
class _Tag:
    """A tag as it is to be written, and how it nests."""

    element: str  # "" when it neither opens nor closes one
    closing: bool
    nests: bool
    preformatted: bool
    mark: str  # what stands for it in any case
    written: str


def _tamed(html: str) -> Iterator[str]:
    """The same HTML with nothing in it that a tree builder could choke on.

    Formatting elements (which are built again in each paragraph), tables (whose strays are moved about) and attributes
    (compared with one another) cost the square of a hostile input's length. None of them says what is readable, so
    only four kinds of element are left, with at most one attribute, and not too many inside one another.
    """
    opened, preformatted = list[str](), 0
    closed = html.rfind("-->") + 1
    html = html[:closed] + html[closed:].replace("<!--", "<!")  # a comment without its end ends with its first tag
    pieces = _TOKEN.split(html)  # text and token by turns
    for number, piece in enumerate(pieces):
        if number % 2 == 0:
            if piece:
                yield _text(piece, preformatted > 0)
            continue
        tag = _tag_of(piece) if len(piece) < _MAX_REMEMBERED else _read_tag(piece)
        if tag is None:
            continue
        if tag.preformatted:
            preformatted = max(0, preformatted - 1) if tag.closing else preformatted + 1
        yield _nested(tag, opened)


def _nested(tag: _Tag, opened: list[str]) -> str:
    """The tag as it is written here; `opened` are the elements open now and is kept up to date."""
    if tag.closing:
        if opened and opened[-1] == tag.element:
            opened.pop()
    elif not tag.element or len(opened) >= MAX_DEPTH:
        return tag.mark
    elif tag.nests:
        opened.append(tag.element)
    return tag.written


def _read_tag(token: str) -> _Tag | None:
    """None for a comment and the like."""
    found = _TAG.match(token)
    if found is None or (name := found[2].lower()) in _DROPPED_NAMES:
        return None
    closing, attributes = bool(found[1]), found[3]
    mark = _REPLY if name == "div" and _OUTLOOK_BOX.search(attributes) else _MARKS.get(name, "")
    element = "" if name in _VOID else name if name in _SELF_CLOSING else "div" if name in _BLOCKS else "span"
    written = f"{mark}</{element}>" if closing else f"{mark}<{element}{_class(name, attributes)}>"
    written = written if element else mark
    return _Tag(element, closing, element not in _SELF_CLOSING, name == "pre", mark, written)


_tag_of = lru_cache(maxsize=2_000)(_read_tag)  # a mail is made of the same few tags


def _class(name: str, attributes: str) -> str:
    if not attributes or attributes == ">":
        return ""
    if _MAY_HIDE.search(attributes) and _is_hidden(name, attributes):
        return " class=h"
    return " class=q" if name == "blockquote" and _CITED.search(attributes) else ""


def _is_hidden(name: str, attributes: str) -> bool:
    for attribute, *values in _ATTRIBUTE.findall(attributes):
        said, style = attribute.lower(), "".join(values)
        if said == "hidden":
            return True
        if said == "style" and (_HIDING.search(style) or (name not in _BOXES and _SIZELESS.search(style))):
            return True
    return False


def _text(text: str, preformatted: bool) -> str:
    text = text.replace("<", "&lt;")
    return text.replace("\n", _BREAK) if preformatted else text


def _shown(text: str) -> str:
    """`text` without what lies between the marks of hidden parts, which may lie in one another."""
    depth, shown = 0, list[str]()
    for piece in re.split(f"([{_HIDE}{_SHOW}])", text):
        if piece == _HIDE:
            depth += 1
        elif piece == _SHOW:
            depth -= 1
        elif depth == 0:
            shown.append(piece)
    return "".join(shown)


def _laid_out(text: str) -> str:
    """Lines from marks: white space as a browser shows it, quote marks before quoted lines, one blank line at most."""
    quoted, line, boxed, lines = 0, "", False, [""]
    for piece in re.split(f"([{''.join(_LINE_MARKS)}])", f"{text}{_LINE}"):
        if piece not in _LINE_MARKS:
            line = _one_line(piece) if piece else ""
            continue
        if line:
            if boxed and _ADDRESSED_FIELD.match(line):
                lines.append("> " * min(quoted, 9) + _RULER)
            lines.append("> " * min(quoted, 9) + line)
            boxed = False
        if lines[-1] and (piece == _PARAGRAPH or (piece == _BREAK and not line)):
            lines.append("")
        line = ""
        boxed |= piece == _REPLY
        quoted += (piece == _QUOTE) - (piece == _UNQUOTE)
    return "\n".join(lines).strip("\n")


def _one_line(piece: str) -> str:
    if "--" in piece and _SIGNATURE_DASHES.fullmatch(piece):
        return "-- "
    return " ".join(piece.replace("\u200b", "").replace("\xad", "").replace(_CELL, " ").split())
