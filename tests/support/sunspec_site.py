"""A house on a real Modbus server: battery inverter with lag and losses, solar panels, load, meter.

Registers are laid out from the sizes of all points (``sunspec_layout``), values encoded here: nothing of the
product is used.
"""

from __future__ import annotations

import asyncio
import math
import re
import struct
import threading
import time
from typing import Any

from pymodbus.constants import ExcCodes
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice
from sunspec_layout import POINTS

_CODES = {
    "int16": ">h", "uint16": ">H", "count": ">H", "acc16": ">H", "enum16": ">H", "bitfield16": ">H",
    "sunssf": ">h", "pad": ">H", "int32": ">i", "uint32": ">I", "acc32": ">I", "enum32": ">I",
    "bitfield32": ">I", "int64": ">q", "uint64": ">Q", "acc64": ">Q", "float32": ">f",
}  # fmt: skip
_ABSENT = {
    "int16": 0x8000.to_bytes(2, "big"), "sunssf": 0x8000.to_bytes(2, "big"), "pad": b"\x80\0",
    "int32": 0x80000000.to_bytes(4, "big"), "int64": (1 << 63).to_bytes(8, "big"), "acc32": b"\0" * 4,
    "acc64": b"\0" * 8, "acc16": b"\0" * 2, "float32": b"\x7f\xc0\0\0",
}  # fmt: skip


def points_of(model: Any) -> list[tuple[str, str, str]]:
    """Give name, type and scale factor of each point of a model, in order."""
    rows = [row.split() for row in re.sub(r"\s+", " ", POINTS[model]).strip().split(", ")]
    return [(row[0], row[1], row[2] if len(row) > 2 else "") for row in rows]


def size_of(kind: str) -> int:
    """Give the registers of a type."""
    return int(kind[6:]) if kind.startswith("string") else struct.calcsize(_CODES[kind]) // 2


def _words(data: bytes) -> list[int]:
    return list(struct.unpack(f">{len(data) // 2}H", data))


class Bank:
    """The registers of one unit."""

    def __init__(self, base: int = 40000) -> None:
        self.base = base
        self.words = [0x5375, 0x6E53]
        self.at: dict[tuple[int, str], tuple[int, str, str]] = {}
        self.model_at: dict[int, int] = {}

    def add(self, model: int, values: dict[str, Any], scales: dict[str, int] | None = None) -> None:
        """Add a model; what is given neither value nor scale is not implemented."""
        self.model_at[model] = self.base + len(self.words)
        layout = points_of(model)
        start = len(self.words)
        for name, kind, scale in layout:
            self.at[model, name] = (len(self.words), kind, scale)
            absent = _ABSENT.get(kind, b"\0" * 2 * size_of(kind) if kind.startswith("string") else None)
            self.words += _words(absent if absent is not None else b"\xff" * 2 * size_of(kind))
        self._raw(model, "ID", model)
        self._raw(model, "L", len(self.words) - start - 2)
        for name, power in (scales or {}).items():
            self._raw(model, name, power)
        for name, value in values.items():
            self.set(model, name, value)

    def extend(self, model: int, words: list[int]) -> None:
        """Make the last model longer, by what repeats in it."""
        self.words += words
        self._raw(model, "L", self.get_raw(model, "L") + len(words))

    def raw_model(self, number: int, length: int) -> None:
        """Add a model that nobody knows."""
        self.words += [number, length] + [0xABCD] * length

    def end(self) -> Bank:
        """Add the end mark."""
        self.words += [0xFFFF, 0]
        return self

    def _raw(self, model: int, name: str, value: Any) -> None:
        at, kind, _ = self.at[model, name]
        data = (
            str(value).encode().ljust(2 * size_of(kind), b"\0")
            if kind.startswith("string")
            else struct.pack(_CODES[kind], value)
        )
        self.words[at : at + size_of(kind)] = _words(data)

    def get_raw(self, model: int, name: str) -> Any:
        """Give a point as it stands there."""
        at, kind, _ = self.at[model, name]
        return struct.unpack(
            _CODES[kind], struct.pack(f">{size_of(kind)}H", *self.words[at : at + size_of(kind)])
        )[0]

    def _power(self, model: int, scale: str) -> int:
        if scale == "":
            return 0
        return int(scale) if scale.lstrip("-").isdigit() else int(self.get_raw(model, scale))

    def set(self, model: int, name: str, value: Any) -> None:
        """Set a point in its unit."""
        _, kind, scale = self.at[model, name]
        if kind.startswith("string") or kind == "float32":
            self._raw(model, name, value)
        else:
            self._raw(model, name, round(value / 10 ** self._power(model, scale)))

    def get(self, model: int, name: str) -> float:
        """Give a point in its unit."""
        return float(self.get_raw(model, name) * 10.0 ** self._power(model, self.at[model, name][2]))

    def address(self, model: int, name: str) -> int:
        """Give the address of a point on Modbus."""
        return self.base + self.at[model, name][0]


