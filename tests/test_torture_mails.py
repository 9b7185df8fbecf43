"""Mails as the suites of mail parsers torture one another with: subject, people, text and files of each are right."""

from __future__ import annotations

import base64
import quopri
from dataclasses import dataclass, field

import pytest

from pqr_mailbot.adapters.mime_parser import open_attachments, parse


def b64(content: str | bytes) -> str:
    return base64.b64encode(content.encode() if isinstance(content, str) else content).decode()


def qp(text: str, charset: str = "utf-8") -> str:
    return quopri.encodestring(text.encode(charset)).decode()


@dataclass(frozen=True)
class Case:
    """What is sent under `From: a@x.co, To: b@y.co, Subject: s`, unless told otherwise, and what is read."""

    name: str
    header: str = ""
    body: str | bytes = "hola"
    reads: str = "hola"
    files: list[tuple[str, int]] = field(default_factory=list)
    subject: tuple[str, str] = ("s", "s")  # (as sent, as read)
    sender: tuple[str, str] = ("a@x.co", "a@x.co")  # read as "name <address>", or the address alone
    to: tuple[str, str] = ("b@y.co", "b@y.co")  # read as addresses with blanks between
    charset: str = "utf-8"  # of the header

    @property
    def raw(self) -> bytes:
        head = f"From: {self.sender[0]}\nTo: {self.to[0]}\nSubject: {self.subject[0]}\n{self.header.strip()}".strip()
        body = self.body.encode() if isinstance(self.body, str) else self.body
        return head.encode(self.charset) + b"\n\n" + body


def subject(name: str, sent: str, read: str, charset: str = "utf-8") -> Case:
    return Case(name, subject=(sent, read), charset=charset)


def sender(name: str, sent: str, read: str, charset: str = "utf-8") -> Case:
    return Case(name, sender=(sent, read), charset=charset)


def to(name: str, sent: str, read: str) -> Case:
    return Case(name, to=(sent, read))


def text(name: str, kind: str, body: str | bytes, reads: str, encoding: str = "8bit") -> Case:
    return Case(name, f"Content-Type: {kind}\nContent-Transfer-Encoding: {encoding}", body, reads)


def named(name: str, said: str, file: str, charset: str = "utf-8") -> Case:
    """A PDF of 9 bytes as the only part; `said` is what follows its type."""
    header = f"Content-Transfer-Encoding: base64\nContent-Type: application/pdf{said}"
    return Case(name, header, b64(b"%PDF-1.4\n"), "", [(file, 9)], charset=charset)


def parts(name: str, body: str | bytes, reads: str, files: list[tuple[str, int]] | None = None, kind: str = "") -> Case:
    return Case(
        name, f"MIME-Version: 1.0\nContent-Type: {kind or 'multipart/mixed; boundary=b'}", body, reads, files or []
    )


SUBJECTS = [
    subject("words on two lines", "=?utf-8?Q?Petici=C3=B3n_?=\n =?utf-8?Q?del_a=C3=B1o?=", "Petición del año"),
    subject("text, word, text", "Re: =?utf-8?Q?caf=C3=A9?= molido", "Re: café molido"),
    subject("word glued to text", "Re:=?utf-8?Q?caf=C3=A9?=molido", "Re:cafémolido"),
    subject("blank before a word counts", "a =?utf-8?q?b?=\n\tc", "a b c"),
    subject("two charsets side by side", "=?iso-8859-1?Q?a=F1o?= =?utf-8?Q?=E2=82=AC?=", "año€"),
    subject("letter split over two Q words", "=?utf-8?Q?a=C3?= =?utf-8?Q?=B1o?=", "año"),
    subject("letter split over two B words", "=?utf-8?B?YcM=?= =?utf-8?B?sW8=?=", "año"),
    subject("no padding", "=?utf-8?B?YcOxbw?=", "año"),
    subject("blanks in Q", "=?utf-8?Q?queja del a=C3=B1o?=", "queja del año"),
    subject("a word folded inside", "=?utf-8?Q?queja=20\n del_a=C3=B1o?=", "queja del año"),
    subject("bad escape", "=?utf-8?Q?100=_y_=XY?=", "100= y =XY"),
    subject("lower-case hex", "=?utf-8?q?a=c3=b1o?=", "año"),
    subject("Windows letters under latin1", "=?iso-8859-1?Q?=93hola=94_=80?=", "“hola” €"),
    subject("utf8 without a hyphen", "=?UTF8?Q?a=C3=B1o?=", "año"),
    subject("utf-16 in a word", f"=?utf-16?B?{b64('año'.encode('utf-16'))}?=", "año"),
    subject("a language", "=?utf-8*es?Q?a=C3=B1o?=", "año"),
    subject(
        "Japanese in two words", "=?ISO-2022-JP?B?GyRCNmw+cBsoQg==?= =?ISO-2022-JP?B?GyRCNmw+cBsoQg==?=", "苦情苦情"
    ),
    subject("Greek", "=?iso-8859-7?Q?=E1=E2=E3?=", "αβγ"),
    subject("Arabic", "=?windows-1256?Q?=E3=D1=CD=C8=C7?=", "مرحبا"),
    subject("Thai", "=?tis-620?Q?=A1=A2?=", "กข"),
    subject("DOS", "=?cp850?Q?a=A4o?=", "año"),
    subject("raw latin1", "Petición del año", "Petición del año", "latin-1"),
    subject("raw utf-8 beside a word", "Año =?utf-8?Q?=C3=B1?=", "Año ñ"),
    subject("blank line in the folding", "hola\n \n mundo", "hola mundo"),
    subject("nothing but a word of nothing", "=?utf-8?Q??=", ""),
    subject("a question mark in Q", "=?utf-8?Q?=C2=BFya??=", "¿ya?"),
    subject("emoji as Java writes them", "=?utf-8?Q?=ED=A0=BD=ED=B8=80?=", "😀"),
    subject("twice encoded words in quotes", '"=?utf-8?Q?a=C3=B1o?=" y =?utf-8?Q?m=C3=A1s?=', '"año" y más'),
    subject("base64 with a blank in it", "=?utf-8?B?YcOx bw==?=", "año"),
    subject("a charset nobody knows", "=?x-foo?Q?a=C3=B1o?=", "año"),
]

