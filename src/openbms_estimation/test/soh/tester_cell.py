"""A cell on a tester, for tests: its own curve and resistance, ageing as it is told."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

RATED_AH = 2.0
STEP_S = 10.0
_SOC = np.array([0.0, 0.03, 0.08, 0.15, 0.3, 0.5, 0.7, 0.85, 0.95, 1.0])
_OCV = np.array([2.6, 3.2, 3.42, 3.52, 3.62, 3.71, 3.87, 4.0, 4.1, 4.2])


def ocv_v(soc):
    return np.interp(soc, _SOC, _OCV)


def discharge(q_ah: float, r_ohm: float, load_a: float, end_v: float = 2.5):
    n = int(3600 * q_ah / load_a / STEP_S) + 2
    time = np.arange(n) * STEP_S
    soc = 1.0 - np.maximum(time - STEP_S, 0.0) * load_a / 3600.0 / q_ah
    current = np.where(time > 0.0, -load_a, 0.0)
    voltage = ocv_v(np.maximum(soc, 0.0)) + current * r_ohm - 20.0 * np.maximum(-soc, 0.0)
    keep = np.r_[True, voltage[:-1] > end_v]
    return time[keep], voltage[keep], current[keep]


def charge(q_ah: float, r_ohm: float, load_a: float, soc: float = 0.02, top_v: float = 4.2):
    time, voltage, current, t = [], [], [], 0.0
    i = load_a
    while i > 0.03:
        i = min(load_a, (top_v - ocv_v(soc)) / r_ohm)
        time.append(t)
        voltage.append(ocv_v(soc) + i * r_ohm)
        current.append(i)
        soc += i * STEP_S / 3600.0 / q_ah
        t += STEP_S
    return np.array(time), np.array(voltage), np.array(current)


def capacity_above(q_ah: float, r_ohm: float, load_a: float, cut_off_v: float = 2.7) -> float:
    time, voltage, _ = discharge(q_ah, r_ohm, load_a)
    k = int(np.argmax((voltage < cut_off_v) & (time > 0.0)))
    share = (voltage[k - 1] - cut_off_v) / (voltage[k - 1] - voltage[k])
    return float((time[k - 1] - STEP_S / 2 + share * STEP_S) * load_a / 3600.0)


def write(
    folder: Path,
    *,
    cycles: int = 40,
    fade: float = 0.004,
    rise: float = 0.01,
    noise_v: float = 0.002,
    loads=(2.0,),
    whole_cycles: bool = False,
    seed: int = 0,
) -> tuple[Path, Path]:
    """Write curves and cycles in the one shape or the other; fade and rise are per cycle, relative."""
    rng = np.random.default_rng(seed)
    rows, table, op = [], [], 0
    for k in range(cycles):
        q, r = 0.95 * RATED_AH * (1.0 - fade * k), 0.08 * (1.0 + rise * k)
        load = loads[k * len(loads) // cycles]
        measured = capacity_above(q, r, load)
        parts = [charge(q, r, 1.5), discharge(q, r, load)]
        offset = 0.0
        for part, (t, v, i) in enumerate(parts):
            v = v + noise_v * rng.normal(size=v.size)
            number = k + 1 if whole_cycles else op
            rows.append(np.c_[np.full(t.size, number), t + offset, v, i])
            offset += (t[-1] + 600.0) if whole_cycles else 0.0
            if not whole_cycles:
                table.append((op, k + 1, measured if part else None))
                op += 1
        if whole_cycles:
            table.append((k + 1, k + 1, measured))
    data = np.concatenate(rows)
    key = "cycle" if whole_cycles else "op"
    curves, cycles_file = folder / "cell_curves.parquet", folder / "cell_cycles.parquet"
    columns = {key: pa.array(data[:, 0].astype(int))}
    columns |= {n: data[:, j] for j, n in enumerate(("time_s", "voltage_v", "current_a"), 1)}
    pq.write_table(pa.table(columns), curves)
    numbers = {key: [r[0] for r in table], "cycle": [r[1] for r in table]}
    pq.write_table(pa.table({**numbers, "capacity_ah": [r[2] for r in table]}), cycles_file)
    return curves, cycles_file


def changed(path: Path, **columns) -> Path:
    """Write a copy with other columns (None: without it) beside the original."""
    table = pq.read_table(path)
    for name, values in columns.items():
        index = table.column_names.index(name) if name in table.column_names else None
        if index is not None:
            table = table.remove_column(index)
        if values is not None:
            table = table.append_column(name, pa.array(values))
    copy = path.with_name(f"changed-{path.name}")
    pq.write_table(table, copy)
    return copy


def column(path: Path, name: str) -> list:
    return pq.read_table(path)[name].to_pylist()


def as_json(figures: dict) -> str:
    return json.dumps(figures)
