"""The checksum of one message as the pack file says it: named, by parameters, or a class of one's own.

A class of one's own is named ``module:Class`` or ``file.py:Class`` (a file beside the pack file)::

    class MyChecksum:
        def compute(self, identifier: int, data: bytes) -> int:
            # identifier: CAN identifier as in the DBC; data: the whole frame, checksum bits at zero
            return (0xA5 + sum(data)) & 0xFF

It is made once per message without arguments, tried at load on a frame of zeros, and asked for every frame.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from openbms_core.frame_integrity import CHECKSUM_WIDTHS, CRC_KINDS, Crc, checksum, covered_bytes
from openbms_core.pack_device import Checksum
from openbms_drivers.bit_field import BitField

__all__ = ["FrameChecksum"]

_log = logging.getLogger(__name__)


def _load_class(name: str, pack_path: Path) -> Any:
    module_name, _, class_name = name.rpartition(":")
    if module_name.endswith(".py"):
        path = (pack_path.parent / module_name).resolve()
        if not path.is_file():
            raise ValueError(f"there is no file {path}; put it beside the pack file")
        unique = "openbms_checksum_" + hashlib.sha256(str(path).encode()).hexdigest()[:16]
        spec = importlib.util.spec_from_file_location(unique, path)
        if spec is None or spec.loader is None:
            raise ValueError(f"{path} is not a Python file")
        module = importlib.util.module_from_spec(spec)
        sys.modules[unique] = module
        try:
            spec.loader.exec_module(module)
        except Exception as error:
            line = getattr(error, "lineno", None) or _line_within(error, path)
            raise ValueError(
                f"{path}{f':{line}' if line else ''} cannot be imported ({_said(error)}); correct it"
            ) from error
    else:
        try:
            module = importlib.import_module(module_name)
        except Exception as error:
            raise ValueError(
                f"the module '{module_name}' cannot be imported ({_said(error)}); install it, or give a file "
                "beside the pack file as 'file.py:Class'"
            ) from error
    found = getattr(module, class_name, None)
    if found is None:
        classes = sorted(key for key, value in vars(module).items() if isinstance(value, type))
        raise ValueError(f"{module_name} has no class '{class_name}'; it has {', '.join(classes) or 'none'}")
    return found


def _line_within(error: BaseException, path: Path) -> int | None:
    line, trace = None, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == str(path):
            line = trace.tb_lineno
        trace = trace.tb_next
    return line


def _said(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


class FrameChecksum:
    """Computes and tests the checksum of one message.

    Parameters
    ----------
    entry : Checksum
        What the pack file says.
    bits : BitField
        Where the checksum lies.
    identifier : int
        CAN identifier of the message.
    pack_path : Path
        The pack file: a class of one's own may lie beside it.
    counter : BitField, optional
        Where the counter lies that chooses among ``data_ids``.

    Raises
    ------
    ValueError
        The class cannot be used, or the signal is too short for the kind; one clause that says why and what
        to do.
    """

    def __init__(
        self,
        entry: Checksum,
        bits: BitField,
        identifier: int,
        pack_path: Path,
        counter: BitField | None = None,
    ) -> None:
        self._entry, self._bits, self._identifier, self._counter = entry, bits, identifier, counter
        self._own: Callable[[int, bytes], Any] | None = None
        self._crc: Crc | None = None
        self._broken = False
        width = CHECKSUM_WIDTHS.get(entry.kind)
        if bits.is_float:
            raise ValueError(
                "a checksum is no floating-point number; correct the DBC, or name another signal"
            )
        if ":" in entry.kind:
            self._own = self._made(entry.kind, pack_path)
        elif entry.kind == "crc":
            width = entry.width or 8
            self._crc = Crc(
                width, entry.polynomial or 0, entry.initial or 0, entry.final_xor or 0, bool(entry.reflected)
            )
        if width is not None and bits.length < width:
            raise ValueError(
                f"kind '{entry.kind}' gives {width} bit, but the signal has {bits.length}; another kind is "
                "meant, or the DBC is wrong"
            )
        covered_bytes(bytes(bits.frame_bytes), bits.start, bits.length, big_endian=bits.big_endian)
        shift = bits.start if not bits.big_endian else bits.start - 7
        # a whole byte: the usual case, without looking for its bits each time
        self._byte = shift // 8 if bits.length == 8 and shift % 8 == 0 else None

    def _made(self, kind: str, pack_path: Path) -> Callable[[int, bytes], Any]:
        found = _load_class(kind, pack_path)
        try:
            own = found().compute
            tried = own(self._identifier, bytes(self._bits.frame_bytes))
        except Exception as error:
            raise ValueError(
                f"'{kind}' does not work ({_said(error)}); it needs no arguments and a method "
                "compute(identifier, data) that gives a whole number"
            ) from error
        if not isinstance(tried, int) or not 0 <= tried <= self._bits.mask:
            raise ValueError(
                f"'{kind}' gives {tried!r} for a frame of zeros, but the signal holds 0 … {self._bits.mask}"
            )
        return own

    def _covered(self, data: bytes) -> bytes:
        at = self._byte
        if at is not None:
            return data[:at] + data[at + 1 :]
        bits = self._bits
        return covered_bytes(data, bits.start, bits.length, big_endian=bits.big_endian)

    def compute(self, data: bytes) -> int:
        """Give what belongs into the checksum's bits of a frame, whatever these hold."""
        entry = self._entry
        if self._own is not None:
            return int(self._own(self._identifier, self._bits.insert(data, 0)))
        covered = self._covered(data)
        data_id = entry.data_id
        if entry.data_ids and self._counter is not None:
            data_id = entry.data_ids[int(self._counter.extract(data)) % len(entry.data_ids)]
        if self._crc is not None:
            added = b""
            if data_id is not None:
                added = bytes((data_id,)) if data_id <= 0xFF else data_id.to_bytes(2, "little")
            return self._crc(added + covered if entry.data_id_first else covered + added)
        return checksum(
            entry.kind,
            covered,
            data_id,
            identifier=self._identifier,
            length=len(data),
            data_id_first=entry.data_id_first,
        )

    @property
    def quick_check(self) -> Callable[[bytes], bool]:
        """What :meth:`check` tells, quicker where the kind allows it: for the inner loop."""
        entry, at = self._entry, self._byte
        crc = self._crc or CRC_KINDS.get(entry.kind)
        plain = self._own is None and not entry.data_ids and not entry.data_id_first
        if crc is None or crc.width != 8 or crc.reflected or at is None or not plain:
            return self.check
        table, initial, final = crc.table, crc.initial, crc.final_xor
        data_id = entry.data_id
        added = b"" if data_id is None else data_id.to_bytes(1 if data_id <= 0xFF else 2, "little")

        def check(data: bytes) -> bool:
            register = initial
            for byte in data[:at] + data[at + 1 :] + added:
                register = table[register ^ byte]
            return register ^ final == data[at]

        return check

    def check(self, data: bytes) -> bool:
        """Tell whether a frame carries its right checksum; a class that fails makes no frame right."""
        try:
            return self.compute(data) == int(self._bits.extract(data)) & self._bits.mask
        except Exception:
            if not self._broken:
                self._broken = True
                _log.exception("checksum %s failed; its frames are refused", self._entry.kind)
            return False
