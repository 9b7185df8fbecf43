"""What autoresponders, mail systems and challenges write in subjects and first lines, in the languages customers use.

Patterns are matched against text as `fold.plain` leaves it (lower case, no accents, ñ reads n) and only against the
subject and the opening of a mail, so no text can make a match long. A phrase that a customer could write by themselves
never decides alone: `screen` adds two weak ones up.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import takewhile

from pqr_mailbot.domain.fold import plain

_HEAD = 1_500  # characters of the opening that are looked at
_QUOTE_BEGINS = re.compile(
    r"^\s*(?:>|[-_*]{3,}|(?:de|from|von|da|expediteur)\s?:\s|(?:el|on|em|le|am|il)\s.{5,120}(?:escribio|wrote"
    r"|escreveu)\b)"
)
_GATEWAY_TAGS = re.compile(
    r"^(?:\[?\s*(?:external|externo|externa|ext|correo externo|extern|caution)\s*(?:\]|:)\s*|\*{2,}\w+\*{2,}\s*"
    r"|\*{2,}\s*)+"
)
_ANSWER = re.compile(r"^(?:(?:re|rv|res|aw|antw|sv|vs|ref|rif|r|odp)\s*(?:\[\d{1,3}\])?\s*:\s*)+")
_FORWARD = re.compile(r"^(?:re\s*:\s*)*(?:fwd?|rv|rm|wg|enc|tr|i|vl|reenviado|reenv)\s*:\s*")


def plain_subject(subject: str) -> str:
    """The subject folded, without the tag a gateway puts before mail from outside."""
    return _GATEWAY_TAGS.sub("", " ".join(plain(subject[:400]).split()))


def opening(text: str) -> str:
    """The first words of a mail before any quote, folded, as one line."""
    lines = plain(text[:_HEAD]).split("\n")
    return " ".join(" ".join(takewhile(lambda line: not _QUOTE_BEGINS.match(line), lines)).split())


def quotes(text: str) -> bool:
    """Does an earlier mail stand below the first words?"""
    return any(_QUOTE_BEGINS.match(line) for line in plain(text[: 4 * _HEAD]).split("\n"))


def closing(text: str) -> str:
    """The last words of a mail, folded, as one line."""
    return " ".join(plain(text[-_HEAD:]).split())


def is_answer(subject: str) -> bool:
    """Does this folded subject say it answers something ("Re:")?"""
    return _ANSWER.match(subject) is not None


def is_forward(subject: str) -> bool:
    """Does this folded subject say somebody passed something on ("Fwd:", "RV:")?"""
    return _FORWARD.match(subject) is not None


def without_prefixes(subject: str) -> str:
    """A folded subject without "Re:"."""
    return _ANSWER.sub("", subject)


def _any(*patterns: str) -> re.Pattern[str]:
    """One pattern out of several, a group of them a line."""
    return re.compile("|".join(patterns))


# -- away, and other automatic answers: subjects -----------------------------------------------------------------------

_END = r"(?=\s*(?:[:\-–—|(\[~/]|[.!]?$|(?:re|aw|fw|rv)\s*:))"  # "Fuera de la oficina me dejaron el paquete" goes on

# Alone enough, at the very beginning: what Exchange, Outlook, Notes, Gmail, Yahoo and cPanel write in each language.
AUTOMATIC_SUBJECT = re.compile(
    "^(?:"
    + "|".join(
        phrase + _END
        for phrase in (
            r"(?:re:\s*)?yahoo!? auto[ -]?response",
            # Spanish
            r"(?:respuesta|contestacion) (?:automatica|automatizada)(?: de ausencia| de vacaciones)?",
            r"respuesta de (?:ausencia|vacaciones|fuera de (?:la )?oficina)",
            r"(?:mensaje|correo|aviso|acuse de recibo|confirmacion) automatic[oa](?: de ausencia| de vacaciones)?",
            r"auto[ -]?(?:respuesta|contestador|respondedor)(?: automatic[oa])?|contestador automatico|\[auto\]",
            r"(?:aviso|mensaje|notificacion|nota) de (?:ausencia|vacaciones)(?: de la oficina)?",
            r"(?:estoy |estare |me encuentro )?(?:fuera|ausente) de (?:la |mi )?oficina(?: (?:desde|hasta"
            r"|del)\b[^:]*)?",
            r"fuera del? despacho",
            # English
            r"(?:auto|automatic|automated|automatically generated)[ -]*(?:e-?mail )?"
            r"(?:reply|replies|response|respond|responder|answer|acknowledge?ment)"
            r"(?: (?:from|to|for|message|re)\b[^:]*)?",
            r"(?:i am |i'm |i will be )?(?:currently )?out[ -]of[ -](?:the[ -])?office"
            r"(?: (?:auto[^:]*|reply|message|response|notification|notice|assistant|re|until|from|till|on)\b[^:]*)?",
            r"ooo|ooto|o\.o\.o\.?",
            r"(?:i am |i'm )?away from (?:my |the )?(?:e?-?mail|office|desk)(?: (?:until|till)\b[^:]*)?",
            r"(?:vacation|holiday|absence|away|leave)[ -](?:auto[ -]?)?(?:reply|message|response|notice"
            r"|notification)",
            # Portuguese
            r"resposta (?:automatica|de ausencia)|mensagem automatica|aviso de (?:ferias|ausencia)|ausencia temporaria",
            r"(?:estou )?(?:fora|ausente) d[oae] (?:escritorio|empresa|gabinete)|ausencia do escritorio",
            # German
            r"autom(?:atische|\.) (?:antwort|ruckantwort|ruckmeldung|abwesenheits\w+|empfangs\w+|e-?mail-?antwort)",
            r"abwesenheits?(?:notiz|meldung|nachricht|assistent|benachrichtigung|agent|antwort|mitteilung"
            r"|info)\w{0,3}",
            r"nicht im (?:buro|haus)e?|abwesenheit|(?:bin )?außer haus",
            # French
            r"(?:re: ?)?(?:reponse|message) automatique(?: d'absence)?",
            r"(?:message|avis|notification) d['’ ]absence|absente? du bureau|absence du bureau",
            # Italian
            r"(?:risposta|messaggio) automatic[ao]|fuori (?:ufficio|sede)|assen(?:za|te) dall?['’ ]?ufficio",
            # Catalan, Dutch, Scandinavian, Finnish
            r"resposta automatica|fora de l['’]oficina",
            r"automatisch(?:e)? (?:antwoord|beantwoording|reactie)|afwezigheids?(?:bericht|assistent|melding)",
            r"(?:niet aanwezig|niet op kantoor|afwezig)",
            r"autosvar|auto svar|automatiskt? svar|franvaro(?:meddelande)?|fravær(?:smelding)?|ikke til stede",
            r"automaattinen (?:vastaus|poissaoloviesti)|poissaoloviesti|poissa toimistosta",
            # East
            r"automatyczna odpowiedz|odpowiedz automatyczna|poza biurem|automaticka odpoved|mimo kancelar",
            r"automatikus valasz|raspuns automat|otomatik yanit|otomatik yanıt|automatski odgovor|avtomatski odgovor",
            r"автоматическии ответ|автоответ(?:чик)?|автоматична відповідь|вне офиса|αυτοματη απαντηση",
        )
    )
    + ")"
)
_AUTOMATIC_CJK = re.compile(r"^\W*(?:自動返信|自動応答|自动回复|自动答复|自動回覆|不在通知|자동 ?(?:회신|응답))")
# "Respuesta automática de Ana López", but not "Respuesta automática de ustedes".
_AUTOMATIC_OF = re.compile(
    r"^(?:respuesta automatica|resposta automatica|autoreply|auto-reply|reponse automatique|risposta automatica) "
    r"(?:de|da|do|di|del|por|a|para|from|para el mensaje)\s(?!(?:ustedes|su|sus|la|las|los|un|una|whatsapp|correo"
    r"|chat)\b)"
)
# Notes: "AUTO: Ana López is out of the office (returning 01/05/2027)"; a court's "Auto: admite tutela" is none.
_AUTO_OF_NOTES = re.compile(
    r"^auto: ?(?:(?:re|aw|rv|fw)\s*:|.{0,120}\b(?:out of|returning|return|is away|on (?:vacation|leave|holiday)"
    r"|ausente"
    r"|fuera de|regres|vuelv|vacaciones|absent|de retour|abwesend|außer haus|urlaub|fora d|ferias|assente|fuori"
    r"|ooo)\b)"
)
_TAGGED = re.compile(
    r"[\[(](?:auto[ -]?(?:reply|response)|automatic reply|respuesta automatica|out of office)[\])]\s*$"
)


def says_automatic(subject: str, raw_subject: str) -> bool:
    """Does this folded subject (and as it was written) name itself an automatic answer to something or by somebody?"""
    named = AUTOMATIC_SUBJECT.match(subject)
    if named and subject[named.end() :].strip(" .!"):
        return True
    if _AUTOMATIC_OF.match(subject) or _AUTO_OF_NOTES.match(subject):
        return True
    return _TAGGED.search(subject) is not None or _AUTOMATIC_CJK.match(raw_subject) is not None


def names_automatic(subject: str) -> bool:
    """Is this folded subject only the name of an automatic answer? "Respuesta automática" may be a customer's scorn."""
    return AUTOMATIC_SUBJECT.match(subject) is not None