class SunspecServer:
    """Units on a real Modbus TCP server, in a thread of its own."""

    def __init__(self, units: dict[int, Bank], port: int = 0) -> None:
        self.units, self.port = units, port
        self.delay_s = 0.0
        self.refuse: dict[int, ExcCodes] = {}
        """Address to the exception with which a request that begins there is answered."""
        self.requests: list[tuple[int, int, int, int]] = []
        """Unit, function, address and count of every request."""
        self.writes: list[tuple[int, int, list[int]]] = []
        self.lock = threading.RLock()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._server: Any = None

    def before(self, unit: int) -> None:
        """Bring the registers up to date."""

    def written(self, unit: int, address: int, values: list[int]) -> None:
        """React to a write."""

    def _device(self, unit: int, bank: Bank) -> SimDevice:
        async def action(function: int, start: int, address: int, count: int, now: Any, values: Any) -> Any:
            with self.lock:
                self.requests.append((unit, function, address, count))
                if self.delay_s:
                    await asyncio.sleep(self.delay_s)
                if address in self.refuse:
                    return self.refuse[address]
                self.before(unit)
                if values:
                    at = address - bank.base
                    bank.words[at : at + len(values)] = values
                    self.writes.append((unit, address, list(values)))
                    self.written(unit, address, list(values))
                now[:] = bank.words
            return None

        data = SimData(bank.base, values=list(bank.words), datatype=DataType.REGISTERS)
        return SimDevice(unit, simdata=[data], action=action)

    def __enter__(self) -> SunspecServer:
        self.start()
        return self

    def __exit__(self, *raised: Any) -> None:
        self.stop()

    def start(self) -> None:
        """Listen; on the port of the last time where there was one."""
        ready = threading.Event()
        failed: list[BaseException] = []

        async def serve() -> None:
            try:
                devices = [self._device(unit, bank) for unit, bank in self.units.items()]
                self._server = ModbusTcpServer(devices, address=("127.0.0.1", self.port))
                self._loop = asyncio.get_running_loop()
                await self._server.serve_forever(background=True)
                self.port = self._server.transport.sockets[0].getsockname()[1]
            except BaseException as error:
                failed.append(error)
                raise
            finally:
                ready.set()
            await self._server.serving

        self._thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
        self._thread.start()
        assert ready.wait(5.0)
        if failed:
            raise failed[0]

    def stop(self) -> None:
        """Stop listening and cut every connection."""
        if self._thread is not None and self._loop is not None and self._thread.is_alive():
            asyncio.run_coroutine_threadsafe(self._server.shutdown(), self._loop).result(5.0)
            self._thread.join(5.0)
        self._thread = None


INVERTER, METER = 1, 200
CAPACITY_W = 5000.0
EFFICIENCY = 0.94
_LAG_S = 0.15


