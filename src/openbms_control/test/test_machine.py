"""Whatever happens in whatever order, over a plant that follows the commands: what must never be.

Hypothesis draws stories: requests, faults of every row, welds, contactors that fail, lost scans, late calls,
restarts with the record, stops. ``OPENBMS_STORIES=2000`` draws more of them than the default.
"""

from __future__ import annotations

import math
import os
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from string_plant import PlantRun, StringPlant

from openbms_control.safety.checks import Checks
from openbms_control.safety.explain import REASONS
from openbms_control.safety.record import load_record, save_record
from openbms_control.safety.state_machine import CLOSING_TARGETS, TRANSITIONS
from openbms_core.faults import FAULT_TABLE, Action
from openbms_core.types import UNKNOWN, FaultState, State

STORIES = int(os.environ.get("OPENBMS_STORIES", "15"))
OPEN_STATES = (State.INIT, State.STANDBY, State.FAULT)
IN_FORCE = (FaultState.ACTIVE, FaultState.LATCHED)
SLACK_S = 0.25
"""Two scans and a call: the moments at which anything is seen or done."""
INPUTS = {
    "interlock": [1, 1, 0, UNKNOWN],
    "emergency_stop": [0, 0, 1, UNKNOWN],
    "smoke": [0, 1],
    "charging_plug": [0, 0, 1, UNKNOWN],
    "ignition": [1, 1, 0, UNKNOWN],
    "insulation_resistance_ohm": [1e6, 300.0],
    "link_voltage_validity": [0, 0, 1],
    "string_voltage_validity": [0, 0, 1],
    "bus_state": [0, 0, 2],
}
VARIANTS = {
    "one": (1, {}),
    "two": (2, {"joining": {"settle_s": 0.3}}),
    "three": (3, {"joining": {"settle_s": 0.3}}),
    "checked": (1, {"weld_check_s": 0.6, "link_discharge_time_s": 4.0}),
    "fuse": (2, {"fuse": {"current_min_a": 30.0, "wait_s": 0.5}, "joining": {"settle_s": 0.3}}),
    "device": (2, {"authority": "device"}),
}


class Forced(Checks):
    """The comparisons of the fault table, with rows whose condition is made to hold."""

    def evaluate(self, m, now, step_s=0.0):
        found = super().evaluate(m, now, step_s)
        if self.forced:
            found.condition[list(self.forced)] = True
            found.known[list(self.forced)] = True
        return found