def answers_automatic(subject: str) -> bool:
    """Does this folded subject answer what named itself automatic? Then somebody wrote back to an autoresponder."""
    return is_answer(subject) and AUTOMATIC_SUBJECT.match(without_prefixes(subject)) is not None


# Weak: a person may well write these. "Vacaciones en su hotel" is not even here, for it goes on.
_AWAY_SUBJECT = _any(
    r"^(?:estoy |estare |me encuentro |salgo )?(?:de |en |a )?vacaciones(?: (?:colectivas|del?|desde"
    r"|hasta)\b.*)?\W*$",
    r"^(?:ausente|ausencia|ausencia (?:temporal|por vacaciones|de la oficina)|no (?:estoy )?disponible)\W*$",
    r"^(?:estoy |estare |me encuentro )(?:fuera|ausente)\b.{0,40}$",
    r"^(?:i am |i'm |i will be |currently )?(?:on |away on )?(?:annual leave|vacation|holidays?|leave|pto"
    r"|maternity leave)"
    r"(?: (?:until|till|from|notice)\b.*)?\W*$",
    r"\b(?:is|am|will be|currently) (?:currently )?(?:out of (?:the )?office|away|on (?:leave|vacation|holiday))\b",
    r"\bout of (?:the )?office\b|\bfuera de (?:la )?oficina\b",
    r"^(?:away|not available|unavailable|gone)\W*$|^auto: ",
    r"^(?:ich bin )?(?:im )?urlaub\b|^abwesend|^(?:je suis )?(?:absente?|en conges?|en vacances)\b",
    r"^(?:sono )?(?:in ferie|assente|assenza)\b|^(?:estou )?(?:de ferias|ferias|ausente|ausencia)\W*$|^op vakantie\b",
    r"\bno longer (?:with|at|works?|employed)\b|\bya no (?:trabaja|labora|hace parte)\b",
)
_RECEIVED_SUBJECT = _any(
    r"^(?:hemos )?recibi(?:do|mos) (?:su|tu) (?:mensaje|correo|solicitud|consulta|comunicacion)",
    r"^(?:muchas )?gracias por (?:contactar|escribir|comunicar|su (?:mensaje|correo|mail|e-?mail|comunicacion"
    r"|consulta))",
    r"^(?:confirmacion|acuse) de (?:recepcion|recibo|recibido)|^radicado|^su (?:solicitud|caso|ticket) ha sido",
    r"^thank(?:s| you) for (?:contacting|your (?:e-?mail|message|enquiry|inquiry|interest|request)|reaching"
    r"|getting in)",
    r"^\[?ticket ?#\d|^(?:support )?ticket (?:opened|abierto)|^ticket de soporte (?:abierto|creado)",  # OTRS, osTicket
    r"^\[(?:request|ticket|solicitud) (?:received|recibid[oa])\]|^we(?:'ve| have)? (?:received|got) your"
    r"|^your (?:message|e-?mail|request|enquiry|inquiry) (?:has been|was) received",
    r"^eingangsbestatigung|^(?:ihre|vielen dank fur ihre) (?:anfrage|nachricht|e-?mail)|^accuse de reception",
    r"^(?:recebemos (?:a )?sua|obrigad[oa] (?:por|pelo)|confirmacao de recebimento)|^merci (?:pour|de) votre",
    r"^(?:\[[^\]]{1,40}\] ?)?(?:ticket|caso|case|request|solicitud) (?:received|recibid[oa]|creado|created|abierto)",
)


def hints_at_absence(subject: str) -> bool:
    """Could this folded subject be an autoresponder's, or a person's?"""
    bare = without_prefixes(subject)
    return bool(_AWAY_SUBJECT.search(bare) or _RECEIVED_SUBJECT.search(bare) or AUTOMATIC_SUBJECT.match(bare))


# -- the same: first lines ---------------------------------------------------------------------------------------------