PEOPLE = [
    sender("name and address", "Ana Pérez <a@x.co>", "Ana Pérez <a@x.co>"),
    sender("quoted name", '"Pérez, Ana" <a@x.co>', "Pérez, Ana <a@x.co>"),
    sender("quoted pair in the name", r'"Ana \"la jefa\" P." <a@x.co>', 'Ana "la jefa" P. <a@x.co>'),
    sender("address in the quoted name", '"otro@y.co" <a@x.co>', "otro@y.co <a@x.co>"),
    sender("name in a comment", "a@x.co (Ana Pérez)", "Ana Pérez <a@x.co>"),
    sender("encoded comment", "a@x.co (=?utf-8?Q?Jos=C3=A9?=)", "José <a@x.co>"),
    sender("comments in one another", "Ana (la (muy) jefa) <a@x.co>", "Ana (la muy jefa) <a@x.co>"),
    sender(
        "comments everywhere", r"Ana(una \) persona) <a(cuenta)@x.co(casa)>", "Ana (una ) persona cuenta casa) <a@x.co>"
    ),
    sender("blanks around dots", "Ana <ana . perez @ x . co>", "Ana <ana.perez@x.co>"),
    sender("route", "Ana <@r.co,@s.co:a@x.co>", "Ana <a@x.co>"),
    sender("dots in a bare name", "Ana Q. Pérez <a@x.co>", "Ana Q. Pérez <a@x.co>"),
    sender("folded", "Ana\n Pérez\n <a@x.co>", "Ana Pérez <a@x.co>"),
    sender("encoded with a comma", "=?utf-8?Q?P=C3=A9rez=2C_Ana?= <a@x.co>", "Pérez, Ana <a@x.co>"),
    sender("two words in the name", "=?utf-8?Q?Ana?= =?utf-8?Q?_P=C3=A9rez?= <a@x.co>", "Ana Pérez <a@x.co>"),
    sender("word and text in the name", "Ana =?utf-8?Q?P=C3=A9rez?= R <a@x.co>", "Ana Pérez R <a@x.co>"),
    sender("raw latin1", "Ana Pérez <a@x.co>", "Ana Pérez <a@x.co>", "latin-1"),
    sender("a domain of letters", "Ana <ana@bogotá.co>", "Ana <ana@xn--bogot-1qa.co>"),
    sender("a local part of letters", "<añó@x.co>", "añó@x.co"),
    sender("a quoted local part that needs none", '"ana.perez"@x.co', "ana.perez@x.co"),
    sender("plus and other signs", "<ana+pqr_1!#$%&'*/=?^`{|}~@x.co>", "ana+pqr_1!#$%&'*/=?^`{|}~@x.co"),
    sender("upper case", "ANA@X.CO", "ana@x.co"),
    sender("name behind the address", "<a@x.co> Ana", "a@x.co"),
    sender("apostrophes around a name", "'Ana' <a@x.co>", "Ana <a@x.co>"),
    sender("an angle that stays open", "Ana Pérez <a@x.co", "Ana Pérez <a@x.co>"),
    sender("a comment that stays open", "a@x.co (Ana", "a@x.co"),
    sender("a quote that stays open", '"Ana <a@x.co>', "Ana <a@x.co>"),
    sender("of several the first", "Ana <a@x.co>, Beto <b@x.co>", "Ana <a@x.co>"),
    sender("nobody", "", ""),
    sender("a name without an address", "Ana Pérez", ""),
    sender("a host in its digits", "Ana <ana@[192.0.2.1]>", ""),
    sender("blank in a quoted local part", '"ana perez"@x.co', ""),
    sender("X.400", "/C=CO/S=PEREZ/G=ANA/@gw.x.co", "/c=co/s=perez/g=ana/@gw.x.co"),
    sender("colon in a bare name", "Soporte: Ana <a@x.co>", "Soporte: Ana <a@x.co>"),
    sender("tabs", "\tAna\t<a@x.co>\t", "Ana <a@x.co>"),
    to("a list", 'b@y.co, Beto <c@y.co>,\n\t"D, E" <d@y.co>', "b@y.co c@y.co d@y.co"),
    to("empty places", ",b@y.co,, ,c@y.co,", "b@y.co c@y.co"),
    to("Outlook's semicolons", "Beto <b@y.co>; c@y.co; ", "b@y.co c@y.co"),
    to("a group", "Amigos: Beto <b@y.co>, c@y.co;", "b@y.co c@y.co"),
    to(
        "groups among people",
        "b@y.co, Amigos: c@y.co;, Otros: d@y.co, e@y.co;, f@y.co",
        "b@y.co c@y.co d@y.co e@y.co f@y.co",
    ),
    to("an empty group", "undisclosed-recipients:;", ""),
    to("an empty group with comments", "(nadie)Ocultos (de (veras))  :(ninguno) ;", ""),
    to("a group with a comment", "Amigos(todos): Beto <b@(su casa)y.co>, c@y.co; (fin)", "b@y.co c@y.co"),
    to("a group with an encoded name", "=?utf-8?Q?Due=C3=B1os?=: b@y.co;", "b@y.co"),
    to("a comma in an encoded name", "=?utf-8?Q?B=2C_C?= <b@y.co>, c@y.co", "b@y.co c@y.co"),
    to("angle and bare glued", "<b@y.co>,<c@y.co>", "b@y.co c@y.co"),
    to("blanks between, no commas", "<b@y.co> <c@y.co>", "b@y.co c@y.co"),
    to("a good one beside broken ones", "Beto <b@, c@y.co, @y.co", "c@y.co"),
    to("the same twice", "b@y.co, B <B@Y.CO>", "b@y.co"),
    to("escapes in a name", r'"Caja \"Grande\"; S.A." <b@y.co>, c@y.co', "b@y.co c@y.co"),
]

