"""What unwanted mail says: few plain signs with points; only together are they enough to set a mail aside.

Nothing is dropped by it (a person sees what was set aside, `retry --as-person` handles it after all), so the signs are
those of strangers' mass mail, and none that an angry or hurried customer would write.
"""

from __future__ import annotations

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
    (2, "(0x0|2x1|3x1|3x2|solo (por )?hoy|hasta hoy|ultima llamada|ultimo dia|ultimos cupos|cupos limitados|oferta)"),
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


def _tree() -> Patterns:
    tree = Patterns()
    for row, (_, pattern) in enumerate(_SIGNS):
        tree.add(row, pattern)
    return tree


_PATTERNS = _tree()


def spam_signs(subject: str, text: str) -> str | None:
    """The words that together are enough, or None."""
    said = words(f"{subject} . {text[:READ]}")
    hits = sorted(_PATTERNS.find(said), key=lambda hit: (-hit.start, hit.end))
    found = {hit.row: " ".join(said[hit.start : hit.end]) for hit in hits}
    if sum(_SIGNS[row][0] for row in found) < ENOUGH:
        return None
    return ", ".join(found[row] for row in sorted(found))
