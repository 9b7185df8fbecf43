"""One row a letter with every fact it is told: what `check` renders, and the list of the letters there are."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

from pqr_mailbot.domain.effects import Facts

_CASE: Facts = {
    "reference": "PQR-2026-000123",
    "customer_name": "Clara Gómez",
    "subject": "Café vencido en el último pedido",
    "type_name": "reclamo",
    "certain": True,
    "is_claim": True,
    "received_on": date(2026, 6, 1),
    "received_hour": "10:42",
    "business_days": 15,
    "due_on": date(2026, 6, 24),
    "skipped": [
        {"date": date(2026, 6, 8), "name": "Corpus Christi"},
        {"date": date(2026, 6, 15), "name": "Sagrado Corazón"},
    ],
}

_PERSON: Facts = {**_CASE, "agent_name": "Ana Ruiz"}

_RECEIPT: Facts = {
    **_CASE,
    "attachments": ["bolsa.jpg", "factura 4711.pdf"],
    "language": "es",
    "others": [
        {
            "reference": "PQR-2026-000122",
            "subject": "Molienda para greca",
            "received_on": date(2026, 5, 29),
            "due_on": date(2026, 6, 23),
        }
    ],
}

_ANSWER = (
    "Buenos días, doña Clara:\n\nLe devolvemos el dinero de las dos bolsas: 84.000 pesos.\nLlega en tres días hábiles."
)

_ORDERS = [
    {"order": "#resolver", "arguments": "", "help": "marca el caso como resuelto", "button": True},
    {
        "order": "#nota",
        "arguments": "",
        "help": "guarda su texto como nota interna; el cliente no lo recibe",
        "button": True,
    },
    {"order": "#esperar", "arguments": "", "help": "espera algo que el cliente debe enviar", "button": True},
    {
        "order": "#prorrogar",
        "arguments": "FECHA MOTIVO",
        "help": "amplía el plazo y le avisa al cliente",
        "button": False,
    },
    {"order": "#asignar", "arguments": "PERSONA", "help": "pasa el caso a otra persona", "button": False},
    {"order": "#escalar", "arguments": "MOTIVO", "help": "pasa el caso al nivel superior", "button": True},
    {"order": "#ayuda", "arguments": "", "help": "le envía la lista de todas las órdenes", "button": True},
]

_EXAMPLES = {"#prorrogar": "#prorrogar 17/07/2026 falta el análisis", "#asignar": "#asignar luz"}

_HANDED_OVER: Facts = {
    **_PERSON,
    "event": "Caso nuevo",
    "customer_address": "clara@correo.example",
    "answer_to": "clara@correo.example",
    "writer": "",
    "written_on": date(2026, 6, 3),
    "written_hour": "08:10",
    "text": "Buenos días:\n\nEl café que compré llegó vencido. Exijo que me devuelvan el dinero.\n\nClara Gómez",
    "attachments": [
        {"filename": "bolsa.jpg", "content_type": "image/jpeg", "size": 245_310, "enclosed": True},
        {"filename": "factura 4711.pdf", "content_type": "application/pdf", "size": 23_100_400, "enclosed": False},
    ],
    "confidence": 95,
    "evidence": ["vencido", "devuelvan el dinero"],
    "urgent": True,
    "urgency": ["salud"],
    "days_left": 15,
    "earlier": [
        {
            "reference": "PQR-2026-000007",
            "subject": "Molienda para greca",
            "state": "closed",
            "opened_on": date(2026, 2, 3),
        }
    ],
    "history": [{"at": "2026-06-01 10:42", "what": "escribió clara@correo.example"}],
    "related": ["PQR-2026-000007"],
    "warning": "El caso PQR-2026-000007 ya estaba cerrado: se abrió este, enlazado.",
    "note": "Luz Mora: ya hablé con bodega, el lote es el 118.",
    "orders": _ORDERS,
}

_ROW: Facts = {
    "reference": "PQR-2026-000123",
    "subject": "Café vencido en el último pedido",
    "customer": "Clara Gómez",
    "state": "new",
    "due_on": date(2026, 6, 24),
    "days_left": 15,
    "urgent": True,
}

# What every letter of the clock to the customer is told.
_THEIRS: Facts = {key: _CASE[key] for key in ("reference", "subject", "customer_name")}

_LETTERS: Mapping[str, Facts] = {
    "acknowledgement": _RECEIPT,
    "phone_receipt": {**_RECEIPT, "agent_name": "Ana Ruiz"},
    "answer": {**_PERSON, "text": _ANSWER},
    "resolved": {**_PERSON, "text": _ANSWER},
    "request_for_information": {
        **_PERSON,
        "text": "Buenos días, doña Clara:\n\nPara revisar su caso nos falta la foto del lote, impreso en la bolsa.",
        "reply_by": date(2026, 7, 8),
        "paused": True,
    },
    "extension": {
        **_PERSON,
        "reason": "El laboratorio entrega el análisis del lote el 1 de julio.",
        "old_due_on": date(2026, 6, 24),
        "due_on": date(2026, 7, 17),
        "business_days": 30,
    },
    "merged": {**_CASE, "reference": "PQR-2026-000124", "into": "PQR-2026-000123"},
    "admit_question": {**_CASE, "stranger": "diego@correo.example"},
    "notification": _HANDED_OVER,
    "escalation": {
        **_HANDED_OVER,
        "agent_name": "Marta Díaz",
        "reason": "el cliente no está de acuerdo con la respuesta",
        "level_name": "Coordinación",
        "escalated_by": "Ana Ruiz",
    },
    # One case; or many: `reference` "" and `cases` as rows like the digest's, each with its `reason`, and beside them
    # only agent_name, today and orders.
    "reminder": {**_HANDED_OVER, "event": "Recordatorio", "reason": "sin respuesta, 2 días", "cases": []},
    "progress": {
        **_THEIRS,
        "due_on": date(2026, 6, 24),
        "days_left": 7,
        "steps": [
            {"on": date(2026, 6, 1), "what": "su mensaje quedó radicado"},
            {"on": date(2026, 6, 2), "what": "un asesor lo tiene a cargo"},
        ],
    },
    "overdue": {**_THEIRS, "due_on": date(2026, 6, 24), "level_name": "Gerencia", "is_claim": True},
    "withdrawal": {**_THEIRS, "asked_on": date(2026, 6, 5), "reply_by": date(2026, 7, 6)},
    "survey": _THEIRS,
    "reopened": {**_THEIRS, "due_on": date(2026, 7, 17), "level_name": "Coordinación"},
    "closed": _THEIRS,
    "transcript": {
        "reference": "PQR-2026-000123",
        "agent_name": "Ana Ruiz",
        "subject": "Café vencido en el último pedido",
        "lines": [
            {"order": "#resolver", "said": "El caso quedó resuelto.", "ok": True},
            {"order": "#asignar lucas", "said": "No hay nadie con ese nombre; ¿quiso decir Luz Mora?", "ok": False},
        ],
        "sent_to": ["clara@correo.example"],
        "sent_text": "Buenos días, doña Clara:\n\nLe devolvemos el dinero de las dos bolsas: 84.000 pesos.",
        "sent_files": ["guía de devolución.pdf"],
        "held": ["El cliente volvió a escribir hoy a las 11:05: «ya no quiero el dinero»."],
        "can_send": True,
        "again": False,
        "sections": [
            {
                "title": "#ver PQR-2026-000123",
                "rows": [["Cliente", "Clara Gómez"], ["Estado", "sin respuesta todavía"]],
                "lines": ["2026-06-01 10:42 · escribió clara@correo.example"],
                "quote": "El café que compré llegó vencido.",
            }
        ],
        "help": True,
        "orders": [{**order, "example": _EXAMPLES.get(str(order["order"]), "")} for order in _ORDERS],
    },
    "challenge": {
        "reference": "PQR-2026-000123",
        "agent_name": "Ana Ruiz",
        "subject": "Café vencido en el último pedido",
        "received_on": date(2026, 6, 2),
        "received_hour": "09:15",
        "would": ["se cumple la orden #resolver", "el texto del correo sale para clara@correo.example"],
        "expires_on": date(2026, 6, 4),
    },
    "digest": {
        "agent_name": "Ana Ruiz",
        "today": date(2026, 6, 3),
        "mine": [
            _ROW,
            {
                **_ROW,
                "reference": "PQR-2026-000098",
                "subject": "Factura a nombre equivocado",
                "customer": "Diego Paz",
                "state": "open",
                "due_on": date(2026, 6, 1),
                "days_left": -2,
                "urgent": False,
            },
        ],
        "mine_total": 2,
        "waiting": [{**_ROW, "reference": "PQR-2026-000110", "state": "waiting", "days_left": 6, "urgent": False}],
        "waiting_total": 1,
        "machines": [
            {
                "id": 341,
                "received": "2026-06-02 17:20",
                "sender": "notificaciones@juzgado.example",
                "subject": "Traslado de demanda",
                "verdict": "no_reply",
            }
        ],
        "machines_more": 3,
        "order_example": "#asignar PQR-2026-000123 Luz Mora",
    },
    "alarm": {
        "title": "pqr-mailbot necesita atención",
        "problem": "No se puede leer el buzón: el correo de los clientes no entra (desde las 10:42 del 1 de junio).",
        "details": ["imap.example:993: connection refused, nothing listens there"],
        "advice": "El comando “pqr-mailbot status” muestra el estado actual.",
    },
    "all_clear": {
        "ended": [
            {
                "said": "No se puede enviar correo: nadie recibe nuestras cartas, que esperan "
                "(desde las 10:42 del 1 de junio). smtp.example:587: connection refused, nothing listens there",
                "since": "las 10:42 del 1 de junio",
                "until": "las 11:05 del 1 de junio",
            }
        ],
        "still": ["1 correo no se pudo procesar."],
    },
}

# Every letter may name its own signed token; only the office's own people ever see it, in the links that answer.
SAMPLE_FACTS: Mapping[str, Facts] = {
    letter: {**facts, "token": "pqr.abcdefghijklm.abcdefghijklmnop"} for letter, facts in _LETTERS.items()
}
