"""The servers that tests ask for by name; a missing program skips here and fails in CI."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from typing import NoReturn

import pytest
import servers
from servers import Authority, Dovecot, SmtpServer


@pytest.fixture(autouse=True)
def own_log() -> Iterator[None]:
    """What a test, or a command that runs in this process, makes of the log ends with the test."""
    before, ours = list(logging.root.handlers), logging.getLogger("pqr_mailbot")
    level = ours.level
    yield
    logging.root.handlers[:] = [handler for handler in logging.root.handlers if handler in before]
    ours.setLevel(level)


def missing(words: str) -> NoReturn:
    if os.environ.get("CI"):
        pytest.fail(words)
    pytest.skip(words)


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="session")
def dovecot(authority: Authority) -> Iterator[Dovecot]:
    """With mailboxes for everybody of tests/office.py. What earlier tests left in them, `reset` removes."""
    if not servers.DOVECOT:
        missing("Dovecot is not installed (apt install dovecot-imapd dovecot-lmtpd)")
    with Dovecot(authority, servers.mailboxes(servers.EVERYBODY)) as server:
        yield server


@pytest.fixture
def smtp(authority: Authority) -> Iterator[SmtpServer]:
    """A fresh one with STARTTLS that wants info@lohas.test and its password."""
    with SmtpServer(authority, "starttls", (servers.OFFICE, servers.SMTP_PASSWORD)) as server:
        yield server