_AWAY = _any(
    # Spanish
    r"\b(?:me encuentro|se encuentran?|estoy|estare|estamos|me encontrare|estaremos|nos encontramos|voy a estar"
    r"|he salido|salgo)"
    r" (?:(?:actualmente|temporalmente|ahora|en este momento|en estos momentos|desde|del|a partir)\b[^.]{0,40})?"
    r"(?:fuera del? (?:la |mi |nuestra )?(?:oficina|ciudad|pais|despacho|empresa|mi puesto)|ausente|incapacitad[oa]"
    r"|(?:de|en|disfrutando(?: de)?|a)(?: mis?| mi periodo de| periodo de| un periodo de)? vacaciones"
    r"|(?:de|en|con) (?:licencia|permiso|comision|viaje))",
    r"\b(?:no me encuentro|no estare|no estoy|no me encontrare)(?: \w+){0,2} (?:disponible|en (?:la |mi )?oficina"
    r"|laborando)",
    r"\b(?:mi|nuestro) periodo de vacaciones|\bestare (?:fuera|ausente|de regreso)|\bacceso limitado a(?:l"
    r"| mi) correo",
    r"\bya no (?:trabajo|laboro|hago parte|pertenezco)\b",
    r"\b(?:ya no|no) (?:trabaja|labora|hace parte)(?: mas)? (?:en|con|de|para) (?:esta|la|nuestra|el|nosotros)",
    # English
    r"\b(?:i am|i'm|i ?am|i will be|i'll be|i shall be|we are|is|will be) (?:\w+ ){0,2}?(?:out of (?:the "
    r"|my )?(?:office|town"
    r"|country)|away|on (?:\w+ )?(?:leave|vacation|holidays?|pto)|out of office|travell?ing|unavailable"
    r"|out (?:until|from|on|today|this|all|next))\b",
    r"\b(?:will|do) not (?:be|have) (?:\w+ )?(?:in the office|checking|access(?:ing)?|available|reading"
    r"|regular access)\b",
    r"\blimited (?:e-?mail )?access\b|\bno longer (?:with|works? (?:at|for|with)|employed|an employee|at this)\b",
    r"\b(?:currently )?out of (?:the )?office (?:until|from|on|and|through|with|starting|today|this)\b",
    # Portuguese, German, French, Italian, Dutch
    r"\b(?:soc|estic|estare|sere) fora de\b",  # Catalan
    r"\b(?:estou|estarei|encontro-me|estaremos) (?:\w+ )?(?:de ferias|em ferias|ausente|fora d[oae]|em viagem"
    r"|de licenca)\b",
    r"\bich (?:bin|befinde mich|werde)\b.{0,60}\b(?:nicht im (?:buro|haus)|abwesend|im urlaub|außer haus"
    r"|nicht (?:erreichbar|anwesend)|in elternzeit)|\bich bin (?:ab|erst|wieder)\b[^.]{0,40}\b(?:erreichbar|im buro"
    r"|zuruck)",
    r"\bje (?:suis|serai) (?:actuellement )?(?:absente?|en conges?|en vacances|hors du bureau|en deplacement"
    r"|de retour)\b",
    r"\b(?:actuellement )?absente? (?:du bureau|jusqu|du \d)|\b(?:sono|saro) (?:\w+ )?(?:in ferie|fuori ufficio"
    r"|assente|fuori sede)\b",
    r"\b(?:ik ben|ben ik) (?:\w+ ){0,3}?(?:afwezig|niet aanwezig|niet op kantoor|(?:op|met) vakantie)\b",
)
_LEFT = re.compile(r"\bya no (?:trabajo|laboro|hago parte|pertenezco|trabaja|labora|hace parte)\b|\bno longer with\b")
_DO_NOT_ANSWER = _any(
    r"\b(?:correo|buzon|cuenta|direccion|mailbox|inbox|address) (?:no es|no esta siendo|is not|isn't)"
    r" (?:monitor|atendid|revisad|leid|supervis)\w*",
    r"\bno (?:responda|conteste|responder|contestar) (?:a )?(?:este|esta|al presente) (?:mensaje|correo|e-?mail"
    r"|direccion)|\b(?:please )?do not (?:reply|respond) to this\b|\bnao responda (?:a )?est[ae]\b"
    r"|\bantworten sie nicht auf diese|\b(?:favor|agradecemos|le rogamos),? no (?:l[oae] )?"
    r"(?:responda|conteste|responder|contestar)\b",
)
_AUTOMATIC = _any(
    r"\best[aeo] (?:es|correo es|mensaje es|respuesta es|ha sido)(?: un[ao]?)? ?(?:mensaje|respuesta|correo"
    r"|notificacion|e-?mail)?"
    r"(?: \w+){0,3}? ?automatic(?:[ao]|amente)",
    r"\b(?:mensaje|correo|respuesta|notificacion) (?:\w+ ){0,2}?(?:generad[oa]|enviad[oa]"
    r"|producid[oa]) (?:\w+ ){0,3}?automatic|\b(?:fue|ha sido) (?:generad|enviad)[oa] (?:\w+ ){0,2}?automatic\w+ por\b",
    r"\b(?:mensaje|correo|respuesta|notificacion|e-?mail) se (?:genera|genero|envia|envio|ha generado|ha enviado)"
    r" (?:de (?:forma|manera) )?automatic",
    r"\bthis is an? (?:\w+ )?(?:automat(?:ic|ed|ically)|auto)[ -]?(?:\w+[ -])?(?:reply|response|message|e-?mail"
    r"|notification"
    r"|acknowledge?ment|generated)",
    r"\bthis (?:message|e-?mail|response|reply) (?:is|was|has been) (?:an? )?auto",
    r"\b(?:est[ae] e uma?|est[ae]) (?:mensagem|resposta|e-?mail) (?:\w+ )?automatic|\bmensagem (?:gerada"
    r"|enviada) automatic",
    r"\b(?:dies(?:e|es)?|das) (?:\w+ ){0,3}automatis(?:ch|iert)|\bceci est une? (?:message|reponse) automatique",
    r"\b(?:ce|cet) (?:message|e-?mail|courriel) (?:\w+ ){0,3}automatique|\bquest[oa] (?:e|e un"
    r"|e una) (?:\w+ )?automatic",
    r"\bdit is een automati|\brespuesta automatica\s*[:.\-]|^(?:\W*)(?:respuesta automatica|auto-?reply"
    r"|auto-?response)\b",
)
# A person's law office or virus scanner says such things below what the person wrote.
_DISCLAIMER = re.compile(
    r"[^.]{0,200}\b(?:no es (?:el|su) destinatario|not the (?:intended|named)|confidencial|confidential)\b.*"
)
# What an office's system says of what it was sent, as nobody says it of their own.
_REGISTERED = _any(
    r"\b(?:su|tu) (?:mensaje|correo|solicitud|consulta|comunicacion|peticion|queja|reclamo|pqrs?f?|caso|ticket)"
    r"(?: \W?#?[\w-]{1,20}\W?)? (?:ha sido|fue) (?:recibid|radicad|registrad|cread|asignad)[oa]",
    r"\bse ha (?:registrado|radicado|recibido|creado|abierto|generado) (?:(?:su|tu) \w+|(?:una?|el|la) (?:nuev[oa] )?"
    r"(?:mensaje|correo|solicitud|consulta|comunicacion|peticion|queja|reclamo|pqrs?f?|caso|ticket|radicado"
    r"|incidente|incidencia|requerimiento|registro|tramite)\b)",
    r"\byour (?:\w+ )?(?:message|e-?mail|request|ticket|case)(?: \W?#?\w{1,20}\W?)? (?:has been|was) (?:received"
    r"|created|opened"
    r"|logged|registered|assigned)|\b(?:request for support|(?:support )?(?:ticket|case)) has been (?:created"
    r"|opened|assigned)",
)
_RECEIVED = _any(
    r"\b(?:hemos recibido|recibimos|acusamos recibo)\b.{0,30}\b(?:mensaje|correo|solicitud|consulta|comunicacion"
    r"|e-?mail|mail)",
    r"^\W*(?:\w+\W+){0,8}?(?:muchas )?gracias por (?:contactar|escribir|comunicar|su (?:mensaje|correo|e-?mail|mail"
    r"|consulta))",
    r"\bconfirmamos (?:el |la )?(?:recibo|recepcion|recibido) de\b",
    r"\bthank(?:s| you) for (?:contacting|your (?:e-?mail|message|enquiry|inquiry|interest|request)|reaching"
    r"|getting in)",
    r"\bwe (?:got|are in receipt of) your (?:\w+ )?(?:message|e-?mail|request)",
    r"\bwe(?:'ve| have)? (?:successfully )?received your",
    r"\b(?:recebemos (?:o |a )?(?:seu|sua)|obrigad[oa] pel[oa])|\bvielen dank fur ihre (?:anfrage|nachricht|e-?mail"
    r"|mail)",
    r"\bnous avons bien recu|\bmerci (?:pour|de) votre|\babbiamo ricevuto",
)
_RETURN = _any(
    r"\bhasta (?:el|la|nuevo|principios|mediados|finales|\d)|\b(?:regreso|regresare|regresamos|retorno|retornare"
    r"|vuelvo|volvere)\b",
    r"\b(?:a mi regreso|a mi retorno|me reincorpor|me reintegr|estare de (?:regreso|vuelta)|reanud)",
    r"\b(?:del?|desde el|entre el) \d{1,2}\b.{0,25}\b(?:al?|hasta el|y el) \d{1,2}\b",
    r"\buntil\b|\breturn(?:ing)?\b|\bback (?:on|in|at|to)\b|\bthrough (?:\w+day|\w+ \d)"
    r"|\bfrom \w+ \d{1,2}.{0,20}\b(?:to|through)\b",
    r"\bate (?:o dia|a |(?:o )?\d)|\bregresso|\bretornarei|\bbis (?:zum|einschl|\w* ?\d)|\b(?:ab dem|wieder (?:im"
    r"|erreichbar|da|zuruck))",
    r"\bjusqu['’ ]?au|\bde retour|\bdu \d{1,2}.{0,20}\bau \d|\bfino al|\brientr|\bdal \d|\btot(?: en met)? ",
)
_CONTACT = _any(
    r"\b(?:urgen\w+|inmediat\w+|dringend\w*|emergencia|emergency)\b.{0,80}(?:contact|comuni|escrib|llam|dirig|call"
    r"|e-?mail|wend|@|\d{7})",
    r"\b(?:en|durante|em|na|in|during|pendant|en mon|in meiner) (?:mi|my|minha|mon|meiner)? ?(?:ausencia|absence"
    r"|abwesenheit)\b",
    r"\b(?:contact\w*|comuni\w+|escrib\w+|dirig\w+|dirij\w+|remit\w+|reach out|call|e-?mail|wenden"
    r"|contat\w+)\b.{0,90}[\w.]@\w",
    r"\b(?:novedad|inquietud|requerimiento|consulta)\b.{0,60}@\w",
    r"\bplease (?:contact|call|direct|e-?mail)\b|\bveuillez (?:contacter|vous adresser)|\bwenden sie sich"
    r"|\bvertretung",
    r"\b(?:respondere|contestare|atendere|leere|dare respuesta|sera atendid[oa])\b|\bi will (?:respond|reply|answer"
    r"|get back)\b"
    r"|\bresponderei\b",
)
_PROMISE = _any(
    r"\b(?:responderemos|daremos respuesta|contactaremos|contestaremos|atenderemos|estaremos respondiendo"
    r"|sera atendid[oa])\b",
    r"\b(?:nos (?:pondremos|comunicaremos)|le (?:respondera|responderemos|contactara|contactaremos)|uno de nuestros"
    r"|nuestro equipo"
    r"|nuestros asesores)\b",
    r"\b(?:a la mayor brevedad|lo antes posible|a la brevedad|horario de atencion|proximas \d+ horas|\d+ (?:horas"
    r"|dias) habiles)\b",
    r"\b(?:se (?:pondra|comunicara) en contacto|(?:un|una) (?:representante|asesora?|agente)\b.{0,40}\b(?:revisara"
    r"|respondera"
    r"|contactara)|(?:representative|agent|team) will|(?:answered|reviewed|attended) by|we're on it"
    r"|reply above this line"
    r"|por encima de esta linea)",
    r"\b(?:as soon as possible|asap|shortly|within \w+ (?:business |working )?(?:hours?|days?)|get back to you"
    r"|will (?:respond|reply|be in touch)|is being reviewed)",
    r"\b(?:so bald wie moglich|schnellstmoglich|umgehend|dans les (?:plus brefs|meilleurs) delais"
    r"|entraremos em contato|o mais breve)",
    r"\b(?:numero de (?:radicado|caso|ticket|solicitud)|ticket (?:number|id|#)|case (?:number|id|#)|radicado (?:no"
    r"|n|#))",
)