class Watcher:
    """Follow the decisions and hold them against the invariants."""

    def __init__(self, pack) -> None:
        self.pack = pack
        self.before = None
        self.asked = False
        self.overlap_s = 0.0
        self.fault_since_s = None
        self.at_s = None

    def restarted(self):
        """A new monitor: what was commanded before is gone, nothing has been asked of it."""
        self.before, self.asked, self.fault_since_s = None, False, None

    def look(self, t_s, decision):
        status, before = decision.status, self.before
        commands = status.contactor_command.reshape(-1, 3)
        entries = [entry for entry in decision.faults if entry.state in IN_FORCE]
        self._words(status)
        self._message(decision, commands)
        self._limits(decision)
        if before is not None:
            old = before.status.contactor_command.reshape(-1, 3)
            self._closing(before, old, decision, commands, entries)
            self._opening(before, old, commands, entries)
            self._transition(before.status, status)
            self._overlap(commands, t_s - self.at_s)
        self._deadline(commands, entries, t_s)
        if status.state in OPEN_STATES:
            assert not commands.any()
        if status.state in (State.OPENING, *OPEN_STATES) and before is not None:
            self.asked &= before.status.state in OPEN_STATES
        self.before, self.at_s = decision, t_s

    def _words(self, status):
        assert status.explanation and status.reason.partition(":")[0] in {"fault", *REASONS}
        assert len(status.inhibits) == len(status.inhibit_texts)
        assert all(":" in code for code in status.inhibits)
        assert all(text.endswith(".") for text in status.inhibit_texts)

    def _message(self, decision, commands):
        sent = decision.contactor_command
        assert (commands == np.array([sent.positive, sent.negative, sent.precharge]).T).all()

    def _limits(self, decision):
        limits, status = decision.limits, decision.status
        strings = self.pack.topology.strings
        for value, most in (
            (limits.charge_current_a, strings * 4.0),
            (limits.discharge_current_a, strings * 18.0),
        ):
            assert 0.0 <= value <= most
            assert value == 0.0 or (status.state in CLOSING_TARGETS and not status.zero_current_requested)

    def _closing(self, before, old, decision, commands, entries):
        if not ((commands == 1) & (old == 0)).any():
            return
        assert self.asked, "closed unasked"
        blocking = {entry.row.id for entry in entries if entry.row.blocks_closing}
        assert not blocking, f"closed in spite of {blocking}"
        assert decision.status.state in (State.PRECHARGE, *CLOSING_TARGETS)
        if self.pack.contactors.authority == "openbms":
            moving = (commands[:, 1] == 1) & (commands[:, 0] == 0)
            assert moving.sum() <= 1, "two strings at a time"
            assert ((commands == 1) & (old == 0)).sum() == 1, "one contactor at a time"

    def _opening(self, before, old, commands, entries):
        was, is_now = old[:, :2].all(axis=1), commands[:, :2].all(axis=1)
        opened = was & ~is_now
        if not opened.any():
            return
        at_once = any(Action.OPEN_AT_ONCE in entry.row.action for entry in entries)
        alone = is_now.any() or not opened.all()  # a single string that is taken out carries no current
        assert before.status.zero_current_requested or at_once or alone
        if before.status.zero_current_requested:
            assert before.limits.charge_current_a == before.limits.discharge_current_a == 0.0

    def _transition(self, old, new):
        if old.state == new.state:
            return
        after = {target for (state, _), target in TRANSITIONS.items() if state == old.state}
        assert new.state in after or (None in after and new.state in CLOSING_TARGETS)

    def _overlap(self, commands, passed_s):
        both = (commands[:, 0] == 1) & (commands[:, 2] == 1)
        self.overlap_s = self.overlap_s + passed_s if both.any() else 0.0
        contactors = self.pack.contactors
        # a positive contactor that does not close is a fault after its debounce and delay
        assert (
            self.overlap_s <= contactors.closing_time_s + 0.3 + contactors.fault_opening_deadline_s + SLACK_S
        )

    def _deadline(self, commands, entries, t_s):
        opens = any(entry.row.opens for entry in entries)
        if not (opens and commands[:, :2].any()):
            self.fault_since_s = None
            return
        self.fault_since_s = t_s if self.fault_since_s is None else self.fault_since_s
        contactors = self.pack.contactors
        waits = contactors.fault_opening_deadline_s + (contactors.fuse.wait_s if contactors.fuse else 0.0)
        assert t_s - self.fault_since_s <= waits + SLACK_S


