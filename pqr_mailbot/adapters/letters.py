"""Letters: plain facts -> a text and an HTML part from one template.

One file a letter, rendered twice with two layouts that define the same macros, so that the parts cannot drift apart.
Text from a mail is only ever a value: it is cleaned, escaped, wrapped; it is never a template and never a header line.
"""

from __future__ import annotations

import re
import traceback
from collections.abc import Callable, Iterable, Mapping
from datetime import date
from pathlib import Path

from jinja2 import ChoiceLoader, FileSystemLoader, StrictUndefined, TemplateNotFound, TemplateSyntaxError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from pqr_mailbot.adapters import letter_mail
from pqr_mailbot.adapters.letter_mail import Enclosure, Envelope, Rendered, without_enclosures
from pqr_mailbot.adapters.letter_samples import SAMPLE_FACTS
from pqr_mailbot.adapters.letter_words import (
    FILTERS,
    NO_SUBJECT,
    SUBJECT_LENGTH,
    clean,
    clock_name,
    letter_subject,
)
from pqr_mailbot.domain.effects import Facts
from pqr_mailbot.domain.policy import Office
from pqr_mailbot.domain.reply_text import ANSWER_ABOVE
from pqr_mailbot.domain.spanish import long_date

__all__ = [
    "NO_SUBJECT",
    "SAMPLE_FACTS",
    "SUBJECT_LENGTH",
    "Enclosure",
    "Envelope",
    "Letters",
    "Rendered",
    "TemplateProblem",
    "letter_subject",
    "long_date",
    "without_enclosures",
]

_PACKAGE = Path(__file__).parent.parent
_TEMPLATES = (_PACKAGE / "templates", _PACKAGE.parent / "templates")  # in a wheel; in a checkout
_LAYOUTS = ("_text.j2", "_html.j2")


class TemplateProblem(Exception):
    """A template that cannot be used: one line naming the file, the line and what is wrong there."""

    def __init__(self, file: str, line: int, what: str) -> None:
        super().__init__(f"{file}, line {line}: {' '.join(what.split())}")
        self.file, self.line, self.what = file, line, what


class Letters:
    """Renders and composes. `directory`: the admin's own templates, which win over the shipped ones; None: no such.

    A template is read when it is first used and kept: what `check` found sound is what runs until the next start.
    """

    def __init__(self, directory: Path | None, office: Office) -> None:
        shipped = next((path for path in _TEMPLATES if path.is_dir()), _TEMPLATES[0])
        loader = ChoiceLoader([FileSystemLoader(path) for path in (directory, shipped) if path])
        self._environments = tuple(_environment(loader, office, html) for html in (False, True))

    def render(self, letter: str, facts: Facts) -> Rendered:
        """Both parts of `letter`. Raises TemplateProblem; TypeError for a fact that is no plain value."""
        values = {name: _plain(value) for name, value in facts.items()}
        file = f"{letter}.j2"
        try:
            text, html = (
                environment.get_template(file).render({**values, "layout": layout})
                for environment, layout in zip(self._environments, _LAYOUTS, strict=True)
            )
        except Exception as error:
            raise _problem(file, error) from error
        return Rendered(_tidy_lines(text), _tidy_lines(html))

    def prove(self) -> None:
        """Renders every letter once: a broken template is known at the start, and nothing is compiled while a customer
        waits. Raises TemplateProblem."""
        for letter, facts in SAMPLE_FACTS.items():
            self.render(letter, facts)

    def compose(self, envelope: Envelope, rendered: Rendered) -> bytes:
        """The whole mail as it goes over the wire. Raises ValueError for an address or id that no header can carry."""
        return letter_mail.compose(envelope, rendered)

    def in_pieces(self, envelope: Envelope, rendered: Rendered) -> tuple[bytes, Callable[[], Iterable[bytes]]]:
        """The same as its beginning and the pieces that follow, for files that are large."""
        return letter_mail.in_pieces(envelope, rendered)


# -- rendering -----------------------------------------------------------------------------------------------------


def _environment(loader: ChoiceLoader, office: Office, html: bool) -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(
        loader=loader,
        autoescape=html,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.filters.update(FILTERS)
    environment.globals["answer_above"] = ANSWER_ABOVE
    environment.globals["office"] = {
        "name": office.name,
        "address": office.address,
        "phone": office.phone.replace(" ", "\u00a0"),  # on one line
        "privacy_notice_url": office.privacy_notice_url,
        "clock": clock_name(str(office.timezone)),
    }
    return environment


def _plain(value: object) -> object:
    """The value as templates may have it: without methods of ours, without what no mail can carry."""
    if value is None or isinstance(value, bool | int | date):
        return value
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    raise TypeError(f"a letter is told plain values only, not {type(value).__name__}")


def _problem(file: str, error: Exception) -> TemplateProblem:
    """Where in a template it went wrong; the innermost of the template's own lines."""
    if isinstance(error, TemplateSyntaxError):
        return TemplateProblem(error.filename or file, error.lineno, error.message or "syntax error")
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename.endswith(".j2")]
    path, line = (frames[-1].filename, frames[-1].lineno or 1) if frames else (file, 1)
    what = f"there is no template {error.name}" if isinstance(error, TemplateNotFound) else str(error)
    return TemplateProblem(path, line, what or type(error).__name__)


def _tidy_lines(text: str) -> str:
    """No blanks at the end of a line, and never two empty lines together."""
    lines = "\n".join(line.rstrip() for line in text.split("\n"))
    return re.sub(r"\n{3,}", "\n\n", lines).strip("\n") + "\n"
