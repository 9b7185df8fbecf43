"""JSON shapes as text for a terminal: what the commands print, with --json and without.

Text from mail is shown with control characters and what turns the reading direction made harmless, so that no mail can
steer an admin's terminal. A `width` is the terminal's, in columns; 0: there is none, nothing is cut to fit.
"""

from __future__ import annotations

import json
import re
import sys
import textwrap
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Any

from click import progressbar, style

from pqr_mailbot.flows.reconcile import BEFORE, UNWATCHED, Report
from pqr_mailbot.flows.reconcile import Row as ReportRow
from pqr_mailbot.flows.restored import Settled
from pqr_mailbot.learn import Learned

Row = Mapping[str, Any]
WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
COLOURS = {"ok": "green", "warn": "yellow", "FAIL": "red"}
GAP = "  "
QUIET_REASONS = (BEFORE, UNWATCHED)  # mail without a row that nobody misses
LONGEST = 100  # columns of a cell where there is no terminal to fit


# -- safe characters and columns -----------------------------------------------------------------------------------


def harmless(value: object, width: int = 0) -> str:
    """One line that only shows characters, cut to `width` columns (0: as long as it is)."""
    text = str(value)
    if not text.isprintable():
        text = "".join(character if character.isprintable() else _shown(character) for character in text)
    text = " ".join(text.split())
    return _cut(text, width) if width else text


def _shown(character: str) -> str:
    """What stands for a character that is not to be printed: a blank, nothing, or the mark for "some character"."""
    category = unicodedata.category(character)
    return {"Cf": "", "Cn": "\ufffd", "Co": "\ufffd", "Cs": "\ufffd"}.get(category, " ")


def columns(text: str) -> int:
    """How wide a terminal shows it: East Asian letters and emoji take two columns, combining marks none."""
    return len(text) if text.isascii() else sum(map(_columns, text))