def says_received(subject: str) -> bool:
    """Does this folded subject say that something was received and registered?"""
    bare = without_prefixes(subject)
    return bool(_RECEIVED.search(bare) or _REGISTERED.search(bare))


# What only a customer says; an autoresponder has no order of its own and asks nothing.
_A_CUSTOMER = re.compile(
    r"[?¿]|\bno (?:estoy|estamos) de acuerdo\b|\bno comparto\b|\b(?:quisiera|quiero|queremos|necesito|necesitamos"
    r"|solicito|reclamo|exijo|pido)\b(?! (?:informar"
    r"|comunicar|avisar"
    r"|agradecer|que se (?:comuni|dirij|contact)|comunicar|dirigir|contactar))|\bi (?:want|need|bought|ordered|paid)\b"
    r"|\bme (?:sirve|queda|funciona|parece|conviene)\b|\b(?:escriban|llamen|contesten|respondan|envien)(?:me|nos)\b"
    r"|\bplease (?:send|resend|deliver|refund|cancel|ship|call me)\b"
    r"|\b(?:los|las|les|le) (?:llamo|llamare|envio|enviare|mando|mandare|aviso|adjunto|reenvio|escribi)\b"
    r"|\b(?:mis?|nuestr[oa]s?|my|our|meu|minha) (?:pedidos?|suscripcion|entregas?|compras?|paquetes?|orden"
    r"|facturas?"
    r"|cafe|despacho|envio|producto|bolsas?|casa|portal|order|subscription|delivery|shipment|package|coffee"
    r"|invoice)\b"
    r"|\b(?:me|nos) (?:llego|llega|respond\w+|contest\w+|sale|aparece|enviaron|mandan?|mandaron)\b"
    r"|\bi (?:got|received|keep getting|was told)\b"
    r"|\b(?:quedo (?:pendiente|a la espera)|(?:sigo|seguimos) (?:esperando|sin)|hay alguien|dice (?:el|la) suy[oa]"
    r"|nadie (?:me |nos )?(?:responde|contesta|llama)|que (?:me |nos )?(?:piden|pidieron))\b"
    r"|\bya (?:van|llevo|llevamos) (?:\w+ )?(?:\d+|un|una|dos|tres|cuatro|cinco|varios|varias)\b"
    r"|\b(?:queria|queriamos|quisieramos|solicitamos|reclamamos|exigimos) (?!(?:informar|comunicar|avisar)\w*\b)\w"
    r"|\b(?:pueden|podrian) (?:pasar|entregar|dejar|llevar|recoger|traer|venir|reprogramar|despachar)\w*\b"
    r"|\b(?:suspend|reprogram|aplaz)\w+ (?:el|los|la|las|un|una) (?:pedidos?|despachos?|envios?|entregas?|recogidas?)\b"
    r"|\b(?:el|del|al) pedido (?:n\w{0,5}\.? )?#?\d|\bcorrijan\b|\byo (?:ya|no|les|le)\b"
    r"|\byou can (?:leave|drop|deliver|pick|bring|ship)\b|\bwe are (?:still )?(?:missing|waiting)\b"
)
# In a mail system's words nobody wants, asks or owns anything; its only "I" are qmail's and its like: "I'm afraid …".
_SOMEBODY = re.compile(
    r"\b(?:mis?|my|minha) \w|\b(?:quisiera|quiero|necesito|necesitamos|solicito|exijo|repito|reenvio|adjunto"
    r"|escribi|compre|pedi|recibi|intente escribir)\b"
    r"|\b(?:me|nos) (?:rebot\w+|devolv\w+|devuel\w+|fue|fueron|sale|salio|aparece|lleg\w+|dej\w+|respond\w+"
    r"|contest\w+|llamen"
    r"|entreg\w+|envi\w+|pueden|dice\w*)\b|\b(?:les|le) (?:escrib|mand|reenv|pregunt)\w+|\bwhen i\b"
    r"|\bi (?:got|get|received|keep|was told|want|need|bought|ordered|paid|wrote|write|sent|live)\b"
)