LISTS = [  # (To, its addresses)
    ("B <b@y.co> (Beto), c@y.co", "b@y.co c@y.co"),
    ("b@y.co (a, b), c@y.co", "b@y.co c@y.co"),
    ("<undisclosed recipients>", ""),
    ("b@y.co,c@y.co d@y.co", "b@y.co c@y.co d@y.co"),
    (r'"Apellido\, Nombre" <b@y.co>', "b@y.co"),
    ("[b@y.co]", "b@y.co"),
    ("smtp:b@y.co", "b@y.co"),
    ("mailto:b@y.co, c@y.co", "b@y.co c@y.co"),
    ('"=?utf-8?Q?P=C3=A9rez,_B?=" <b@y.co>, c@y.co', "b@y.co c@y.co"),
    ("B, C <b@y.co>, D <d@y.co>", "b@y.co d@y.co"),
    ("Ñandú <b@y.co>, Ó <c@y.co>", "b@y.co c@y.co"),
    ("B@Casa <b@y.co>", "b@y.co"),
    ("b@y.co, x@z.co <c@y.co>", "b@y.co c@y.co"),
    ('b@y.co, , ,"" <c@y.co>', "b@y.co c@y.co"),
    ("<b@y.co>, <>, c@y.co", "b@y.co c@y.co"),
    ("b..c@y.co, .d@y.co, e.@y.co", "b..c@y.co .d@y.co e.@y.co"),
    ("用户@例子.中国", "用户@xn--fsqu00a.xn--fiqs8s"),
    (r'"muy.(),:;<>[]\".\"raro"@y.co, c@y.co', "c@y.co"),
    ("B <b@y.co> C <c@y.co>", "b@y.co c@y.co"),
    ("b@y.co; c@y.co, d@y.co", "b@y.co c@y.co d@y.co"),
    ("Lista: ; b@y.co", "b@y.co"),
    ('"Grupo: uno" <b@y.co>; "x; y" <c@y.co>', "b@y.co c@y.co"),
    ("A: b@y.co; B: c@y.co;", "b@y.co c@y.co"),
    ("=?utf-8?Q?Beto_=3Cx=40y.co=3E?= <b@y.co>", "b@y.co"),
    ("=?us-ascii?Q?b=40y.co?=", ""),
    ("b@y.co <>", "b@y.co"),
    ('Beto <b@y.co>, "sin fin <c@y.co>, d@y.co', "b@y.co c@y.co d@y.co"),
]