def _columns(character: str) -> int:
    if unicodedata.category(character) in ("Mn", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def _cut(text: str, width: int) -> str:
    text = text[: 8 * width]  # a heap of combining marks takes no column, but must end as well
    if columns(text) <= width:
        return text
    kept, taken = "", 0
    for character in text:
        taken += _columns(character)
        if taken >= width:
            break
        kept += character
    return kept + "…"


def document(value: object, ascii_only: bool = False) -> str:
    """One JSON document. What would act on a terminal is escaped, so that printing it shows it and changes nothing."""
    text = json.dumps(value, ensure_ascii=ascii_only, indent=2)
    return re.sub(r"[^\x20-\x7e\n]", lambda found: _escaped(found[0]), text)


def _escaped(character: str) -> str:
    return character if character.isprintable() else json.dumps(character)[1:-1]


# -- the building blocks -------------------------------------------------------------------------------------------


def _table(head: Sequence[str], rows: Iterable[Sequence[object]], width: int, least: Mapping[str, int]) -> str:
    """Aligned columns. On a terminal those named in `least` give way, down to so many columns, until a line fits."""
    cells = [list(head), *([harmless("-" if cell is None else cell, LONGEST) or "-" for cell in row] for row in rows)]
    widths = [max(map(columns, column)) for column in zip(*cells, strict=True)]
    spare = {index: widths[index] - least[name] for index, name in enumerate(head) if name in least}
    while width and sum(widths) + len(GAP) * (len(head) - 1) > width and max(spare.values(), default=0) > 0:
        widest = max(spare, key=spare.__getitem__)
        spare[widest] -= 1
        widths[widest] -= 1
    return "\n".join(_line(line, widths) for line in cells)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    cut = [_cut(cell, width) for cell, width in zip(cells, widths, strict=True)]
    return GAP.join(cell + " " * (width - columns(cell)) for cell, width in zip(cut, widths, strict=True)).rstrip()


def _wrapped(text: str, width: int, indent: str) -> list[str]:
    lines = [harmless(line) for line in text.splitlines()] or [""]
    if width > len(indent) + 20:
        lines = [part for line in lines for part in _broken(line, width - len(indent))]
    return [(indent + line).rstrip() for line in lines]


def _broken(line: str, width: int) -> list[str]:
    """A line in pieces of at most `width` columns; a longer word stays whole, so that a web address can be copied."""
    pieces = [""]
    for word in line.split(" "):
        longer = f"{pieces[-1]} {word}".lstrip()
        if columns(longer) <= width or not pieces[-1]:
            pieces[-1] = longer
        else:
            pieces.append(word)
    return pieces


def _day(text: str) -> str:
    return f"{WEEKDAYS[date.fromisoformat(text).weekday()]} {text}"


def _when(text: str | None) -> str | None:
    """An instant in the office's zone to the minute, the way people write it."""
    return text[:16].replace("T", " ") if text else None


def counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def next_steps(config: Path) -> str:
    return (
        f"Wrote {harmless(config)}. Next:\n"
        f"  1. Edit it: the office, the mailbox, the agents; put each password where its credential: or file: points.\n"
        f"  2. pqr-mailbot --config {harmless(config)} check\n"
        f"  3. pqr-mailbot --config {harmless(config)} run        (as a service: systemd/pqr-mailbot.service)"
    )


def finding(row: Row) -> str:
    level = style(f"{row['level']:4}", fg=COLOURS[row["level"]])
    return f"{level}  {harmless(row['what'])}: {harmless(row['detail'])}"


# -- tickets -------------------------------------------------------------------------------------------------------


def tickets(rows: Sequence[Row], width: int, today: date) -> str:
    if not rows:
        return "no tickets"
    head = ("REFERENCE", "STATE", "DUE", "TYPE", "OWNER", "CUSTOMER", "SUBJECT")
    lines = [
        (r["reference"], r["state"], r["due_on"] + (" late" if _is_late(r, today) else ""),
         ("! " if r["urgent"] else "") + r["type"], r["owner"], r["customer"]["address"], r["subject"])
        for r in rows
    ]  # fmt: skip
    return _table(head, lines, width, {"TYPE": 8, "OWNER": 6, "CUSTOMER": 9, "SUBJECT": 9})


def _is_late(row: Row, today: date) -> bool:
    return row["state"] not in ("resolved", "closed") and date.fromisoformat(row["due_on"]) < today


def ticket(row: Row, width: int) -> str:
    conversation = [line for message in row["messages"] for line in _message(message, width)]
    history = [(_when(e["at"]), e["event"], e["actor"] or "[erased]", e["detail"] or "") for e in row["events"]]
    table = _table(("AT", "EVENT", "BY", "DETAIL"), history, max(width - 2, 0), {"BY": 8, "DETAIL": 8})
    return "\n".join([*_facts(row, width), *conversation, "", "-- history", textwrap.indent(table, "  ")])


def _facts(row: Row, width: int) -> list[str]:
    facts = {
        "customer": f"{row['customer']['name']} <{row['customer']['address']}>".strip(),
        "state": f"{row['state']}, level {row['level']}, owner {row['owner'] or '-'}",
        "type": f"{row['type']}{', URGENT' if row['urgent'] else ''}",
        "opened": _when(row["opened_at"]),
        "acknowledged": _when(row["acknowledged_at"]) or "not yet",
        "answered": _when(row["first_answered_at"]),
        "resolved": _when(row["resolved_at"]),
        "closed": _when(row["closed_at"]),
        "due": _due(row),
        "related": ", ".join(row["related"]),
    }
    skipped = [("" if n else "not counted", _named(day)) for n, day in enumerate(row["deadline"]["skipped"])]
    lines = [line for name, value in (*facts.items(), *skipped) if value for line in _fact(name, value, width)]
    return [*_wrapped(f"{row['reference']}  {row['subject']}", width, ""), *lines]


def _fact(name: str, value: str, width: int) -> list[str]:
    first, *others = _wrapped(harmless(value), width, " " * 16)
    return [f"  {name:13} {first.lstrip()}", *others]


def _due(row: Row) -> str:
    deadline = row["deadline"]
    left = deadline["days_left"]
    due = f"{_day(deadline['due_on'])}, {counted(deadline['business_days'], 'business day')}"
    if row["state"] in ("resolved", "closed"):
        return due
    if left < 0:
        return f"{due}; OVERDUE by {counted(-left, 'business day')}"
    return f"{due}; {counted(left, 'business day')} left" if left else f"{due}; today"


def _named(day: Row) -> str:
    return f"{_day(day['date'])} {harmless(day['name'])}"


def _message(message: Row, width: int) -> list[str]:
    doubt = ", not verified" if message["verified"] is False else ""
    did = {"in": "wrote", "out": "answered", "note": "noted"}[message["direction"]]
    who = f"{message['author']} {did}{doubt}"
    title = f"{message['letter']} to {', '.join(message['recipients'])}" if message["letter"] else who
    return [
        "",
        f"-- {_when(message['sent_at']) or 'not sent yet'}  {harmless(title)}",
        *_wrapped(message["text"], width, "   "),
        *(
            f"   [{harmless(a['filename'])}, {harmless(a['content_type'])}, {counted(a['size'], 'byte')}]"
            for a in message["attachments"]
        ),
    ]


def orders(said: Sequence[str], sections: Sequence[Row], width: int) -> str:
    """What orders did, and the answers to lookups."""
    lines = [harmless(one) for one in said]
    for section in sections:
        lines += ["", harmless(section["title"])]
        for label, value in (row for row in section["rows"] if row[1]):
            lines += _fact(harmless(label), harmless(value), width)
        lines += [f"  {harmless(one)}" for one in section["lines"]]
        lines += [f"  {harmless(line)}" for line in section["quote"].splitlines()]
    return "\n".join(lines)


def help_page(commands: Sequence[Row]) -> str:
    """The table of orders: what is typed, and what it does."""
    typed = [f"{row['order']} {row['arguments']}".rstrip() for row in commands]
    width = max(map(columns, typed))
    return "\n".join(f"  {said:{width}}{GAP}{row['help']}" for said, row in zip(typed, commands, strict=True))


def search(rows: Sequence[Row], width: int) -> str:
    if not rows:
        return "nothing found; every word must stand in the mail"
    lines = [(r["reference"], _when(r["sent_at"]), r["author"], r["snippet"]) for r in rows]
    return _table(("REFERENCE", "AT", "AUTHOR", "TEXT"), lines, width, {"AUTHOR": 9, "TEXT": 9})


# -- mail in and out -----------------------------------------------------------------------------------------------


def inbox(rows: Sequence[Row], width: int) -> str:
    if not rows:
        return "no mail"
    lines = [(r["id"], r["state"], _when(r["received_at"]), r["sender"], r["subject"], _became(r)) for r in rows]
    head = ("ID", "STATE", "RECEIVED", "FROM", "SUBJECT", "BECAME")
    return _table(head, lines, width, {"FROM": 9, "SUBJECT": 9, "BECAME": 20})


def _became(row: Row) -> str:
    if row["state"] == "failed":
        return str(row["error"] or "").strip().rpartition("\n")[2]
    verdict = row["verdict"] if row["verdict"] != "person" else None
    said = ": ".join(str(part) for part in (verdict, row["reason"]) if part)
    return " ".join(part for part in (row["reference"], said) if part) or "waits to be handled"


def outbox(rows: Sequence[Row], width: int) -> str:
    if not rows:
        return "no letters"
    lines = [
        (r["id"], r["state"], r["letter"], r["reference"], r["recipient"], _when(r["sent_at"] or r["next_attempt_at"]),
         _delivery(r))
        for r in rows
    ]  # fmt: skip
    head = ("ID", "STATE", "LETTER", "TICKET", "TO", "SENT/NEXT", "SERVER SAID")
    return _table(head, lines, width, {"LETTER": 9, "TO": 9, "SERVER SAID": 5})


def _delivery(row: Row) -> str | None:
    tries = f"{counted(row['attempts'], 'attempt')}: " if row["attempts"] > 1 else ""
    said = row["error"] or row["smtp_reply"]
    return f"{tries}{said}" if said else None


def trail(row: Row) -> str:
    names = ("verdict", "reason", "header", "clue", "key", "sender_trust", "reference", "classification")
    lines = [f"inbound {row['inbound_id']}"]
    lines += [f"  {name.replace('_', ' '):15} {harmless(row[name])}" for name in names if row[name]]
    lines += [f"  {'effect':15} {harmless(effect)}" for effect in row["effects"]]
    return "\n".join(lines if len(lines) > 1 else [*lines, "  not handled yet"])


# -- store and mailbox ---------------------------------------------------------------------------------------------


def damages(rows: Sequence[Row], width: int) -> str:
    if not rows:
        return "the store is sound"
    return _table(("CHECK", "WHAT", "DAMAGE"), [list(r.values()) for r in rows], width, {"WHAT": 9, "DAMAGE": 20})


def restored(store: Path, kept: Path | None) -> str:
    lines = [f"{harmless(store)} is the backup now."]
    if kept:
        lines.append(f"The store that was there is kept as {harmless(kept)}.")
    return "\n".join([*lines, "Nothing is sent or acknowledged until `pqr-mailbot reconcile` has read the mailbox."])


def with_bar(mails: Sequence[int]) -> Iterator[int]:
    """One after the other, with a bar on the terminal for whoever waits."""
    if not sys.stderr.isatty():
        yield from mails
        return
    with progressbar(mails, label="mails", file=sys.stderr) as bar:
        yield from bar


def reconciled_json(report: Report) -> Row:
    """The shape of `reconcile --json`: nothing that anybody wrote is in it."""
    settled = report.settled
    return {
        "missing_rows": [row.as_json() for row in report.missing_rows],
        "missing_mails": [row.as_json() for row in report.missing_mails],
        "junk": [row.as_json() for row in report.junk],
        "unexplained": report.unexplained,
        "marked_sent": report.marked_sent,
        "counter": report.counter,
        "after_restore": settled and asdict(settled),
    }


def reconciled(report: Report, width: int) -> str:
    """What has no reason to be asked about is only counted: mail from before the desk's time."""
    lines = [*_settled(report.settled), *_quiet(report.missing_rows)]
    titles = {
        "Mail on the server without a row here:": [row for row in report.missing_rows if row.why not in QUIET_REASONS],
        "Mail of ours that is no longer in the inbox:": report.missing_mails,
        "In the junk folder:": report.junk,
    }
    for title, rows in titles.items():
        if rows:
            cells = [(row.mailbox, row.uid, row.sender, row.subject, row.why) for row in rows]
            least = {"FOLDER": 6, "FROM": 9, "SUBJECT": 9, "WHY": 20}
            lines += ["", title, _table(("FOLDER", "UID", "FROM", "SUBJECT", "WHY"), cells, width, least)]
    if report.marked_sent:
        lines.append(f"{counted(report.marked_sent, 'letter')} of unknown fate found in the Sent folder: sent.")
    return "\n".join(lines).strip() or "mailbox and store agree"


def _settled(settled: Settled | None) -> list[str]:
    if settled is None:
        return []
    counters = ", ".join(f"{year}: {last}" for year, last in sorted(settled.counters.items())) or "none needed"
    return [
        "The desk works again.",
        f"  mails of the lost time        {settled.mails}",
        f"  cases under the same number   {settled.same_reference}",
        f"  letters found in Sent         {settled.letters_found}",
        f"  letters held, perhaps sent    {settled.letters_held}  (`outbox --state uncertain`)",
        f"  numbers skipped, up to        {counters}",
        "  erasures                      none to apply again: this version erases nothing",
    ]


def _quiet(rows: Sequence[ReportRow]) -> list[str]:
    """By folder and reason, how many."""
    counts = Counter((row.mailbox, row.why) for row in rows if row.why in QUIET_REASONS)
    return [f"{harmless(folder)}: {counted(number, 'mail')} {why}" for (folder, why), number in counts.items()]


# -- without a store -----------------------------------------------------------------------------------------------


def classification(report: Row) -> str:
    certainty = "certain" if report["confidence"] >= 0.9 else "not certain"
    lines = [f"{report['type']}  ({report['confidence']:.0%}, {certainty})"]
    if report["urgency"]:
        lines.append(f"urgency: {', '.join(report['urgency'])}{' (at once to level 2)' if report['urgent'] else ''}")
    lines += [f"  {e['weight']:+5.2f}  {e['type']:20} {harmless(e['words'])}" for e in report["evidence"]]
    return "\n".join(lines if report["evidence"] else [*lines, "  no word that speaks stands in it"])


def deadlines(rows: Sequence[Row], width: int) -> str:
    """The terms that begin on one day, and every day off that one of them skips."""
    lines = [(r["type"], r["business_days"], _day(r["due_on"])) for r in rows]
    skipped = {day["date"]: _named(day) for row in rows for day in row["skipped"]}
    days_off = [f"  {skipped[day]}" for day in sorted(skipped)] or ["  none"]
    return "\n".join(
        [
            f"Received {_day(rows[0]['received_on'])}; the day after is the first that can count.",
            "",
            _table(("TYPE", "BUSINESS DAYS", "DUE"), lines, width, {}),
            "",
            "Not counted beside weekends:",
            *days_off,
        ]
    )


def calendar(rows: Sequence[Row]) -> str:
    lines = [f"{_named(r)}{' (closure: terms run on)' if r['kind'] == 'closure' else ''}" for r in rows]
    holidays = sum(row["kind"] == "holiday" for row in rows)
    return "\n".join([*lines, f"{counted(holidays, 'day')} off by law"])


def status(report: Row) -> str:
    healthy = style("healthy", fg="green") if report["healthy"] else style("UNHEALTHY", fg="red")
    lines = [healthy, *(f"  problem     {harmless(problem)}" for problem in report["problems"])]
    lines += [f"  notice      {harmless(notice)}" for notice in report["notices"]]
    lines.append(f"  last fetch  {_when(report['last_fetch_at']) or 'never'}")
    lines.append(f"  last send   {_when(report['last_send_at']) or 'never'}")
    if report["token_expires_at"]:
        until, since = _when(report["token_expires_at"]), _when(report["token_refreshed_at"])
        lines.append(f"  token       holds until {until}, fetched {since}")
    if report["heartbeat_at"]:
        lines.append(f"  heartbeat   {_when(report['heartbeat_at'])}")
    if report["alarms"]:
        lines.append(f"  told of     {', '.join(report['alarms'])}")
    for name in ("inbox", "outbox", "tickets"):
        counts = ", ".join(f"{number} {state}" for state, number in report[name].items() if number) or "none"
        lines.append(f"  {name:10}  {counts}")
    return "\n".join([*lines, f"  overdue     {report['overdue']}"])


MOVED_SHOWN = 20


def learned(found: Learned) -> str:
    """What new weights change, for the admin to decide on."""
    lines = ["Mail held out (each writer, each file by fifths):"]
    lines += [f"  before  {found.before}", f"  after   {found.after}"]
    lines += [f"Of the {counted(found.new, 'new mail')}, right before {found.new_before}, after {found.new_after}."]
    lines += ["", "Weights that move most:"]
    for feature, label, before, after in found.moved[:MOVED_SHOWN]:
        lines.append(f"  {before:+7.2f} -> {after:+7.2f}  {label:<13} {harmless(feature)}")
    return "\n".join(lines)