def story_machine(kit, folder):
    """Make the machine that draws stories (a class, since Hypothesis wants one)."""

    class Story(RuleBasedStateMachine):
        @initialize(
            variant=st.sampled_from(sorted(VARIANTS)),
            spread=st.sampled_from([0.0, 0.05, 0.3]),
            state=st.sampled_from([None, *CLOSING_TARGETS]),
        )
        def begin(self, variant, spread, state):
            strings, contactors = VARIANTS[variant]
            base = kit.strings(strings, contactors=contactors).pack.file.model_dump()["device"]["signals"]
            ignition = {"to": "ignition", "message": "M", "signal": "K"}
            changes = {
                "contactors": contactors,
                "device": {"signals": [*base, ignition]},
                "measurement": {"max_age_s": {"ignition": 0.4}},
                "protection": {"deep_discharge_voltage_v": 2.0},
            }
            rig = kit.strings(strings, **changes)
            rig.values["ignition"] = 1
            soc = 0.5 + spread * np.arange(strings)
            self.run = PlantRun(rig, StringPlant(soc), ticks=1)
            self.watcher = Watcher(rig.pack.file)
            self.seen = 0
            self.force()
            self.go_on(5)
            if state is not None:
                self.all_is_well_and_it_closes(state)

        def force(self):
            checks = self.run.rig.monitor._checks
            checks.__class__, checks.forced = Forced, set()

        def go_on(self, scans):
            for _ in range(scans):
                self.run.scan()
            self.look()

        def look(self):
            for t_s, decision in self.run.rig.history[self.seen :]:
                self.watcher.look(t_s, decision)
            self.seen = len(self.run.rig.history)

        # ---- what people do ----

        @precondition(lambda self: self.run.rig.state in OPEN_STATES)
        @rule(state=st.sampled_from(CLOSING_TARGETS))
        def all_is_well_and_it_closes(self, state):
            """Service repairs everything and clears by name; then somebody asks."""
            run, rig = self.run, self.run.rig
            self.the_contactors_are_repaired()
            run.rig.monitor._checks.forced.clear()
            run.temperature_degc, run.plant.load_a, run.plant.obeys, rig.estimates = 25.0, 0.0, True, True
            rig.values |= {name: values[0] for name, values in INPUTS.items()}
            for _ in range(10):
                self.go_on(10)
                rig.monitor.clear(sorted(rig.ids()), rig.t_s)
                if rig.state == State.STANDBY and not rig.ids():
                    break
            self.somebody_asks(state, 10)
            for _ in range(8):
                if rig.state == State.PRECHARGE:
                    self.go_on(8)

        @rule(scans=st.sampled_from([1, 2, 4, 8, 16]))
        def time_goes_on(self, scans):
            self.go_on(scans)

        @rule(state=st.sampled_from([State.STANDBY, *CLOSING_TARGETS]), scans=st.sampled_from([0, 1, 12, 25]))
        def somebody_asks(self, state, scans):
            self.look()
            answer = self.run.rig.monitor.request(state, self.run.rig.t_s)
            assert answer.reason
            if answer.accepted and state in CLOSING_TARGETS:
                self.watcher.asked = True
            self.go_on(scans)

        @rule(everything=st.booleans(), data=st.data())
        def somebody_clears(self, everything, data):
            rig = self.run.rig
            ids = sorted(rig.ids())
            wanted = [] if everything or not ids else [data.draw(st.sampled_from(ids))]
            before = rig.last.status.contactor_command.copy()
            answer = rig.monitor.clear(wanted, rig.t_s)
            assert answer.accepted or answer.reason
            assert set(answer.cleared).isdisjoint(answer.refused)
            assert (rig.monitor._machine.contactors.command.ravel() <= before).all()

        # ---- what happens to the pack ----

        @rule(name=st.sampled_from(sorted(INPUTS)), data=st.data())
        def an_input_changes(self, name, data):
            self.run.rig.values[name] = data.draw(st.sampled_from(INPUTS[name]))

        @rule(load_a=st.sampled_from([0.0, -2.0, -8.0, -40.0, 3.0, 9.0]), obeys=st.booleans())
        def the_load_changes(self, load_a, obeys):
            self.run.plant.load_a, self.run.plant.obeys = load_a, obeys

        @rule(number=st.integers(0, len(FAULT_TABLE) + 3), scans=st.sampled_from([1, 5, 12]))
        def a_row_of_the_table_comes_true(self, number, scans):
            checks = self.run.rig.monitor._checks
            checks.forced.add(number % len(checks.limit))
            self.go_on(scans)

        @rule()
        def the_rows_are_over(self):
            self.run.rig.monitor._checks.forced.clear()

        @rule(
            what=st.sampled_from(["welded", "dead", "feedback"]),
            contactor=st.integers(0, 2),
            string=st.integers(0, 2),
        )
        def a_contactor_fails(self, what, contactor, string):
            plant = self.run.plant
            string %= len(plant.soc)
            if what == "feedback":
                plant.stuck_feedback[string, contactor] = contactor % 2
            else:
                getattr(plant, what)[string, contactor] = True

        @rule()
        def the_contactors_are_repaired(self):
            plant = self.run.plant
            plant.welded[:] = plant.dead[:] = False
            plant.stuck_feedback[:] = -1
            plant.shorted_ohm, self.run.wrong_v[:] = np.inf, 0.0

        @rule(ohm=st.sampled_from([0.5, 80.0, np.inf]))
        def something_is_on_the_link(self, ohm):
            self.run.plant.shorted_ohm = ohm

        @rule(error_v=st.sampled_from([0.0, 1.5, -3.0, math.nan]), string=st.integers(0, 2))
        def a_string_reads_wrong(self, error_v, string):
            self.run.wrong_v[string % len(self.run.wrong_v)] = error_v

        @rule(degc=st.sampled_from([25.0, 66.0, -30.0, math.nan]))
        def the_temperature_changes(self, degc):
            self.run.temperature_degc = degc

        # ---- what happens to the processes ----

        @rule(scans=st.sampled_from([2, 8]))
        def the_driver_is_silent(self, scans):
            self.run.lost = True
            self.go_on(scans)
            self.run.lost = False

        @rule()
        def the_driver_starts_anew(self):
            self.run.rig.scan = 0
            self.go_on(1)

        @rule(gap_s=st.sampled_from([0.15, 0.45, 0.8]))
        def the_monitor_is_held_up(self, gap_s):
            if gap_s > self.run.rig.pack.file.contactors.command_valid_for_s:
                self._the_driver_opens()
            self.run.rig.tick(gap_s)
            self.look()

        @rule(step_s=st.sampled_from([-100.0, 100.0]))
        def the_clock_is_set(self, step_s):
            self.run.rig.stamp_s += step_s

        @rule(estimates=st.booleans())
        def the_estimator_comes_or_goes(self, estimates):
            self.run.rig.estimates = estimates

        @rule(away_s=st.sampled_from([0.3, 5.0, 60.0]))
        def the_monitor_dies(self, away_s):
            self._restart(away_s)

        @rule()
        def the_monitor_is_told_to_stop(self):
            rig = self.run.rig
            rig.monitor.stop()
            start_s, longest_s = rig.t_s, rig.pack.file.longest_opening_s + SLACK_S
            if rig.pack.file.contactors.authority == "device":
                longest_s += rig.pack.file.contactors.opening_deadline_s
            while not rig.monitor.stopped:
                self.go_on(1)
                assert rig.t_s - start_s <= longest_s, rig.last.status
            assert not rig.monitor.request(State.DRIVE, rig.t_s).accepted
            self.go_on(1)
            self._restart(0.5)

        def _the_driver_opens(self):
            for _ in range(20):
                self.run.plant.step(np.zeros(3 * len(self.run.plant.soc)), zero_current=True)

        def _restart(self, away_s):
            """A new monitor with the record of the old one, through the file."""
            self.look()
            old = self.run.rig
            save_record(folder / "faults.json", old.monitor.record())
            record, problem = load_record(folder / "faults.json", old.pack.file.serial)
            assert problem == "" and record.start_count == old.monitor.record().start_count + 1
            self._the_driver_opens()
            rig = type(old)(old.pack, replace(record, closed=record.closed), problem)
            rig.values = dict(old.values)
            rig.t_s, rig.stamp_s, rig.scan = old.t_s + away_s, old.stamp_s + away_s, old.scan
            kept = {name for name, fault in record.faults.items() if fault.latched}
            self.run.rig, self.seen = rig, 0
            self.watcher.restarted()
            self.force()
            self.go_on(1)
            assert kept <= rig.ids(), "a latched fault was forgotten"
            self.go_on(2)

        @invariant()
        def resistors_are_not_burnt(self):
            if hasattr(self, "run"):
                attempts = self.run.rig.pack.file.contactors.precharge.attempts
                heat = self.run.rig.monitor._machine.contactors.heat.heat
                assert (heat >= 0.0).all() and (heat <= attempts + 0.3).all()

        def teardown(self):
            if hasattr(self, "run"):
                self.look()

    return Story


@pytest.mark.slow
@pytest.mark.timeout(0)
def test_stories(kit, tmp_path):
    run_state_machine_as_test(
        story_machine(kit, tmp_path),
        settings=settings(
            max_examples=STORIES,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