BODIES = [
    text("QP with bad escapes", "text/plain", "a=C3=B1o =ZZ = =4", "año =ZZ = =4", "quoted-printable"),
    text("QP soft breaks", "text/plain", "uno =\ndos=  \n tres=", "uno dos tres", "quoted-printable"),
    text("QP with raw letters", "text/plain", "año =C3=B1", "año ñ", "quoted-printable"),
    text("QP blanks at line ends", "text/plain", "uno  \t\ndos", "uno  \t\ndos", "quoted-printable"),
    text("QP in lower case", "text/plain", "=c3=b1=0adas", "ñ\ndas", "Quoted-Printable"),
    text("QP of an equals sign", "text/plain", "a=3D3D=3Db", "a=3D=b", "quoted-printable"),
    text("base64 cut off", "text/plain", b64("hola mundo cruel")[:-5], "hola mundo cru", "base64"),
    text("base64 with rubbish", "text/plain", "aG9s\n***\nYSBt\n dW5k bw==", "hola mundo", "base64"),
    text("base64 in odd lines", "text/plain", "a\nG9\nsYQ\n==", "hola", "base64"),
    text("base64 with empty lines", "text/plain", "\n\naG9s\n\n\nYQ==\n\n", "hola", "base64"),
    text(
        "base64 with a footer", "text/plain", "aG9sYQ==\n\n--\nLista de correo", "hola\n--\nLista de correo", "base64"
    ),
    text("base64 that is none", "text/plain", "Hola, esto es texto.", "Hola, esto es texto.", "base64"),
    text("binary", "text/plain", "a\0b\nc", "ab\nc", "binary"),
    text("an encoding nobody knows", "text/plain", "hola =C3=B1", "hola =C3=B1", "x-zip"),
    text("8-bit written so", "text/plain", "año", "año", "8-bit"),
    text("encoding with a comment", "text/plain", "a=C3=B1o", "año", "(c) quoted-printable"),
    text("encoding with a semicolon", "text/plain", "aG9sYQ==", "hola", "base64;"),
    text("uuencoded text", "text/plain", "begin 644 x\n$:&]L80``\n`\nend\n", "hola", "x-uuencode"),
    text("flowed", "text/plain; format=flowed", "uno \ndos \n\ntres\n", "uno dos \ntres", "7bit"),
    text("flowed quotes", "text/plain; format=flowed", "> uno \n> dos\n>> tres\n", "> uno dos\n>> tres", "7bit"),
    text("flowed and stuffed", "text/plain; format=Flowed", " From aquí\n >no cita", "From aquí\n>no cita", "8bit"),
    text("flowed with delsp", 'text/plain; format=flowed; delsp="yes"', "ca \nfé", "café", "8bit"),
    text("HTML alone", "text/html", "<html><body><p>Hola<br>mundo</p></body></html>", "Hola\nmundo"),
    text("HTML in QP", "text/html; charset=utf-8", qp('<p style="a">año</p>'), "año", "quoted-printable"),
    text("HTML in base64", "text/html", b64("<p>año</p>"), "año", "base64"),
    text("HTML with its charset inside", "text/html", "<meta charset='iso-8859-2'>Łódź".encode("iso-8859-2"), "Łódź"),
    text(
        "HTML of a box without size",
        "text/html",
        "<div style='font-size:0px'><p style='font-size:9px'>hola</p></div>",
        "hola",
    ),
    text(
        "HTML with Outlook's conditions",
        "text/html",
        "<!--[if mso]>x<![endif]--><!--[if !mso]><!-->hola<!--<![endif]-->",
        "hola",
    ),
    text("XHTML", "application/xhtml+xml", "<?xml version='1.0'?><html><body>hola</body></html>", "hola"),
    text("enriched", "text/enriched", "<bold>hola</bold>\nmundo\n\n<<fin>", "hola mundo\n<fin>"),
    text("no subtype", "text", "hola", "hola"),
    text("a type that is none", "plain text", "hola", "hola"),
    text("empty type", "", "hola", "hola"),
    text("type with comments", "text/(c)plain(d); charset=(e)utf-8(f)", "año", "año"),
    text("Sun's attachment", "X-sun-attachment", "----------\nhola", "----------\nhola"),
    text("markdown", "text/markdown; charset=utf-8", "# año", "# año"),
    text(
        "inline PGP",
        "text/plain",
        "-----BEGIN PGP SIGNED MESSAGE-----\n\nhola",
        "-----BEGIN PGP SIGNED MESSAGE-----\n\nhola",
    ),
    text("From of an mbox, escaped", "text/plain", ">From aquí", ">From aquí"),
    text("dots of SMTP", "text/plain", "..hola\n.", "..hola\n."),
    text("a long line", "text/plain", "palabra " * 5_000, ("palabra " * 5_000)),
    text("utf-16 without a mark", "text/plain; charset=utf-16le", b64("año".encode("utf-16-le")), "año", "base64"),
    text("utf-7", "text/plain; charset=utf-7", "a+APE-o", "año", "7bit"),
    text("iso-2022-kr", "text/plain; charset=iso-2022-kr", "커피".encode("iso2022_kr"), "커피", "7bit"),
    text("Hebrew", "text/plain; charset=windows-1255", "שלום".encode("cp1255"), "שלום"),
    text("Cyrillic of DOS", "text/plain; charset=ibm866", "Жалоба".encode("cp866"), "Жалоба"),
    text("Ukrainian", "text/plain; charset=koi8-u", "їжак".encode("koi8-u"), "їжак"),
    text("Vietnamese", "text/plain; charset=windows-1258", "đơn".encode("cp1258"), "đơn"),
    text("Cyrillic of the Mac", "text/plain; charset=x-mac-cyrillic", "Жалоба".encode("mac_cyrillic"), "Жалоба"),
    text("empty charset", 'text/plain; charset=""', "año".encode("cp1252"), "año"),
    text("charset as a list", "text/plain; charset=utf-8,iso-8859-1", "año", "año"),
    text("charset x-user-defined", "text/plain; charset=x-user-defined", "año", "año"),
    text("charset of eight bits", "text/plain; charset=_iso-8859-1$esc", "año".encode("cp1252"), "año"),
    text("charset twice", "text/plain; charset=utf-8; charset=us-ascii", "año", "año"),
    text("Latin in UTF-8 named ascii", "text/plain; charset=us-ascii", "año", "año"),
    text("CRLF in base64", "text/plain", b64("uno\r\ndos\r\n"), "uno\ndos", "base64"),
    text("a form feed and other controls", "text/plain", "uno\f\v\x1bdos", "unodos"),
    Case("nothing", body="", reads=""),
    Case("blank lines", body="\n\n \n", reads=""),
    Case("encoding said twice", "Content-Transfer-Encoding: base64\nContent-Transfer-Encoding: 7bit", "aG9sYQ=="),
    Case("type said twice", "Content-Type: text/plain\nContent-Type: text/html", "<p>hola", "<p>hola"),
    Case("header in capitals", "CONTENT-TYPE: TEXT/HTML", "<p>hola"),
    Case("blank before the colon", "Content-Type : text/html", "<p>hola"),
    Case(
        "folded with a tab", 'Content-Type: text/html;\n\tcharset=\n\t"iso-8859-1"', "<p>año".encode("latin-1"), "año"
    ),
    Case("rubbish among the header", "esto no es nada\nContent-Type: text/html", "<p>hola"),
    Case(
        "two uuencoded files",
        body="mire\nbegin 644 a.txt\n$:&]L80``\n`\nend\ny\nbegin 755 b.bin\n#86)C\n`\nend\nfin",
        reads="mire\n\ny\n\nfin",
        files=[("a.txt", 4), ("b.bin", 3)],
    ),
    Case("an uuencoded file alone", body="begin 644 a.txt\n$:&]L80``\n`\nend\n", reads="", files=[("a.txt", 4)]),
]

