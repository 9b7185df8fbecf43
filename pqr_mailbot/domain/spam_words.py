"""What unwanted mail says: few plain signs with points; only together are they enough to set a mail aside.

Nothing is dropped by it (a person sees what was set aside, `retry --as-person` handles it after all). The signs are
those of strangers' mass mail; whoever tells what happened to them, asks for what is theirs, or asks whether a mail is
ours, is a customer, whatever the signs.
"""

from __future__ import annotations

from collections.abc import Iterable

from pqr_mailbot.domain.fold import Patterns, words

ENOUGH = 3
READ = 3_000  # characters

_SIGNS: tuple[tuple[int, str], ...] = (
    (3, "(credito|credit*) (pre aprobad*|preaprobad*|aprobad* sin)"),
    (2, "(sin codeudor|sin fiador|centrales de riesgo|desembols* en 24)"),
    (3, "(seguidores|followers|likes) (reales|real|garantizados)"),
    (3, "(posicion* … google|primera pagina de google|errores de seo|auditoria (seo|gratis))"),
    (3, "(backlinks|guest post|do follow)"),
    (3, "(vendemos|venta de|compre) … (base|bases) de datos"),
    (2, "base de datos (empresas|actualizada|de empresas)"),
    (3, "(adelgace|baje de peso|rebaje) … (kilos|semanas|dias)"),
    (2, "(solo (por )?hoy|hasta hoy|ultima llamada|ultimo dia|ultimos cupos|cupos limitados)"),
    (1, "(0x0|2x1|3x1|3x2|oferta)"),
    (1, "(diplomado*|congreso*|seminario*|conferencistas|inscriba*|inscribase|descuento|gratis|demo gratuita|hosting)"),
    (3, "(gana|gane|ganar) … (desde casa|dolares|usd)"),
    (3, "(ganaste|fuiste seleccionad*|ha sido seleccionad*|reclama tu premio|you have won|winner of)"),
    (2, "(bitcoin|cripto|criptomonedas|forex|trading)"),
    (3, "(grabe|grabamos|tengo) … (video tuyo|tu camara|acceso a tu dispositivo)"),
    (3, "(beneficiario|herencia|difunto|fortuna|next of kin|inheritance) … (millones|usd|million|confidencialidad)"),
    (3, "(difunto|deceased) … (apellido|client|cliente|ingeniero)"),
    (3, "(business|personal) loan*"),
    (2, "interest rate"),
    (3, "(moq|factory|manufacturer) … (shenzhen|guangzhou|china|wechat|sample free|pcs|valve)"),
    (2, "(wechat|dear sir madam)"),
    (2, "(cuenta|sucursal virtual) … (suspendida|sera bloqueada|bloqueo definitivo)"),
    (3, "(actualice|verifique|confirme) sus datos (aqui|en el)"),
    (3, "(paquete|envio) … (retenido|no pudo ser entregado) … (pago|paguelo)"),
    (2, "(descargue|descargar|abra) … (archivo|auto|embargo|exe|zip)"),
    (1, "(zip|exe|contrasena 0|haga clic|clic aqui|click here|http)"),
    (3, "(cancelar suscripcion|no desea recibir este correo|unsubscribe) … (clic|responda|remover|aqui|here)"),
    (2, "(desarrollamos|disenamos|creamos) (su|tu) (app|pagina|sitio|web|tienda)"),
    (2, "(somos agencia|agencia certificada|agende su demo|le ofrece*|le ofrecemos|nuestro portafolio de)"),
)  # fmt: skip


# What only somebody who deals with us says. Folded, "compre" and "pague" are a spammer's orders too: not alone.
_CUSTOMER = (
    "(me|nos) (lo |la |los |las )?(cobraron|cobran|cobro|descontaron|llego|llegaron|entregaron|dieron|dijeron|"
    "aplicaron|devolvieron|devuelven|devuelvan|reportaron|vendieron|enviaron|mandaron|respondieron|responden|"
    "contestan|contestaron|prometieron|confirmaron|confirmado|ofrecieron|pago|pagaron|estafaron|hackearon|robaron)",
    "(no|ni|nunca) (me|nos|lo|la|se) (lo |la |los |las |ha |han )?(lleg*|entreg*|aplic*|devolv*|devuelv*|pago|pagan|"
    "pagaron|confirm*|deja|dejan|respond*|contest*|lo aplicaron|reconoc*|cumpl*|hicieron|valieron|valio)",
    "no (puedo|pude|funciona|funciono|aplico|aplicaba|llego|sirve|sirvio|carga|abre|recibi|autorice)",
    "(mi|mis|nuestro|nuestra) (pedido*|compra*|reembolso|factura*|suscripcion|paquete*|plata|dinero|queja|reclamo|"
    "tarjeta|pago*|envio*|orden|inscripcion|cupo|cuota*)",
    "(suscripcion*|pedido*|compra*|contrato|curso) con ustedes",
    "(devuelvan*|devuelvanme|reembolsen*|reembolso|reintegro|dejen de cobrarme|deje de cobrarme|publicidad enganosa)",
    "(ya|y|donde|cuando|como) (hice|hicimos|pague|pagamos|compre|compramos|consigne)",
    "(compre|pague|consigne|compramos|pagamos) … (y no|y me|y nos|pero|me dijeron|me cobraron|venia|vino|salio)",
    "(es|son|sera|fue|mensaje|correo) (de|suyo|verdadero) … (ustedes|verdad|cierto)",
    "(recibi|me llego|nos llego|me ha llegado) (un |este |el )?(correo|mensaje|mail|sms|whatsapp)",
    "(su|sus|la|el) (asesor|asesora|empaque|barista|mesero|mesera|vendedor|vendedora) (me|nos|dice|decia|dijo)",
    "(quiero|quisiera|necesito|solicito|como) … (cancelar|reclamo|reclamar|mi|mis|devolucion|devuelvan)",
    "(sigo|seguimos) (sin|esperando)",
    "(promocion|oferta|descuento|2x1|3x2|cupon) … (no (me|nos|lo|la|se|aplic*|funcion*|sirv*|era|estaba))",
    "(vi|aprovechar|aprovecho|tienen|todavia|vigente|sigue|aplica) … (promocion|oferta|descuento|2x1|3x2|cupon)",
    "(my (order|refund|money|card|account|package|subscription)|i (bought|ordered|paid|was charged)|charged me)",
    "(remove|unsubscribe|stop) (me|sending|charging)",
    "(want|would like) to (buy|order|visit)",
    "(meu|minha) (pedido|compra|dinheiro|reembolso|cartao|encomenda|assinatura)",
)  # fmt: skip


def _tree(patterns: Iterable[str]) -> Patterns:
    tree = Patterns()
    for row, pattern in enumerate(patterns):
        tree.add(row, pattern)
    return tree


_PATTERNS = _tree(pattern for _, pattern in _SIGNS)
_TOLD = _tree(_CUSTOMER)


def spam_signs(subject: str, text: str) -> str | None:
    """The words that together are enough, or None."""
    said = words(f"{subject} . {text[:READ]}")
    hits = sorted(_PATTERNS.find(said), key=lambda hit: (-hit.start, hit.end))
    found = {hit.row: " ".join(said[hit.start : hit.end]) for hit in hits}
    if sum(_SIGNS[row][0] for row in found) < ENOUGH or _TOLD.find(said):
        return None
    return ", ".join(found[row] for row in sorted(found))