def asks_as_customer(text: str) -> bool:
    """Does this opening speak of the writer's own order or wish? A question alone is a campaign's, too."""
    return _A_CUSTOMER.search(text.translate(_NO_QUESTIONS)) is not None


_NO_QUESTIONS = str.maketrans("", "", "?¿")
_ANY_AUTOMATIC = (_AWAY, _AUTOMATIC, _DO_NOT_ANSWER, _RECEIVED, _REGISTERED, _RETURN, _CONTACT)
_SHORT = 1_200  # characters: an autoresponder's whole word,
_VERY_SHORT = 160  # and one that says no more than that somebody is away


@dataclass(frozen=True, slots=True)
class Signs:
    """What beside the text speaks for an autoresponder, each weak alone."""

    subject: bool = False  # `hints_at_absence`
    named: bool = False  # `names_automatic`
    received: bool = False  # `says_received`
    answers: bool = False  # the mail says it answers another
    role: bool = False  # from an address such as notificaciones@
    envelope: bool = False  # a header that only machines and forwarding rules set
    answered: bool = False  # somebody answers an automatic answer: "RE: Respuesta automática: …"
    quotes: bool = False  # the earlier mail stands below: autoresponders seldom repeat it


def sounds_automatic(text: str, signs: Signs) -> str | None:
    """The kind of automatic answer that this `opening` makes together with the signs, None when it is too little."""
    if signs.named and (signs.answers or signs.envelope):
        return "named automatic"
    text = _DISCLAIMER.sub("", text)
    if _A_CUSTOMER.search(text):
        return None
    if signs.named and any(said.search(text) for said in _ANY_AUTOMATIC):
        return "named automatic"
    head, brief = text[:500], len(text) < _SHORT
    away, received = _AWAY.search(head), _RECEIVED.search(head)
    automatic, closed = _AUTOMATIC.search(text), _DO_NOT_ANSWER.search(text)
    early = (automatic and automatic.start() < 300) or (closed and closed.start() < 300)
    told = away or received or _REGISTERED.search(head)
    others = (signs.subject, signs.answers, signs.envelope, signs.role, told, automatic and closed)
    if early and any(others):
        return "names itself automatic"
    if away and (signs.subject or signs.envelope):
        return "absence"
    back, contact = _RETURN.search(text), _CONTACT.search(text)
    tells = back and contact
    no_more = (back or contact) and len(text) < _VERY_SHORT and away and away.start() < 20
    if away and away.start() < 160 and (tells or no_more) and brief and signs.answers and not signs.quotes:
        return "absence"
    if _LEFT.search(head[:160]) and contact and brief and signs.answers and not signs.quotes:
        return "absence"
    tied = signs.subject or signs.envelope or signs.answers
    if brief and _REGISTERED.search(head) and (tied or signs.role):
        return "receipt confirmed"
    whole = received and received.start() < 120 and len(text) < _SHORT / 2 and not signs.quotes
    promised = brief and (_PROMISE.search(text) or _REGISTERED.search(head))
    if promised and (signs.received or (received and (tied or whole))):
        return "receipt confirmed"
    return "subject and header" if signs.subject and signs.envelope and not signs.answered else None


def sounds_away(text: str) -> bool:
    """Could a program have written this short `opening` because somebody is away? Less than `sounds_automatic` asks:
    enough to ask whoever wrote it, not to set a mail aside."""
    away = _AWAY.search(_DISCLAIMER.sub("", text)[:160])
    return away is not None and len(text) < _SHORT


# -- the mail system ---------------------------------------------------------------------------------------------------

