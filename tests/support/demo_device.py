"""The other end of the bus for tests: frames of the demonstration pack's device, as its DBC and pack file
say."""

from __future__ import annotations

from collections.abc import Mapping

from openbms_core.frame_integrity import checksum
from openbms_core.pack import LoadedPack
from openbms_drivers.database import Database
from openbms_drivers.frame import Frame


class DemoDevice:
    """Encodes frames with counter and checksum by cantools, independent of the driver's own bit code."""

    def __init__(self, pack: LoadedPack, database: Database | None = None) -> None:
        self.database = database or Database(pack)
        self.data_ids = {
            entry.message: entry.checksum.data_id
            for entry in (*pack.file.device.integrity, *pack.file.device.commands)
            if entry.checksum is not None
        }
        self.counters: dict[str, int] = {}

    def frame(
        self,
        name: str,
        values: Mapping[str, float] | None = None,
        *,
        at_s: float = 0.0,
        stamp_s: float | None = None,
    ) -> Frame:
        """Give the next frame of a message; signals that are not given are 0."""
        message = self.database.messages[name]
        content = {signal.name: float(max(signal.offset, 0)) for signal in message.signals} | dict(
            values or {}
        )
        self.counters[name] = (self.counters.get(name, -1) + 1) % 16
        content["Counter"] = self.counters[name]
        content["Checksum"] = 0
        data = bytes(message.encode(content, strict=False))
        data = data[:-1] + bytes([checksum("crc8_sae_j1850", data[:-1], self.data_ids[name])])
        return Frame(message.frame_id, data, 0, at_s, at_s if stamp_s is None else stamp_s)

    def current(self, current_a: float, at_s: float, stamp_s: float | None = None) -> Frame:
        """Give a current frame."""
        return self.frame("Pack_Current", {"StringCurrent": current_a}, at_s=at_s, stamp_s=stamp_s)

    def cells(self, voltage_v: float, at_s: float) -> list[Frame]:
        """Give the voltage frames of all cells (cell k a millivolt above cell k-1)."""
        frames = []
        for unit in range(8):
            for part in range(4):
                values = {
                    f"Cell{3 * part + i:02d}_Voltage": voltage_v + 0.001 * (12 * unit + 3 * part + i)
                    for i in range(3)
                }
                frames.append(
                    self.frame(f"Cmu{unit}_CellVoltages", {"Multiplexer": part, **values}, at_s=at_s)
                )
        return frames

    def scan(
        self, at_s: float, *, voltage_v: float = 3.7, current_a: float = 1.0, closed: int = 0
    ) -> list[Frame]:
        """Give all frames of a scan, the trigger last."""
        frames = self.cells(voltage_v, at_s)
        for unit in range(8):
            frames.append(
                self.frame(
                    f"Cmu{unit}_Temperatures",
                    {f"Sensor{s}_Temperature": 25.0 + s for s in range(4)},
                    at_s=at_s,
                )
            )
            frames.append(self.frame(f"Cmu{unit}_Status", {"DieTemperature": 30.0, "Bleed03": 1}, at_s=at_s))
        frames.append(self.current(current_a, at_s))
        voltages = {"StringVoltage": 96 * voltage_v, "LinkVoltage": 3.0}
        frames.append(self.frame("Pack_Voltages", voltages, at_s=at_s))
        frames.append(self.frame("Pack_ChargeCounter", {"ChargeCounter": -36.0}, at_s=at_s))
        frames.append(self.frame("Pack_Insulation", {"InsulationResistance": 1500}, at_s=at_s))
        frames.append(self.frame("Pack_Thermal", {"CoolantFlow": 6.0, "AmbientTemperature": 20.0}, at_s=at_s))
        frames.append(self.frame("Pack_Actuators", {"PumpFeedback": 0.5, "AuxiliaryPower": 120}, at_s=at_s))
        frames.append(self.frame("Pack_CurrentRedundant", {"StringCurrent": current_a}, at_s=at_s))
        frames.append(self.frame("Pack_Environment", {"Gas": 0, "Pressure": 101_320}, at_s=at_s))
        status = {
            "ContactorPositive": closed, "ContactorNegative": closed, "ContactorPrecharge": 0, "Interlock": 1,
            "EmergencyStop": 0, "Ignition": 1, "ChargingPlug": 3, "Smoke": 2, "SupplyVoltage": 12.5,
        }  # fmt: skip
        frames.append(self.frame("Pack_Status", status, at_s=at_s))
        return frames
