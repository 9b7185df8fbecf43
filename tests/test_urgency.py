"""Urgency: another axis than the type, with words and false friends of its own."""

from __future__ import annotations

import pytest

from pqr_mailbot.domain.classify import classify
from pqr_mailbot.wiring import shipped_lexicon

HITS = {
    "salud": [
        "Terminé en urgencias después de tomar el café",
        "Mi esposo está intoxicado y con vómito",
        "Encontré un vidrio en el café",
        "La niña se intoxicó con el yogur",
        "A mi hijo se le brotó toda la piel con la crema",
        "Toda la familia con diarrea desde el almuerzo",
        "Me partí una muela con una piedra que venía en el arroz",
        "Venía una cucaracha en el paquete",
        "El pan tenía moho por debajo",
        "La olla explotó y me quemé la mano",
        "El cargador echó chispas y casi se prende la casa",
        "El agua huele a gasolina",
        "Nos cayó mal el pollo a los tres",
        "Tuvieron que hospitalizar a mi mamá",
        "Me dio una reacción alérgica fuerte",
        "Salió un tornillo dentro de la bolsa",
        "Llevo dos días incapacitada por lo que comí allá",
        "El bebé vomitó después de tomar la leche",
    ],
    "fraude": [
        "Con mi tarjeta clonada hicieron un pedido",
        "Aparece una compra que no hice por 400 mil",
        "No reconozco ese cargo en mi tarjeta",
        "Nunca autoricé ese débito",
        "Alguien me suplantó y sacó un crédito a mi nombre",
        "Me hackearon la cuenta de ustedes",
        "Recibí un correo que parece phishing con el logo de ustedes",
        "Hay un cargo no reconocido en el extracto",
        "Hicieron una compra sin mi autorización",
        "Denuncio un fraude con mis puntos",
        "Nos escribió un señor a avisar el cambio de cuenta bancaria de ustedes",
        "Actualización de datos bancarios: favor consignar en la nueva cuenta",
        "Es una estafa lo que hicieron",
        "Me robaron la plata de la billetera virtual",
        "Me clonaron la línea y pidieron a mi nombre",
        "Hay un cobro no autorizado de ayer",
    ],
    "judicial": [
        "Oficio del Juzgado Tercero: auto admisorio de la acción de tutela",
        "Notificación judicial dentro del proceso 2026-0012",
        "El juzgado ordena responder en dos días",
        "Se inició incidente de desacato",
        "Medida provisional decretada a favor del accionante",
        "Requerimiento de la Superintendencia de Industria y Comercio",
        "Oficio 331 de la personería municipal",
        "Pliego de cargos de la secretaría de salud",
        "Requerimiento ordinario de la DIAN 045",
        "El tribunal confirmó el fallo en su contra",
        "Traslado de la acción de tutela radicada ayer",
        "Decreto 2591: responda dentro del término",
        "Oficio de la alcaldía local sobre su establecimiento",
        "Resolución del INVIMA por la que se abre investigación",
        "Tribunal Administrativo de Caldas, citación",
    ],
    "trato": [
        "Un empleado hizo comentarios sobre mi cuerpo",
        "Me discriminaron por ser indígena",
        "Fue un acto racista en la puerta",
        "El instructor me manoseó",
        "El vigilante me empujó contra la pared",
        "Sufrí acoso sexual de su mensajero",
        "El domiciliario me amenazó",
        "El portero agredió a mi hermano",
        "Nos sacaron a golpes del local",
        "Eso es discriminación por mi silla de ruedas",
        "El conductor me golpeó en el brazo",
        "Llevo meses de acoso por parte del supervisor",
        "Me empujaron y caí",
        "Comentarios racistas de la cajera",
        "Recibí amenazas del cobrador",
    ],
}  # fmt: skip

FALSE_FRIENDS = {
    "salud": [
        "Mi hijo es alérgico, ¿tiene maní?",
        "Somos el hospital San José, necesitamos cotizar 20 kilos",
        "La prensa de vidrio venía rota",
        "El café sabe a quemado",
        "¿Dónde descargo la app? La descarga no abre",
        "Necesito la cotización con urgencia",
        "La jarra de vidrio llegó partida",
        "Cotización para la cafetería de la clínica",
        "¿El descafeinado le sirve a mi mamá embarazada?",
        "La clínica desea comprar 30 libras al mes",
        "Soy celíaca, ¿qué postres puedo pedir?",
        "El olor a quemado del tueste es delicioso",
        "Las tazas de metal son muy lindas",
        "Servicio de control de cucarachas y roedores para su bodega, cotizamos gratis",
        "Suministramos dotación para la EPS",
        "La atención en el punto fue muy sana y agradable",
    ],
    "fraude": [
        "Nunca autoricé que me llamaran a ofrecer cosas",
        "No autoricé el uso de mi foto",
        "¿Puedo pagar con tarjeta?",
        "Quiero actualizar mi dirección de entrega",
        "¿Cuál es su cuenta para consignar?",
        "Me cobraron dos veces el mismo pedido",
        "No autoricé que compartieran mis datos",
        "Nunca autoricé mensajes de publicidad",
        "Cambio de clave de la aplicación",
        "El precio subió mucho",
        "¿Reciben pagos por Nequi?",
        "Reconozco que el error fue mío",
        "La cuenta del restaurante venía con la propina",
        "Autorizo a mi hermano a recoger el paquete",
        "Devuélvanme la plata del curso",
    ],
    "judicial": [
        "Según la resolución DIAN de facturación 1876",
        "Resolución de facturación DIAN vigente",
        "Soy abogada y quiero comprar café",
        "La sede queda al lado de los juzgaditos de la plaza",
        "Oficios varios: busco empleo",
        "Cumplo los requerimientos de la convocatoria",
        "Trabajo en la personería y me encanta su café",
        "¿Qué registro sanitario tiene?",
        "La resolución de la foto es muy baja",
        "Me juzgaron por la ropa",
        "Quiero poner una queja",
        "La alcaldía nos invitó a la feria",
        "Medida del mueble: 1,80",
        "Notificación de la app que no se quita",
        "El auto azul quedó mal parqueado",
    ],
    "trato": [
        "El paquete llegó golpeado",
        "El IVA viene discriminado en la factura",
        "Valores discriminados por ítem, por favor",
        "La caja venía con golpes en las esquinas",
        "¿Me discriminan los costos en la factura?",
        "Basta del acoso comercial por teléfono",
        "La nevera llegó golpeada de un lado",
        "¿Me envían la cotización con precios discriminados?",
        "El trato fue excelente",
        "Muy buen trato de la señora Rosa",
        "Es acoso telefónico llamar diez veces a vender",
        "Empujen la puerta, dice el aviso",
        "Me golpeó la noticia del cierre de la tienda",
        "Los costos venían sin discriminar",
        "El contrato está vigente",
    ],
}  # fmt: skip


@pytest.mark.parametrize(("flag", "text"), [(flag, text) for flag, texts in HITS.items() for text in texts])
def test_what_is_urgent(flag: str, text: str) -> None:
    assert flag in classify("", text, shipped_lexicon()).urgency


@pytest.mark.parametrize(("flag", "text"), [(flag, text) for flag, texts in FALSE_FRIENDS.items() for text in texts])
def test_what_only_sounds_urgent(flag: str, text: str) -> None:
    assert flag not in classify("", text, shipped_lexicon()).urgency


def test_there_are_enough_of_both() -> None:
    assert all(len(texts) >= 15 for table in (HITS, FALSE_FRIENDS) for texts in table.values())
