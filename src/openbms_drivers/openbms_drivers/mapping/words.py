"""What the words in the names of signals mean, in the languages and abbreviations of the field."""

from __future__ import annotations

import re
from functools import lru_cache

__all__ = ["CONCEPTS", "concepts", "words"]

_LISTED: dict[str, str] = {
    "voltage": "voltage volt volts vlt vltg voltg vol u v spannung spg spng spann tension "
    "tensione tensao "
    "voltaje tens dcv vdc dianya",
    "current": "current curr cur crnt amp amps ampere amperes strom str corriente courant corrente "
    "intensite intensidad i idc dci ibat dianliu",
    "temperature": "temperature temp temps tmp tmpr tmprt temperatur temperatura temperatures ntc ntcs "
    "therm thermistor thermistors t tempr tempeature temperture degc celsius wendu",
    "cell": "cell cells zelle zellen zell brick bricks celda celdas cellule cellules cella celle celula "
    "monomer singlecell cel zl danti dianxin cv cellv cellvolt",
    "module": "module modules modul mod mdl cmu cmc cmb csc bmm lmu slave slaves segment seg submodule "
    "smu bmu afe node",
    "pack": "pack batt battery bat batterie bateria batteria batteries akku accu accumulator hvb hvbat "
    "hvbatt hvbattery lib lb bms total tot sum gesamt string rack stack ess ress traction tract hv hvs "
    "pk bpack tsac esspack bt dianchi dianchibao zong summe hvb ham hvac_bat ubat ibat vbat accum ams",
    "soc": "soc stateofcharge ladezustand usoc ladestand chargestate socpack dsoc bsoc charge_level "
    "chargelevel",
    "soh": "soh stateofhealth",
    "energy": "energy energie kwh wh soe",
    "power": "power leistung puissance pwr kw watt watts potenza potencia",
    "capacity": "capacity capac cap kapazitaet kapazitat capacite capacidad cac",
    "counter_ah": "ah chargecounter coulomb coulombs ampseconds ampsec amphours amphour as charger_ah",
    "minimum": "min minimum minimal lowest low lo kleinste least mini lower niedrigste minimale",
    "maximum": "max maximum maximal highest high hi hoechste groesste upper maxi maximale peak most",
    "average": "avg average mean avrg mittel mittelwert median durchschnitt moy moyenne",
    "difference": "delta diff difference spread dev deviation imbalance drift gradient slope rise change "
    "window rate variance std",
    "limit": "limit limits lim lmt limite grenze grenz grenzwert allowed allow allowable permitted perm "
    "permissible avail available dcl ccl zul zulaessig zulaessiger verfuegbar capability cutoff",
    "charge": "charge chongdian chg chrg charging chrging laden lade ladung ladestrom charg regen "
    "regenerative ccl "
    "chargeable carga cha cvl rekup recup chr in_chg",
    "discharge": "discharge fangdian discharging dischrg dischg dch dis dsg dischar entlade entladen "
    "entladung dchg "
    "dischrge dcl descarga decharge discha dchrg disch",
    "contactor": "contactor contactors cont relay relays rly rel contact schuetz schutz "
    "schuetze kontaktor "
    "air airs contacteur contator switch ctr mainrelay cntctr contr hauptschuetz cntr mosfet fet mos",
    "positive": "positive pos plus positiv hauptplus",
    "negative": "negative neg minus negativ",
    "precharge": "precharge prechg prechrg prech pre pchg vorladung vorlade vorladen precharging pchrg",
    "main": "main haupt principal",
    "insulation": "insulation jueyuan isolation isol insul riso iso imd insulationresistance",
    "resistance": "resistance resist res widerstand ohm ohms kohm r impedance",
    "interlock": "interlock hvil interlocks pilotline pilot_line hvilstatus",
    "emergency": "emergency estop notaus eshutoff shutoff emerg",
    "ignition": "ignition ign key kl15 klemme15 kl_15 t15 zuendung clamp15",
    "plug": "plug plugged inlet_plug stecker connector proximity plugin pluggedin cableconnected",
    "link": "link dclink dcbus bus vbus zwischenkreis zk zwk output out outside load inverter_side ubus "
    "hvbus ext external linkvoltage dcl_v",
    "supply": "supply kl30 clamp30 12v aux auxiliary lv lvbat bordnetz vbat12 t30 kl_30 klemme30 vcc "
    "logic 24v 5v uref ref5v",
    "balance": "balance balancing bal bleed bleeding shunting balanc balancer balancieren equalize "
    "equalization discharging_cell ausgleich",
    "smoke": "smoke rauch",
    "gas": "gas gasdetect",
    "pressure": "pressure druck press pression",
    "ambient": "ambient amb umgebung aussen outside_air outdoor env environment",
    "coolant": "coolant cool water kuehlmittel kuehlung inlet outlet wasser cooling fluid inwater "
    "outwater coolantin coolantout",
    "board": "onboard pcb board die chip asic ic mcu cpu uc pcba",
    "shunt": "shunt",
    "redundant": "redundant redund red backup second2 secondary plausi plausibility rdnt",
    "target": "target req request requested setpoint soll sollwert demand cmd command ref reference "
    "desired set setting wish anf anforderung wunsch consigne tgt setp control ctrl",
    "flag": "fault faults error errors err fehler warning warn wrn alarm alarms alert flag flags valid "
    "invalid irrational dtc mia anomaly ok nok fail failure failed failsafe "
    "malfunction qf qual quality validity mode active ready enable enabled ena present detected code "
    "lamp lampe diag diagnosis protection protect prot over under overvoltage undervoltage overcurrent "
    "overtemp overtemperature undertemp ov uv oc ot ut sensorstatus plausible supported unsupported "
    "islanded shorted short broken sw overtemperature undertemperature vu tu bits bitfield absent missing",
    "state": "status sts stat state stt feedback fb fbk rueckmeldung closed zustand",
    "open": "open opened ocv offen ouvert filtered filt",
    "index": "id idx index number num no nr nummer count cnt cntr position pos_id where which nb numero "
    "loc location address addr counts sensornumber cellid",
    "counter": "counter alive rolling livecounter bz botschaftszaehler zaehler msgcount msgcnt rc prun "
    "heartbeat seq sequence alivecounter rollingcounter roll rlc lifecnt life tick msgcntr framecounter",
    "checksum": "checksum crc chksum chk cks cksum crc8 crc16 crc32 pruefsumme checkcode fcs checksumme "
    "sumcheck csum",
    "historic": "offset bias gain hist history historical last record lifetime initial init calibration "
    "calib nominal "
    "rated design factory threshold thresh thr hysteresis debug test sim simulated predicted predict "
    "prediction forecast estimate_start config cfg conf deepdischarge nvram nv",
    "motor": "motor engine igbt stator rotor inverter inv mcu_m emotor edu phase gearbox trans fuel",
    "foreign": "ttpms tpms mppt solar pdm charger obc dcdc cabin seat door tire tyre brake abs esp radar "
    "heater hvac evap cond "
    "compressor comp pump fan climate oil wheel steering lamp_ext exhaust catalyst intake turbo "
    "headlight blower evse inductor rectifier pcs buck boost usb led transformer dclv chad chademo ccs "
    "grid ac phase1 phase2 phase3 mains outlet_ac",
    "display": "display displayed displ ui usable user gauge indicated dash shown netto",
    "unknown_kind": "unknown unk reserved spare unused dummy placeholder tbd rsvd",
    "multiplexer": "mux multiplexer page muxer selector",
}
CONCEPTS: dict[str, frozenset[str]] = {}
"""Concepts of each word (lower case)."""
for _concept, _words in _LISTED.items():
    for _word in _words.split():
        CONCEPTS[_word] = CONCEPTS.get(_word, frozenset()) | {_concept}