# Alone enough, at the very beginning: nobody begins a subject so.
BOUNCE_SUBJECT = _any(
    r"^(?:undeliverable|undeliver(?:able|ed) (?:mail|message|e-?mail)|non-?deliverable(?: mail)?)"
    r"(?: (?:returned|re|for|to)\b.*)?(?: ?:|$| -)",
    r"^(?:mail|message|e-?mail) returned to sender|^delivery status notification\b|^delivery notification: ",
    r"^(?:mail|e-?mail|message) (?:delivery|system|transfer) (?:fail|error|notification|status|problem|delayed"
    r"|has failed|subsystem|report)",
    r"^(?:mail|message|e-?mail) (?:could not|cannot|can't|couldn't|was not|not) (?:be )?(?:delivered|sent)\b",
    r"^your (?:message|mail|e-?mail)(?: to .{1,100})? (?:could not be|couldn't be|was not|cannot be|has been)"
    r" (?:delivered|delayed|bounced)",
    r"^failure notice|^failure notification|^failed mail\b|^notification of (?:delivery fail|undeliver)",
    r"^returned (?:mail|e-?mail|message)\b ?[:\-]|^returning message to sender|^message (?:undeliverable"
    r"|status - undeliverable)",
    r"^warning: (?:message|could not send|e-?mail|mail) .{0,60}(?:delayed|delivered|hours|sent|undeliverable)",
    r"^ndn: |^ndr: |^non[- ]delivery (?:notification|report|receipt)|^(?:permanent|transient) (?:delivery )?failure",
    r"^(?:successful mail delivery report|relayed: |delayed mail \(|mail system error|user unknown\b)",
    r"^(?:a )?message you sent (?:was |has been )?(?:blocked|rejected|quarantined)\b",  # Barracuda
    r"^considered unsolicited bulk e-?mail|^(?:there was an )?error sending (?:your )?(?:mail|message)",
    r"^\[?bounced?\]?: |^rejected (?:mail|message)\b|^(?:mail|message) rejected\b|^automatically rejected mail",
    # Spanish
    r"^(?:no se puede|no se pudo|no se ha podido) entregar ?:",
    r"^(?:no se puede|no se pudo|no se ha podido|no fue posible|imposible) (?:entregar|enviar) (?:el|su"
    r"|tu) (?:mensaje"
    r"|correo)\b",
    r"^(?:correo|mensaje|e-?mail) (?:no entregado(?:,? devuelto)?|sin entregar(?:,? devuelto)?|devuelto|rechazado"
    r"|no pudo ser entregado)(?: al remitente)?\s?"
    r"(?:: |\(|-|$)",
    r"^notificacion (?:de|del) estado de (?:la )?entrega ?\(|^no entregable: |^retransmitido: ",
    r"^notificacion de entrega: (?:la )?entrega\b|^notificacao d[eo] (?:status|estado) d[ae] entrega\b",
    r"^(?:error|fallo|falla) (?:en|de|al) (?:la )?(?:entregar?|envio|enviar) (?:del? |el |su )(?:mensaje|correo)",
    # Portuguese, German, French, Italian, Dutch, and Exchange's word in others
    r"^nao (?:foi possivel entregar|e possivel entregar|entregue|entregavel) ?:|^mensagem (?:nao entregue|devolvida)",
    r"^(?:unzustellbar(?:e nachricht)?|nicht zustellbar)\b|^mail konnte nicht|^mail delivery",
    r"^non (?:remis|remise|distribuable|delivre) ?:|^message non (?:remis|distribue|delivre)",
    r"^(?:non recapitabile|impossibile recapitare|mancato recapito|messaggio non (?:recapitato|consegnato))",
    r"^(?:onbestelbaar|niet bestelbaar|kan ikke leveres|gar ej att leverera|ei voi toimittaa"
    r"|perille toimittamaton)\b",
    r"^(?:niedostarczalne|nie mozna dostarczyc|nedorucitelne|nedorucene|kezbesithetetlen|nelivrabil"
    r"|teslim edilemedi)\b",
    r"^(?:недоставлено|недоставленное|не удается доставить|доставка не удалась)",
)
_BOUNCE_CJK = re.compile(
    r"^\W*(?:配信不能|配信できません|配送エラー|未送信|系统退信|无法(?:传递|送达|投递)|退信|無法傳遞"
    r"|배달(?:되지| ?못|할 수))"
)
# Weak: with the wording of a mail system in the text.
_RETURNED_SUBJECT = _any(
    r"\b(?:undeliver|not delivered|non-?delivery|delivery (?:has )?(?:fail|error|problem|report|delay|notification)"
    r"|failed delivery|bounce|returned mail|rejected|delayed|mail system)",
    r"\b(?:no (?:fue |ha sido |se ha |pudo ser )?entregad[oa]|devuelto|devolucion|rechazado|rebot|retrasad"
    r"|(?:error|fallo|falla) (?:en|de) (?:la )?(?:entrega|envio)|estado de (?:la )?entrega|aviso de no entrega"
    r"|(?:en )?cuarentena|bloquead|atraso na entrega"
    r"|(?:buzon|casilla) (?:llen[oa]|sin espacio)|entrega (?:ha )?fall)",
    r"\b(?:mailbox|inbox) (?:is )?full\b|\b(?:over|exceeded) (?:\w+ )?quota\b|\bquota (?:exceeded|warning)\b",
    r"^impossible de (?:remettre|distribuer|envoyer) (?:votre|le)\b|\b(?:zustellung|fehlgeschlagen|echec"
    r"|mancata consegna|falha (?:na|de) entrega|unknown (?:user|recipient"
    r"|address))",
    r"^(?:delivery|delivered|entregado|failed|failure|error|warning|aviso|nondeliv|message status"
    r"|mail administrator)\b",
)
_BOUNCE_OPENING = _any(
    r"\bthis is the (?:qmail-send program|postfix program|mail system at host|mail delivery (?:agent|system))",
    r"\bthis (?:message|e-?mail|report) (?:was|has been|is) (?:created|generated|sent)? ?automatically"
    r" (?:created |generated |sent )?by (?:the )?(?:mail|smtp)",
    r"\bthis is an automatically generated delivery status notification|\bthis is a (?:permanent|delivery) (?:error"
    r"|failure)",
    r"\bthe original message was received at\b|\bthis report relates to a message you sent|\breporting-mta:"
    r"|\bfinal-recipient:",
    r"\bthe following (?:addresses|message|recipients?|address|destination)(?:\(?e?s\)?)? (?:had|to|could not|was"
    r"|were|cannot"
    r"|has not|have)",
    r"\byour (?:message|mail|e-?mail)(?: \W?.{0,120}?)? (?:could ?n[o']t be|was not|wasn't|cannot be|did not"
    r"|has not been"
    r"|couldn't be|can't be) (?:delivered|reach|sent\b|successfully)",
    r"\b(?:message|mail|e-?mail) (?:that )?you sent\b.{0,80}\b(?:not be delivered|not reach|undeliver|delayed"
    r"|rejected|bounced)",
    r"\b(?:unable|not able|failed|failure) to deliver (?:your |the |this |following )*(?:message|mail|e-?mail|to\b)",
    r"\b(?:message|mail|e-?mail) .{0,40}(?:is|was) undeliverable|\bundeliverable (?:message|mail)\b",
    r"\bdelivery (?:to the following|has failed to|of your (?:message|mail)|status notification|attempts?)\b.{0,60}"
    r"(?:fail|recipient|delay|unsuccess|deliver)",
    r"\bi'?m (?:sorry|afraid).{0,60}\b(?:deliver your (?:message|mail)|message could not)",
    r"\bsorry,? (?:we were|i was|i wasn't) (?:unable|able) to deliver (?:your|the) (?:message|mail)",
    r"\b(?:your mail|the mail|mail message|message|e-?mail) .{0,40}(?:has been |was )?(?:returned|rejected|delayed"
    r"|bounced|blocked|quarantined)"
    r" (?:by|to|because|for|due|as)\b",
    r"\bsmtp error|\berror (?:from|while|delivering|sending) .{0,40}(?:mail ?server|message|mail\b)",
    r"\bdid not reach (?:some or all of|the following)|\brecipient(?:'s)? (?:mailbox|address) (?:is full|unknown"
    r"|rejected|was not)",
    # Spanish
    r"\bno se (?:pudo|puede|ha podido|han podido|logro) (?:entregar|enviar|hacer llegar|realizar la entrega de)"
    r"(?: \w+){0,3} (?:mensaje|correo electronico|e-?mail)\b",
    r"\b(?:su|tu|el|este|siguiente) (?:mensaje|correo|correo electronico|e-?mail|mail)(?: .{0,120}?)? (?:no (?:pudo"
    r"|puede|ha"
    r" podido|fue|fue posible|ha sido|se pudo|se ha|se ha podido|se puede)(?: ser)? (?:entreg\w+|enviad\w+)"
    r"|no se entrego"
    r"|no llego a"
    r" (?:algunos|ningun|su destin|los sig)|(?:ha sido|fue) (?:devuelto|rechazado|bloqueado|retenido)\b"
    r"|aun no se ha entregado)",
    r"\bno (?:fue|ha sido) posible (?:entregar|enviar|hacer llegar) (?:su|el|este|tu) (?:mensaje|correo)",
    r"\b(?:error|fallo) (?:en la entrega|al entregar|de entrega) (?:de|del|a) (?:su |los |el )?(?:mensaje|correo"
    r"|siguiente"
    r"|destinatario)|\bse produjo un error al (?:entregar|enviar) (?:el|su) (?:mensaje|correo)",
    r"\beste informe se refiere a un mensaje que|\b(?:buzon|casilla|mailbox|inbox)\b.{0,80}\b(?:est[ae] llen[oa]"
    r"|(?:ha )?super"
    r"(?:o|a|ado) (?:su|la|el)|is full|over quota|exceeded|no puede recibir)|\bse completo la entrega a est",
    r"\bmensaje (?:fue )?(?:creado|generado) automaticamente por el (?:software|sistema|programa|servidor)",
    r"\beste es (?:el sistema de correo|un mensaje (?:del|generado por el) (?:sistema|servidor|programa) de correo)",
    # Portuguese, German, French, Italian
    r"\b(?:nao foi possivel|impossivel) (?:entregar|enviar) (?:a |sua )*mensagem"
    r"|\bentrega d[ae] su?a? ?mensa\w+.{0,80}\b(?:atrasad|retrasad|falh|fall)|\bmensagem (?:.{0,60}? )?nao (?:pode|foi)"
    r" (?:ser )?entregue",
    r"\b(?:nachricht|e-?mail|mail)\b.{0,100}(?:nicht (?:zugestellt|ubermittelt|ausgeliefert)|unzustellbar)"
    r"|\bfehler bei der (?:nachrichten)?zustellung",
    r"\b(?:votre|le|ce) (?:message|courriel|e-?mail)\b.{0,80}(?:n['’ ]a (?:pas )?(?:pu|ete) (?:etre )?(?:remis"
    r"|distribue"
    r"|delivre)|n['’ ]est pas parvenu)|\bechec de (?:la )?remise",
    r"\bmessaggio\b.{0,80}non (?:e stato|puo essere) (?:recapitato|consegnato)|\bimpossibile recapitare",
)
_SMTP_CODE = _any(
    r"\b[45][0-5]\d[ -]#?[45]\.\d{1,3}\.\d{1,3}\b|#[45]\.\d\.\d{1,2}\b|\bsmtp\b.{0,20}\b5\d\d\b",
    r"\b55[0-4][ -](?:\d\.\d|<|user|mailbox|requested|recipient|no such|relay|unknown|address|sorry|permanent"
    r"|invalid)",
)