NAMES = [
    named("name only in the type", '; name="a b.pdf"', "a b.pdf"),
    named("both, the disposition's", "; name=a.pdf\nContent-Disposition: attachment; filename=b.pdf", "b.pdf"),
    named("RFC 2231", "; name*=utf-8''a%C3%B1o.pdf", "año.pdf"),
    named("RFC 2231 with a language", "; name*=ISO-8859-1'es-CO'a%F1o.pdf", "año.pdf"),
    named("in pieces", ';\n name*0="uno ";\n name*1=dos;\n name*2=".pdf"', "uno dos.pdf"),
    named("pieces of both kinds", "; name*0*=utf-8''a%C3%B1o; name*1=\" %20 \"; name*2*=%2Epdf", "año %20 .pdf"),
    named("pieces in disorder", "; name*1=b.pdf; name*0=a", "ab.pdf"),
    named(
        "eleven pieces",
        ";" + ";".join(f" name*{n}={n}." for n in range(11)) + "; name*11=pdf",
        "0.1.2.3.4.5.6.7.8.9.10.pdf",
    ),
    named("a letter in two pieces", "; name*0*=utf-8''a%C3; name*1*=%B1o.pdf", "año.pdf"),
    named("no charset", "; name*=''a%C3%B1o.pdf", "año.pdf"),
    named("quoted RFC 2231", "; name*=\"utf-8''a%C3%B1o.pdf\"", "año.pdf"),
    named("RFC 2231 without its star", "; name=utf-8''a%C3%B1o.pdf", "año.pdf"),
    named("encoded words", '; name="=?utf-8?Q?a=C3=B1?=\n =?utf-8?Q?o.pdf?="', "año.pdf"),
    named("encoded word unquoted", "; name==?utf-8?B?YcOxby5wZGY=?=", "año.pdf"),
    named("encoded words in pieces", '; name*0="=?utf-8?Q?a=C3=B1?="; name*1="=?utf-8?Q?o.pdf?="', "año.pdf"),
    named("raw latin1", "; name=año.pdf", "año.pdf", "latin-1"),
    named("raw utf-8", '; name="año €.pdf"', "año €.pdf"),
    named("blanks, unquoted", "; name=mi factura de mayo.pdf", "mi factura de mayo.pdf"),
    named("an equals sign", "; name=a=b.pdf", "a=b.pdf"),
    named("a semicolon, quoted", '; name="a;b.pdf"', "a;b.pdf"),
    named("a path", '; name="C:\\\\docs\\\\a.pdf"', "a.pdf"),
    named("folded in its middle", '; name="mi\n factura.pdf"', "mi factura.pdf"),
    named("brackets", "; name=a(1)[2].pdf", "a(1)[2].pdf"),
    named("no name", "", "adjunto-1.pdf"),
    named("a disposition without its word", "\nContent-Disposition: filename=a.pdf", "a.pdf"),
    named("a disposition nobody knows", "\nContent-Disposition: foo; filename=a.pdf", "a.pdf"),
    named("a name of percent signs", '; name="100%25.pdf"', "100%25.pdf"),
]


def mixed(*inside: str, boundary: str = "b", end: str = "--") -> str:
    return "".join(f"--{boundary}\n{part}\n" for part in inside) + f"--{boundary}{end}"


def of(kind: str, body: str, disposition: str = "", encoding: str = "") -> str:
    """A part with its header."""
    fields = {"Type": kind, "Disposition": disposition, "Transfer-Encoding": encoding}
    return "".join(f"Content-{name}: {value}\n" for name, value in fields.items() if value) + f"\n{body}"