_PIECE = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|\d+")
_WHOLE = re.compile(
    r"SoC|SoH|SoE|SoP|DegC|degC|NotAus|eStop|EStop|(?<![a-z])(?:mV|mA|kWh|kOhm|kW)(?![a-z])|PreCharge|preCharge"
    r"|StateOfCharge"
)
_GLUE = frozenset(("s", "n", "en", "es", "e"))
_ADJECTIVES = frozenset(
    ("ist", "aktuell", "aktuelle", "actual", "present", "meas", "measured", "measurement", "value", "val",
     "wert", "sig", "data")
)  # fmt: skip

_LONG = frozenset(word for word in CONCEPTS if len(word) >= 3) | _ADJECTIVES
_LETTERS = frozenset("uvit")
_MEASURED = frozenset(
    ("bat", "batt", "batterie", "battery", "cell", "cells", "zelle", "zellen", "zell", "pack", "min", "max",
     "sum", "hv", "string", "akku", "ist", "modul", "module", "coolant", "link", "zwischenkreis")
)  # fmt: skip
"""What may stand behind the letter of a measured quantity, as in ``ubat``."""


@lru_cache(maxsize=65536)
def _segmented(word: str, *, first: bool = True) -> tuple[str, ...] | None:
    """Split a word that is written together into known ones; None where that cannot be done."""
    if not word:
        return ()
    for length in range(len(word), 2, -1):
        if word[:length] in _LONG:
            rest = _segmented(word[length:], first=False)
            if rest is not None:
                return (word[:length], *rest)
    if first and word[0] in _LETTERS and len(word) > 3:
        rest = _segmented(word[1:], first=False)
        if rest and rest[0] in _MEASURED:
            return (word[0], *rest)
    if not first:
        for glue in _GLUE:
            if word == glue:
                return ()
            if word.startswith(glue) and (rest := _segmented(word[len(glue) :], first=False)):
                return rest
    return None