class House(SunspecServer):
    """Inverter at unit 1, meter at unit 200; power in watt, positive charges the battery or is drawn."""

    def __init__(
        self,
        control: int = 124,
        *,
        floats: bool = False,
        base: int = 40000,
        pv_w: float = 0.0,
        load_w: float = 500.0,
    ) -> None:
        self.control, self.floats = control, floats
        self.pv_w, self.load_w = pv_w, load_w
        self.battery_ac_w = 0.0
        self.obeys = True
        self._timer_s = math.inf
        self._stepped_s = time.monotonic()
        self.reverted = 0
        self.ac = 701 if control == 704 else 113 if floats else 103
        self.at_grid = 213 if floats else 203
        super().__init__({INVERTER: self._inverter(base), METER: self._meter(base)})

    def _inverter(self, base: int) -> Bank:
        bank = Bank(base)
        bank.add(1, {"Mn": "Acme", "Md": "Storage 5", "SN": "INV-1", "Vr": "1.2"})
        if self.control == 704:
            scales = {"W_SF": 0, "A_SF": -1, "V_SF": -1, "Hz_SF": -3, "TotWh_SF": 0}
            bank.add(
                701, {"ACType": 2, "St": 1, "InvSt": 3, "ConnSt": 1, "Alrm": 0, "W": 0, "Hz": 50}, scales
            )
            rated = {"WMaxRtg": 5000, "WChaRteMaxRtg": 5000, "WDisChaRteMaxRtg": 5000, "WMax": 5000}
            bank.add(702, rated, {"W_SF": 1})
            bank.add(
                704,
                {
                    "WMaxLimPctEna": 0, "WMaxLimPct": 100, "WSetEna": 0, "WSetMod": 0, "WSet": 0,
                    "WSetRvrt": 700, "WSetPct": 0, "WSetEnaRvrt": 0, "WSetRvrtTms": 0, "WSetRvrtRem": 0,
                },
                {"WMaxLimPct_SF": -1, "WSet_SF": 0, "WSetPct_SF": -1},
            )  # fmt: skip
            return bank.end()
        scales = {"A_SF": -2, "V_SF": -1, "W_SF": 0, "Hz_SF": -2, "WH_SF": 1, "Tmp_SF": -1}
        values = {
            "A": 0,
            "AphA": 0,
            "PhVphA": 230.1,
            "PhVphB": 231.2,
            "PhVphC": 229.9,
            "W": 0,
            "Hz": 50,
            "St": 4,
            "Evt1": 0,
        }
        bank.add(self.ac, values, {} if self.floats else scales)
        bank.add(120, {"DERTyp": 82, "WRtg": 5000, "MaxChaRte": 5000, "MaxDisChaRte": 5000},
                 {"WRtg_SF": 1, "MaxChaRte_SF": 0, "MaxDisChaRte_SF": 1})  # fmt: skip
        bank.add(121, {"WMax": 5000}, {"WMax_SF": 0})
        bank.add(123, {"Conn": 1, "WMaxLimPct": 100, "WMaxLim_Ena": 0}, {"WMaxLimPct_SF": -2})
        bank.add(
            124,
            {
                "WChaMax": 5000, "StorCtl_Mod": 0, "ChaState": 55.5, "OutWRte": 100, "InWRte": 100,
                "InOutWRte_RvrtTms": 0, "ChaGriSet": 1,
            },
            {"WChaMax_SF": 0, "InOutWRte_SF": -2, "ChaState_SF": -2, "WChaDisChaGra_SF": 0},
        )  # fmt: skip
        return bank.end()

    def _meter(self, base: int) -> Bank:
        bank = Bank(base)
        bank.add(1, {"Mn": "Acme", "Md": "Meter 63", "SN": "M-7"})
        scales = {"A_SF": -2, "V_SF": -1, "Hz_SF": -2, "W_SF": 0, "TotWh_SF": 1}
        values = {
            "A": 0, "AphA": 1.23, "AphB": -2.0, "AphC": 0.5, "PhVphA": 230.1, "PhVphB": 231.2, "PhVphC": 230,
            "Hz": 50, "W": 0, "WphA": 0, "WphB": 0, "WphC": 0, "TotWhImp": 1234560, "TotWhExp": 98760,
        }  # fmt: skip
        bank.add(self.at_grid, values, {} if self.floats else scales)
        return bank.end()

    @property
    def grid_w(self) -> float:
        """Power drawn from the grid [W]."""
        return self.load_w - self.pv_w + self.battery_ac_w

    @property
    def pack_w(self) -> float:
        """Power at the terminals of the battery [W; positive: charging]."""
        return self.battery_ac_w * EFFICIENCY if self.battery_ac_w > 0 else self.battery_ac_w / EFFICIENCY

    def advance(self) -> None:
        """Let the physics catch up with the time."""
        with self.lock:
            now = time.monotonic()
            if now >= self._timer_s:
                self._timer_s = math.inf
                self.reverted += 1
                self._revert()
            target = self._target()
            self.battery_ac_w += (target - self.battery_ac_w) * (
                1 - math.exp(-(now - self._stepped_s) / _LAG_S)
            )
            self._stepped_s = now

    def _own_mode(self) -> float:
        return max(-CAPACITY_W, min(CAPACITY_W, self.pv_w - self.load_w))

    def _target(self) -> float:
        bank = self.units[INVERTER]
        if not self.obeys:
            return self._own_mode()
        if self.control == 704:
            if bank.get(704, "WSetEna") != 1:
                return self._own_mode()
            target = -bank.get(704, "WSet")
            share = bank.get(704, "WMaxLimPct") / 100 if bank.get(704, "WMaxLimPctEna") == 1 else 1.0
            return max(-share * CAPACITY_W, min(CAPACITY_W, target))
        mode = int(bank.get(124, "StorCtl_Mod"))
        into = bank.get(124, "InWRte") / 100 * CAPACITY_W if mode & 1 else CAPACITY_W
        out = bank.get(124, "OutWRte") / 100 * CAPACITY_W if mode & 2 else CAPACITY_W
        share = bank.get(123, "WMaxLimPct") / 100 if bank.get(123, "WMaxLim_Ena") == 1 else 1.0
        return max(-share * CAPACITY_W, -out, min(into, self._own_mode()))

    def _revert(self) -> None:
        bank = self.units[INVERTER]
        if self.control == 704:
            bank.set(704, "WSet", bank.get(704, "WSetRvrt"))
            bank.set(704, "WSetEna", bank.get(704, "WSetEnaRvrt"))
        else:
            bank.set(124, "StorCtl_Mod", 0)

    def before(self, unit: int) -> None:
        """Bring the registers up to date."""
        self.advance()
        inverter, meter = self.units[INVERTER], self.units[METER]
        inverter.set(self.ac, "W", -self.battery_ac_w)
        meter.set(self.at_grid, "W", self.grid_w)
        for phase in "ABC":
            meter.set(self.at_grid, f"Wph{phase}", self.grid_w / 3)

    def written(self, unit: int, address: int, values: list[int]) -> None:
        """Start the reversion time anew with every write to the control."""
        bank = self.units[INVERTER]
        name = "WSetRvrtTms" if self.control == 704 else "InOutWRte_RvrtTms"
        after = bank.get(self.control, name)
        if unit == INVERTER and 0 < after < 0xFFFF:
            self._timer_s = time.monotonic() + after
