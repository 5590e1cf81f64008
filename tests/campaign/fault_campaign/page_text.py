"""What the page of the campaign says beside its numbers."""

HEAD = """\
<!-- Written by `make campaign`; edit tests/campaign, not this page. -->
# Fault-injection campaign

What is injected, what must follow by when and what may never happen is written down before a run: in
`tests/campaign/fault_campaign/expectations.py` (which rows a fault explains), `evidence.py` (each row's
condition, from what the device's sensors really said) and with each draw. Deadlines are the fault-tolerant
times of the rows, counted from the moment at which the limit was crossed; an opening counts when the contacts
are open. A false alarm is a row that latches or opens the contactors and that the fault does not explain.

| | |
|---|---|
| Faults injected | {injected} |
| Detected in time | {detected_in_time} |
| Nothing had to happen, nothing did | {nothing_had_to_happen} |
| Late | {late} |
| Missed | {missed} |
| False alarms (all parts) | {false_alarms} |
| Healthy simulated hours, of cells / of packs | {healthy_cell_hours:,.0f} / {healthy_pack_hours:,.1f} |
| Upper 95 % bound of false alarms, per cell-hour / per pack-hour | {per_cell_hour} / {per_pack_hour} |
| Healthy real logs | {healthy_logs} |
"""

PURE = """\
## Random faults in simulated time

{injected} faults of {kinds} kinds, seed {seed}, {simulated_hours:g} simulated hours: twin, frames, driver,
monitor, arbitration and a load in one process (`closed_loop.py`). Each draw takes fault, its parameters,
state, state of charge, ambient temperature, load, start within the scan and duration at random. *Quiet*:
below the threshold, shorter than the debounce or a legal transient: nothing had to happen, and nothing did.
Reactions are those of the row that opens the contactors, where there is one.
{made}
"""

LIVE = """\
## Random faults on the live system

{injected} faults over the real nodes, processes and bus, at random operating points, seed {seed}.
{made}
"""

HEALTHY = """\
## Healthy hours

Packs in hard but legal use: full limits, from one to the other within tenths of a second, fast charge,
regeneration, grid service, balancing, ambient steps of 20 K, noise, offsets, quantisation, skewed sampling,
lost frames, jitter. Scans go straight into the monitor (`healthy/`); every chunk is another pack with cells,
sensors and use of its own. A cell-hour is an hour of one cell; rows that judge a whole pack have lived
through the pack-hours only. Upper 95 % bound of the rate of false alarms (3 / hours): {per_cell_hour} per
cell-hour, {per_pack_hour} per pack-hour.
{made}
"""

LOGS = """\
## Healthy real logs

{files} recordings of real cells, packs and vehicles, {hours:,.0f} hours, against the limits of the maker's
data sheet (`logs/`). A row that comes up is explained by the numbers of the recording, or is a false alarm.
{made}
"""