@lru_cache(maxsize=65536)
def words(name: str) -> tuple[str, ...]:
    """Split a name into words, lower case; numbers stand alone.

    ``BMS_UCellMax12`` gives bms, u, cell, max, 12; ``zellspannung3`` gives zell, spannung, 3.
    """
    found: list[str] = []
    for part in re.split(r"[^0-9A-Za-z]+", name):
        at = 0
        for match in _WHOLE.finditer(part):
            found += _PIECE.findall(part[at : match.start()])
            found.append(match[0])
            at = match.end()
        found += _PIECE.findall(part[at:])
    result: list[str] = []
    for piece in found:
        low = piece.lower()
        if low in CONCEPTS or low.isdigit() or low in _ADJECTIVES:
            result.append(low)
        else:
            result += _segmented(low) or (low,)
    for at in range(len(result) - 2):
        if result[at + 1] == "of" and f"{result[at]}of{result[at + 2]}" in CONCEPTS:
            result[at : at + 3] = [f"{result[at]}of{result[at + 2]}", "", ""]
    result = [word for word in result if word]
    joined = []
    skip = False
    for here, following in zip(result, [*result[1:], ""], strict=False):
        if skip:
            skip = False
            continue
        if f"{here}{following}" in CONCEPTS and not {here, following} & CONCEPTS.keys():
            joined.append(here + following)  # syllables, as in DianYa
            skip = True
        elif here == "d" and "charge" in CONCEPTS.get(following, frozenset()):
            joined.append("dchg")
            skip = True
        elif following and f"{here}{following}" in (
            "kl15",
            "kl30",
            "t15",
            "t30",
            "12v",
            "24v",
            "estop",
            "notaus",
        ):
            joined.append(here + following)
            skip = True
        else:
            joined.append(here)
    return tuple(joined)


@lru_cache(maxsize=65536)
def concepts(name: str) -> frozenset[str]:
    """Give the concepts in a name."""
    return frozenset().union(*(CONCEPTS[word] for word in words(name) if word in CONCEPTS))