def inner(kind: str, *inside: str, boundary: str = "c", end: str = "--") -> str:
    return of(f"multipart/{kind}; boundary={boundary}", mixed(*inside, boundary=boundary, end=end))


UNO, DOS, TRES, PLAIN, RICH = "\nuno", "\ndos", "\ntres", "\nllano", of("text/html", "<p>rico")
PNG = of("image/png; name=a.png", b64(b"abc"), encoding="base64")
MAIL = "\nSubject: x\n\nx"
ALTERNATIVE, RELATED, DIGEST = (f"multipart/{kind}; boundary=b" for kind in ("alternative", "related", "digest"))
FORWARD = "mensaje-adjunto-1.eml"
CODED = "begin 644 a.bin\n#86)C\n`\nend"
STRUCTURES = [
    parts("two texts", mixed(UNO, DOS), "uno\n\ndos"),
    parts("no last boundary", mixed(UNO, DOS).removesuffix("--b--"), "uno\n\ndos"),
    parts("blanks behind boundaries", "--b \t\n\nuno\n--b--  \n", "uno"),
    parts("preamble and epilogue", f"para nadie\n{mixed(UNO)}\nni esto", "uno"),
    parts("part without a header", mixed("uno"), "uno"),
    parts("part whose header has no blank line behind it", mixed("Content-Type: text/plain\nuno"), "uno"),
    parts("part of a header alone", mixed("Content-Type: text/plain", UNO), "uno"),
    parts("file of a header alone", mixed("Content-Type: image/png; name=a.png"), "", [("a.png", 0)]),
    parts("empty parts", "--b\n--b\n\n--b\n\nuno\n--b--", "uno"),
    parts("boundaries in a row", "--b\n--b\n--b\nContent-Type: text/html\n\nuno\n--b--", "uno"),
    parts("lines that begin like a boundary", mixed("\nuno\n--bx\n--b x"), "uno\n--bx\n--b x"),
    parts("boundary glued to text", mixed("\nuno--b--", DOS), "uno--b--\n\ndos"),
    parts("parts behind the last boundary", mixed(UNO) + "\n" + mixed(DOS), "uno\n\ndos"),
    parts("alternative", mixed(PLAIN, RICH), "llano", kind=ALTERNATIVE),
    parts("alternative, HTML first", mixed(RICH, PLAIN), "llano", kind=ALTERNATIVE),
    parts("alternative, HTML alone", mixed(RICH), "rico", kind=ALTERNATIVE),
    parts("alternative, nothing in the plain one", mixed("\n\n", RICH), "rico", kind=ALTERNATIVE),
    parts(
        "alternative, its plain one nothing but a signature",
        mixed("\nEnviado desde mi iPhone", of("text/html", "<p>El pedido llegó roto ayer<p>Enviado desde mi iPhone")),
        "El pedido llegó roto ayer\n\nEnviado desde mi iPhone",
        kind=ALTERNATIVE,
    ),
    parts(
        "the letter attached",
        mixed(of("text/plain; name=carta.txt", "hola", "attachment"), PNG),
        "hola",
        [("carta.txt", 4), ("a.png", 3)],
    ),
    parts("a table attached", mixed(of("text/csv; name=a.csv", "hola", "attachment")), "", [("a.csv", 4)]),
    parts(
        "alternative with an answer to an invitation",
        mixed(PLAIN, RICH, of("text/calendar; method=REPLY; name=i.ics", "X")),
        "llano",
        [("i.ics", 1)],
        ALTERNATIVE,
    ),
    parts("alternative with RTF", mixed(PLAIN, of("text/rtf; name=a.rtf", "{}")), "llano", [("a.rtf", 2)], ALTERNATIVE),
    parts(
        "alternative whose HTML has a file",
        mixed(PLAIN, inner("mixed", RICH, PNG)),
        "llano",
        [("a.png", 3)],
        ALTERNATIVE,
    ),
    parts(
        "alternative in related in mixed",
        mixed(
            inner("related", inner("alternative", PLAIN, RICH, boundary="d"), PNG),
            of("application/pdf; name=a.pdf", "x"),
        ),
        "llano",
        [("a.png", 3), ("a.pdf", 1)],
    ),
    parts("alternatives side by side", mixed(inner("alternative", UNO), inner("alternative", DOS)), "uno\n\ndos"),
    parts(
        "alternative with a list's footer",
        mixed(inner("alternative", PLAIN, RICH), of("text/plain", "pie", "inline")),
        "llano\n\npie",
    ),
    parts("related", mixed(RICH, PNG), "rico", [("a.png", 3)], RELATED),
    parts("related, its root last", mixed(PNG, RICH), "rico", [("a.png", 3)], f'{RELATED}; start="<r>"'),
    parts("mixed inside related", mixed(inner("mixed", UNO, RICH), PNG), "uno\n\nrico", [("a.png", 3)], RELATED),
    parts("text, picture, text", mixed(UNO, PNG, DOS), "uno\n\ndos", [("a.png", 3)]),
    parts(
        "signed",
        mixed(UNO, of("application/pgp-signature; name=s.asc", "xyz")),
        "uno",
        [("s.asc", 3)],
        "multipart/signed; boundary=b; protocol=x",
    ),
    parts(
        "PGP/MIME",
        mixed(of("application/pgp-encrypted", "x"), of("application/octet-stream; name=e.asc", "x")),
        "",
        [("adjunto-1.bin", 1), ("e.asc", 1)],
        "multipart/encrypted; boundary=b",
    ),
    parts("digest", mixed(MAIL, MAIL), "", [(FORWARD, 13), ("mensaje-adjunto-2.eml", 13)], DIGEST),
    parts("digest in a mixed", mixed(UNO, inner("digest", MAIL)), "uno", [(FORWARD, 13)]),
    parts("a text in a digest", mixed(of("text/plain", "hola"), MAIL), "hola", [(FORWARD, 13)], DIGEST),
    parts("forward", mixed(UNO, of("message/rfc822", "Subject: x\n\nx")), "uno", [(FORWARD, 13)]),
    parts("forward alone", mixed(of("message/rfc822", "Subject: x\n\nx")), "", [(FORWARD, 13)]),
    parts("forward with a name", mixed(UNO, of('message/rfc822; name="RE: q.eml"', "x: y")), "uno", [("RE: q.eml", 4)]),
    parts("forward in base64", mixed(UNO, of("message/rfc822", b64("x: y"), encoding="base64")), "uno", [(FORWARD, 4)]),
    parts(
        "forward of parts", mixed(UNO, of("message/rfc822", inner("mixed", DOS)), TRES), "uno\n\ntres", [(FORWARD, 57)]
    ),
    parts("a mail as the mail", "Subject: x\n\nx", "", [(FORWARD, 13)], "message/rfc822"),
    parts(
        "bounce",
        mixed(UNO, of("message/delivery-status", "x: y"), of("text/rfc822-headers", "x: y")),
        "uno",
        [("adjunto-1.txt", 4), ("adjunto-2.txt", 4)],
        "multipart/report; boundary=b; report-type=delivery-status",
    ),
    parts(
        "AppleDouble",
        mixed(inner("appledouble", of("application/applefile; name=a.png", "xy"), PNG)),
        "",
        [("a.png", 2), ("a.png", 3)],
    ),
    parts(
        "form",
        mixed(of("", "uno", "form-data; name=queja"), of("text/plain", "xyz", "form-data; filename=a.txt")),
        "uno\n\nxyz",
        [("a.txt", 3)],
        "multipart/form-data; boundary=b",
    ),
    parts(
        "MMS",
        mixed(of("application/smil", "x"), of("text/plain; name=t.txt", "uno")),
        "uno",
        [("adjunto-1.bin", 1), ("t.txt", 3)],
        RELATED,
    ),
    parts("a text attached", mixed(UNO, of("text/plain; name=a.txt", "xyz", "attachment")), "uno", [("a.txt", 3)]),
    parts("a text in line", mixed(UNO, of("text/plain; name=a.txt", "dos", "inline")), "uno\n\ndos", [("a.txt", 3)]),
    parts("HTML attached", mixed(UNO, of("text/html; name=a.html", "xyz", "attachment")), "uno", [("a.html", 3)]),
    parts("HTML in line", mixed(UNO, of("text/html; name=a.html", "dos", "inline")), "uno\n\ndos", [("a.html", 3)]),
    parts("a card", mixed(UNO, of("text/x-vcard; name=a.vcf", "xyz")), "uno", [("a.vcf", 3)]),
    parts("a mail in pieces", mixed(UNO, of("message/partial; id=x; number=1", "x: y")), "uno", [("adjunto-1.txt", 4)]),
    parts("a file elsewhere", mixed(UNO, of("message/external-body", "x: y")), "uno", [("adjunto-1.txt", 4)]),
    parts("uuencoded", mixed(UNO, of("image/gif; name=a.gif", CODED, encoding="x-uuencode")), "uno", [("a.gif", 3)]),
    parts("QP", mixed(of("image/gif; name=a.gif", "a=00b=\nc", encoding="quoted-printable")), "", [("a.gif", 4)]),
    parts(
        "a file cut off", mixed(UNO, PNG).removesuffix("D\n--b--").removesuffix("\n--b--")[:-1], "uno", [("a.png", 2)]
    ),
    parts("names twice", mixed(of("image/gif; name=a", "x"), of("image/gif; name=a", "xy")), "", [("a", 1), ("a", 2)]),
    parts(
        "names that are paths",
        mixed(of('image/gif; name="/etc/../a"', "x"), of('image/gif; name="."', "x")),
        "",
        [("a", 1), ("adjunto-2.gif", 1)],
    ),
    parts("a part of no type", mixed(of("foo", "uno")), "uno"),
    parts("an encoding alone", mixed(of("", b64("año"), encoding="BASE64")), "año"),
    parts("a multipart nobody knows", mixed(UNO, DOS), "uno\n\ndos", kind="multipart/x-foo; boundary=b"),
    parts("a multipart of no kind", mixed(UNO, DOS), "uno\n\ndos", kind="multipart; boundary=b"),
    parts("a multipart in base64", b64(mixed(UNO)), "uno", kind=f"{RELATED}\nContent-Transfer-Encoding: base64"),
    parts(
        "a multipart that says so",
        mixed(inner("mixed", UNO).replace("\n", "\nContent-Transfer-Encoding: base64\n", 1)),
        "uno",
    ),
    parts("inner one never closed", mixed(inner("mixed", UNO).removesuffix("\n--c--"), DOS), "uno\n\ndos"),
    parts("inner boundary longer", mixed(inner("mixed", UNO, boundary="bb"), DOS), "uno\n\ndos"),
    parts(
        "inner boundary shorter",
        mixed(inner("mixed", UNO, boundary="b"), DOS, boundary="bb"),
        "uno\n\ndos",
        kind="multipart/mixed; boundary=bb",
    ),
    parts(
        "twenty in one another",
        "".join(f"--b{n}\nContent-Type: multipart/mixed; boundary=b{n + 1}\n\n" for n in range(20))
        + mixed(UNO, boundary="b20"),
        "uno",
        kind="multipart/mixed; boundary=b0",
    ),
]

