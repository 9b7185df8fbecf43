"""What the receiving server found out about a sender: Authentication-Results (RFC 8601), read with distrust.

Anybody can write such a header into a mail. Only the topmost one counts, and only when a server we trust signed it:
what stands below may have come with the mail.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field

from pqr_mailbot.domain.model import Mail

HEADER = "authentication-results"
MICROSOFT = "microsoft"  # the trusted id of servers whose header names none (Microsoft 365)
_LONGEST = 10_000  # characters looked at; a real one has a few hundred

_METHOD = re.compile(r"\s*([A-Za-z][\w-]*)\s*(?:/\s*\d+\s*)?=\s*([A-Za-z]+)")
# A value may be partly quoted: MAIL FROM:<"ana@office"@elsewhere> is of elsewhere.
_PROPERTY = re.compile(r"\b((?:[A-Za-z]+\.)?[A-Za-z][\w-]*)\s*=\s*((?:\"[^\"]*\"|[^\s;()\"])+)")
_POLICY_IN_COMMENT = re.compile(r"\bp=\s*(none|quarantine|reject)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Result:
    """One method's finding: `dmarc`, `fail`, and what was looked at, such as `header.from`. All in lower case."""

    method: str
    outcome: str
    properties: Mapping[str, str] = field(default_factory=dict)
    comments: str = ""


@dataclass(frozen=True, slots=True)
class Authentication:
    """The findings of the server we trust. `server` "": nothing is known, which is neither good nor bad."""

    server: str = ""
    results: tuple[Result, ...] = ()

    def forged(self) -> bool:
        """DMARC failed for a domain that asks receivers to act on it; under p=none a failure is everyday life."""
        return any(r.method == "dmarc" and r.outcome == "fail" and _policy(r) != "none" for r in self.results)

    def __str__(self) -> str:
        """What was found, for `explain`: `mx.google.com: spf=pass dkim=none dmarc=fail`."""
        found = " ".join(f"{result.method}={result.outcome}" for result in self.results)
        return f"{self.server}: {found or 'nothing'}" if self.server else "no server we trust looked at it"

    def vouches_for(self, address: str) -> bool:
        """Did anything that is aligned with this address's domain pass (RFC 7489, strict or one a subdomain of the
        other)?"""
        domain = address.rpartition("@")[2].lower()
        if any(r.method == "dmarc" and r.outcome == "fail" for r in self.results):
            return False
        return any(r.outcome == "pass" and _aligned(_domain(r), domain) for r in self.results)


NOTHING_KNOWN = Authentication()


def authentication(mail: Mail, trusted: Collection[str]) -> Authentication:
    """Reads the topmost header. Nothing is known when it is another server's, or cannot be read."""
    value = mail.header(HEADER)[:_LONGEST]
    pieces = [(plain.strip(), comments) for plain, comments in _pieces(value)]
    server, first = _server(pieces[0][0]) if pieces else ("", 0)
    if server not in {one.strip().lower() for one in trusted}:
        return NOTHING_KNOWN
    return Authentication(server, tuple(filter(None, (_result(*piece) for piece in pieces[first:]))))


def _server(piece: str) -> tuple[str, int]:
    """Who wrote the header, and at which piece the findings begin. `authserv-id version`, or a finding at once."""
    if _METHOD.match(piece):
        return MICROSOFT, 0
    words = piece.split()
    return (words[0].strip('"').lower() if words else ""), 1


def _result(piece: str, comments: str) -> Result | None:
    found = _METHOD.match(piece)
    if found is None:
        return None
    properties = {name.lower(): value.strip('"').lower() for name, value in _PROPERTY.findall(piece[found.end() :])}
    return Result(found[1].lower(), found[2].lower(), properties, comments)


def _pieces(value: str) -> Iterator[tuple[str, str]]:
    """What stands between semicolons: text, and apart from it the comments. Both may be broken off at the end."""
    plain, comments, depth, quoted, escaped = "", "", 0, False, False
    for character in value:
        if escaped:
            escaped = False
        elif character == "\\":
            escaped = True
            continue
        elif character == '"' and not depth:
            quoted = not quoted
        elif character == "(" and not quoted:
            depth += 1
        elif character == ")" and depth:
            depth -= 1
            comments += " "
            plain += " " if not depth else ""
            continue
        elif character == ";" and not depth and not quoted:
            yield plain, comments
            plain = comments = ""
            continue
        if depth:
            comments += character
        else:
            plain += character
    yield plain, comments


def _policy(result: Result) -> str:
    """What the domain asks for: "none", "quarantine", "reject"; "" when the server does not say.

    Google and OpenDMARC say it in a comment, Microsoft as `action` ("oreject" too), others as a property.
    """
    for name in ("policy.published-domain-policy", "policy.dmarc", "action"):
        if name in result.properties:
            return result.properties[name].removeprefix("o").removeprefix("pct.")
    said = _POLICY_IN_COMMENT.search(result.comments)
    return said[1].lower() if said else ""


def _domain(result: Result) -> str:
    """The domain that a finding is about."""
    name = {"dmarc": "header.from", "spf": "smtp.mailfrom", "dkim": "header.d"}.get(result.method, "")
    said = result.properties.get(name) or (result.properties.get("header.i", "") if result.method == "dkim" else "")
    return said.rpartition("@")[2].rstrip(".>")


def _aligned(found: str, domain: str) -> bool:
    if not (found and domain and "." in found):  # nobody signs for a whole top-level domain
        return False
    return found == domain or found.endswith(f".{domain}") or domain.endswith(f".{found}")
