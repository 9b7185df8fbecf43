"""Signing: the token each of our letters carries, and the keyed hash that recognises a mail without keeping it."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets

from pqr_mailbot.domain.model import Mail
from pqr_mailbot.domain.screen import LETTER_HEADER

_TOKEN = re.compile(r"<?pqr\.(?P<token>[a-z2-7]{13}\.[a-z2-7]{16})(?P<thread>\.t)?@")
_ANY_TOKEN = re.compile(rb"^X-PQR-Letter:|^Message-ID:\s{0,9}<pqr\.[a-z2-7]{13}\.", re.IGNORECASE | re.MULTILINE)
_IN_SUBJECT = re.compile(r"[\s(\[]*\bpqr\.(?P<token>[a-z2-7]{13}\.[a-z2-7]{16})\b[)\]]*", re.IGNORECASE)
_BARE_TOKEN = re.compile(r"[a-z2-7]{13}\.[a-z2-7]{16}")


def new_key() -> bytes:
    """A signing key for a new store."""
    return secrets.token_bytes(32)


class Signer:
    """Mints and checks tokens with the desk's secret keys, the oldest first: the newest signs, all of them count."""

    def __init__(self, *keys: bytes) -> None:
        self._keys = keys

    def mint(self, recipient: str) -> str:
        """A new token for one letter to one recipient: a nonce and its signature, good in any header."""
        nonce = _base32(secrets.token_bytes(8))
        return f"{nonce}.{_signature(self._keys[-1], nonce, recipient)}"

    def genuine(self, token: str, recipient: str) -> bool:
        """Did we mint this token for that recipient?"""
        nonce, _, signature = token.partition(".")
        ours = (_signature(key, nonce, recipient).encode() for key in self._keys)
        return any(hmac.compare_digest(one, signature.encode()) for one in ours)

    def content_key(self, content_hash: str) -> str:
        """The keyed hash under which a mail's content is recognised again; it says nothing once the mail is erased."""
        return hmac.new(self._keys[0], b"content\0" + content_hash.encode(), hashlib.sha256).hexdigest()


def _signature(key: bytes, nonce: str, recipient: str) -> str:
    message = f"letter\0{nonce}\0{recipient.lower()}".encode()
    return _base32(hmac.new(key, message, hashlib.sha256).digest()[:10])


def subject_token(token: str) -> str:
    """The token as a button puts it into the subject of a mail that answers nothing."""
    return f"pqr.{token}"


def cut_subject_token(subject: str) -> tuple[str, str | None]:
    """The subject without a button's token, and the token: it is nobody else's to read."""
    match = _IN_SUBJECT.search(subject)
    if match is None:
        return subject, None
    return _IN_SUBJECT.sub("", subject).strip(), match["token"].lower()


def message_id(token: str, domain: str) -> str:
    """The Message-ID that carries a token."""
    return f"<pqr.{token}@{domain}>"


def thread_id(token: str, domain: str) -> str:
    """The synthetic id in References that carries the same token past providers that rewrite Message-ID."""
    return f"<pqr.{token}.t@{domain}>"


def token_in(header_id: str) -> str | None:
    """The token inside one of our ids, None for anybody else's."""
    match = _TOKEN.match(header_id)
    return match["token"] if match else None


def carried_by(mail: Mail) -> list[str]:
    """The tokens by which a mail says that it is a letter of ours: in Message-ID, X-PQR-Letter or, past providers that
    rewrite ids, in the synthetic one.

    That one counts only at the end of References: further up it is the thread of a letter that this mail answers.
    """
    found = [token_in(mail.message_id), mail.header(LETTER_HEADER).strip()]
    if mail.references and (match := _TOKEN.match(mail.references[-1])) and match["thread"]:
        found.append(match["token"])
    return [token for token in found if token and _BARE_TOKEN.fullmatch(token)]


def carried_in(header: bytes) -> bool:
    """Do these header fields carry a token, of whatever store? For a look from outside; it proves nothing."""
    return _ANY_TOKEN.search(header) is not None


def _base32(data: bytes) -> str:
    return base64.b32encode(data).decode().rstrip("=").lower()