BOUNDARIES = [  # (as declared, as it stands)
    ("boundary=b", "b"),
    ('boundary="=_?:(x)/\'+_,-."', "=_?:(x)/'+_,-."),
    ("boundary==_x=y", "=_x=y"),
    ('boundary="a b c"', "a b c"),
    ('boundary="a  b"', "a  b"),
    ("boundary*0=a; boundary*1=b", "ab"),
    ("boundary*=us-ascii''b", "b"),
    ("boundary=b", "B"),
    ("boundary=b (la frontera)", "b"),
    ("boundary=a/b:c(d),e", "a/b:c(d),e"),
    ('boundary="b;c"', "b;c"),
    (r'boundary="a\"b"', 'a"b'),
    ("boundary='b'", "'b'"),
    ("boundary='b'", "b"),
    ('boundary="b--"', "b--"),
    ('boundary="=?utf-8?Q?b?="', "=?utf-8?Q?b?="),
    ("boundary=\"utf-8''a%20b\"", "utf-8''a%20b"),
    (f"boundary={'b' * 250}", "b" * 250),
    ('boundary\n\t=\n\t"b"', "b"),
    ("; Boundary=b;;", "b"),
    ("charset=x boundary=b", "b"),
]

WHOLE = [  # (raw, subject, text)
    (b" Subject: s\nTo: b@y.co\n\nhola", "s", "hola"),
    (b"Sub\0ject: x\nSubject: s\n\nhola", "s", "hola"),
    ("Asuñto: x\nSubject: s\n\nhola".encode(), "s", "hola"),
    (b"Subject:\n hola\n\nx", "hola", "x"),
    (b"Subject: =?utf-8?Q?Petici=C3=B3n_de_revisi=C3=\n\nx", "Petición de revisi", "x"),
    (f"Subject: s\nContent-Type: {RELATED}\n{mixed(UNO)}".encode(), "s", "uno"),
    (f"Subject: s\nContent-Type: {RELATED}\n\n{mixed(UNO, DOS)}".replace("\n", "\r").encode(), "s", "uno\n\ndos"),
    (f"Subject: s\nContent-Type: {RELATED}\n\n{mixed(UNO, DOS)}".replace("\n", "\r\r\n").encode(), "s", "uno\n\ndos"),
    (f"Subject: s\r\nContent-Type: {RELATED}\n\r\n{mixed(UNO, DOS)}".encode(), "s", "uno\n\ndos"),
    (b"Subject: s\n\nFrom: otro@y.co\nSubject: x\n\nhola", "s", "From: otro@y.co\nSubject: x\n\nhola"),
    (b"Subject: s\nX: " + b"x" * 5_000 + b"\n\nhola", "s", "hola"),
    (b"Subject: s\nContent-Type: text/plain; charset=utf-16\n\n" + "año".encode("utf-16"), "s", "año"),
    (b"Subject: s\n\n\0\0\0", "s", ""),
]