def says_returned(subject: str, raw_subject: str) -> bool:
    """Does this folded subject (and as it was written) name a mail that came back, or say so in a sentence?"""
    if sounds_returned(subject):
        return True
    return BOUNCE_SUBJECT.search(subject) is not None or _BOUNCE_CJK.match(raw_subject) is not None


def hints_at_return(subject: str) -> bool:
    """Could this folded subject be a mail system's?"""
    return _RETURNED_SUBJECT.search(subject) is not None


def sounds_returned(text: str) -> bool:
    """Does this opening speak as a mail system does?"""
    return _BOUNCE_OPENING.search(text[:300]) is not None


def speaks_for_oneself(text: str) -> bool:
    """Does somebody speak here who wants or has something: a person who tells of a bounce?"""
    return _SOMEBODY.search(text) is not None


def has_smtp_code(text: str) -> bool:
    """Does this opening quote a server's refusal?"""
    return _SMTP_CODE.search(text) is not None


# -- receipts, challenges, calendars -----------------------------------------------------------------------------------

RECEIPT_SUBJECT = re.compile(
    r"^(?:leido|no leido|read|not read|lu|non lu|gelesen|ungelesen|letto|lida|lido|read receipt"
    r"|return receipt(?: \(.{1,30}\))?"
    r"|confirmacion de lectura(?: \(.{1,30}\))?|acuse de lectura|acuse de recibo(?: \(.{1,30}\))?|lesebestatigung"
    r"|confirmacao de leitura"
    r"|accuse de reception(?: \(.{1,30}\))?|confirmation de lecture|conferma di lettura|eliminado|deleted)\s?[:\-]"
)
RECEIPT_TEXT = _any(
    r"\b(?:su|el) (?:mensaje|correo)\b.{0,400}\b(?:se ha leido|fue leido|ha sido leido|se leyo|leido el"
    r"|eliminado sin)",
    r"\byour message\b.{0,400}\b(?:was read|was opened|has been read|was deleted without|was displayed)\b",
    r"\bthis is a (?:return|read) receipt\b|\b(?:este es|esto es) un (?:acuse|comprobante|recibo) de (?:recibo"
    r"|lectura)\b",
    r"\b(?:ihre nachricht|votre message|il messaggio|sua mensagem)\b.{0,400}\b(?:gelesen|a ete lu|e stato letto"
    r"|foi lida)\b",
    r"\b(?:ceci est un accuse de|dies ist eine (?:empfangs|lese)best|esta e uma confirmacao de leitura)",
)
# Notes: no sentence, but a form that no person fills in.
NOTES_RECEIPT = _any(
    r"\byour document ?: .{0,300}\bwas received by ?: .{0,200}\bat ?: ",
    r"\bsu documento ?: .{0,300}\b(?:fue|ha sido) recibido por ?: .{0,200}\ba las ?: ",
    r"\bseu documento ?: .{0,300}\bfoi recebido por ?: |\bihr dokument ?: .{0,300}\bwurde empfangen von ?: ",
)
CHALLENGE_SUBJECT = _any(
    r"\(verification required\)$",  # Spam Arrest
    r"^your e-?mail requires verification|\bverify#\w|\bantispam uol\b|^aviso: antispam|\bconf(?:irm)?#\w{6}",
    r"^(?:re: .{0,200})?\(?sender verification required|^message awaiting your (?:confirm|verif)",
    r"^(?:please )?confirm (?:your (?:message|e-?mail) to|delivery of) |^please confirm your (?:message|e-?mail)\W*$",
    r"^(?:por favor,? )?confirme (?:su|el envio de su) (?:correo|mensaje) (?:a|para)\b",
    r"^su (?:correo|mensaje) requiere (?:verificacion|confirmacion)",
)
CHALLENGE_SENDER = re.compile(
    r"@(?:[\w.-]+\.)?(?:spamarrest\.com|spamarrest\.net|sendio\.com|knowspam\.net|mailblocks\.com)$|^cconf@uol"
    r"|^antispam@uol"
)
CHALLENGE_TEXT = _any(
    r"\b(?:your|this) (?:message|e-?mail|mail)\b.{0,120}\b(?:is being held|has been held|was held|quarantin|on hold"
    r"|awaiting (?:your )?(?:verif|confirm)|requires? verification|waitlisted|will not be delivered until).{0,300}"
    r"\b(?:confirm|verif|click|reply to this|follow (?:this|the) link|guest list)",
    r"\bto (?:release|deliver|complete (?:the )?delivery of) (?:your|this) (?:message|e-?mail|mail).{0,160}"
    r"\b(?:click|reply|confirm|verif|visit)",
    r"\b(?:su|este) (?:mensaje|correo)\b.{0,120}\b(?:retenid[oa]|en cuarentena|detenid[oa]"
    r"|en espera de (?:su )?(?:confirm"
    r"|verif)|pendiente de (?:entrega|verificacion|confirmacion|aprobacion)|no (?:sera"
    r"|ha sido) entregado hasta).{0,300}"
    r"\b(?:confirm|verifi|haga clic|pulse|responda a este|siga (?:este|el))",
    r"\bpara (?:que su (?:mensaje|correo) sea entregado|liberar su (?:mensaje|correo)|completar (?:el envio"
    r"|la entrega) de su"
    r" (?:mensaje|correo)).{0,200}(?:clic|confirm|responda|enlace|verif)",
    r"\b(?:protected by|using|powered by|usa|utiliza|protegid[oa] por) (?:spam ?arrest|boxtrapper|choicemail|boxbe"
    r"|sendio|tmda"
    r"|antispam uol|spamfence)",
    r"\bsua mensagem\b.{0,160}\b(?:confirm|verific).{0,120}(?:clique|codigo|imagem|link)",
    r"\bpara que (?:a )?sua mensagem seja (?:encaminhada|entregue).{0,200}(?:cliqu|codigo|link)|^antispam uol\b",
    r"\bprotecting (?:myself|ourselves|my inbox) from (?:receiving )?(?:junk|spam|unwanted)\b.{0,200}\bclick\b",
)
CALENDAR_SUBJECT = re.compile(
    r"^(?:aceptad[oa]|rechazad[oa]|declinad[oa]|provisional|tentativ[oa]|cancelad[oa]|evento cancelado"
    r"|nueva hora propuesta"
    r"|propuesta de (?:nueva hora|hora nueva)|invitacion(?: actualizada)?|actualizad[oa]|convocatoria|accepted"
    r"|declined|tentative"
    r"|canceled|cancelled|canceled event|new time proposed|invitation|updated invitation|zugesagt|abgelehnt"
    r"|abgesagt|mit vorbehalt"
    r"|einladung|accepte|refuse|annule|aceito|aceite|recusad[oa]|convite|accettat[oa]|rifiutat[oa]|invito)\b.{0,3}:"
)
# What stands above and below a campaign's mail; each alone a person may write.
VIEW_ONLINE = _any(
    r"\b(?:ver|verlo|abrelo|abrir|mira|visualizar?)\b.{0,30}\b(?:en (?:tu|el|su|un) navegador|no navegador|en linea"
    r"|online)\b",
    r"\b(?:view|read|see) (?:this |it )?(?:\w+ )?(?:in (?:your |a )?(?:web ?)?browser|online|as a web ?page)\b",
    r"\bno (?:ves|puedes ver|visualizas|ve|puede ver) (?:bien |correctamente )?(?:este|el) (?:correo|mensaje"
    r"|e-?mail|boletin)\b",
    r"\b(?:im browser (?:ansehen|anzeigen)|voir (?:cette version|la version) en ligne|im browser)\b",
)
UNSUBSCRIBE = _any(
    r"\bunsubscribe\b|\bmanage (?:your )?(?:email )?preferences\b|\b(?:update|actualizar?) (?:your |tus "
    r"|sus )?preferenc\w+",
    r"\b(?:darse|darte|dar(?:me)?) de baja\b|\b(?:cancelar|anular) (?:la |tu |su )?suscripcion\b|\bdesuscrib\w+",
    r"\bdejar de recibir\b|\bno (?:quiero|deseo) (?:seguir )?recib\w+|\bopt[- ]?out\b|\bsalir de (?:la|esta) lista\b",
    r"\bno (?:deseas?|quieres?) (?:seguir )?recib\w+ (?:mas )?(?:\w+ )?(?:correos?|mensajes|e-?mails|boletines"
    r"|publicidad)\b",
    r"\b(?:descadastr|cancelar (?:a )?inscricao|abmelden|abbestellen|desabonner|desinscri|disiscri)\w*",
)