CASES = [
    *SUBJECTS,
    *PEOPLE,
    *BODIES,
    *NAMES,
    *STRUCTURES,
    *(to(value, value, read) for value, read in LISTS),
    *(
        parts(f"{declared} {real}", mixed(UNO, DOS, boundary=real), "uno\n\ndos", kind=f"multipart/mixed; {declared}")
        for declared, real in BOUNDARIES
    ),
]


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_torture(case: Case) -> None:
    found = parse(case.raw)
    people = "" if found.sender is None else found.sender.address
    if found.sender and found.sender.name:
        people = f"{found.sender.name} <{people}>"
    read = (found.subject, people, " ".join(one.address for one in found.to), found.text.rstrip())
    assert read == (case.subject[1], case.sender[1], case.to[1], case.reads.rstrip())
    assert [(one.filename, one.size) for one in found.attachments] == case.files
    assert [len(one.content) for one in open_attachments(case.raw)] == [size for _, size in case.files]


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_line_ends_change_nothing_but_the_size_of_texts(case: Case) -> None:
    found, other = parse(case.raw), parse(case.raw.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"))
    assert (other.subject, other.sender, other.to, other.text) == (found.subject, found.sender, found.to, found.text)
    assert [one.filename for one in other.attachments] == [one.filename for one in found.attachments]


@pytest.mark.parametrize(("raw", "subject", "text"), WHOLE)
def test_torture_of_the_whole(raw: bytes, subject: str, text: str) -> None:
    found = parse(raw)
    assert (found.subject, found.text) == (subject, text)
