"""A PyBaMM cell as the independent truth: SPMe or DFN, lumped temperature, current or power held in steps.

Runs in an environment of its own (:mod:`environment`), never beside the house's own code. The parameter set
is OKane2022 (LG M50: NMC811 against graphite-SiOx), the one of PyBaMM whose kinetics, diffusion and
electrolyte all depend on temperature. Currents are positive when charging, as everywhere in this project
(PyBaMM's are not).

Sources: S. O'Kane et al., *Phys. Chem. Chem. Phys.* 24 (2022) 7909 (parameters); V. Sulzer et al.,
*J. Open Research Software* 9 (2021) 14 (PyBaMM); S. G. Marquis et al., *J. Electrochem. Soc.* 166 (2019)
A3693 (SPMe).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pybamm

pybamm.set_logging_level("ERROR")

KELVIN = 273.15
PARAMETERS = "OKane2022"
AIR, ISOTHERMAL = 10.0, 1e4
REST, CURRENT, POWER = "rest", "current", "power"
_ANODE = "Negative electrode surface potential difference at separator interface [V]"


@dataclass(frozen=True)
class Ageing:
    """What makes a cell differ from the one that was commissioned.

    Attributes
    ----------
    name : str
    width : float
        Active area, relative: loss of active material of both electrodes alike.
    lithium : float
        Cyclable lithium, relative to what the remaining electrodes held when fresh.
    film_ohm : float
        Resistance in series that does not depend on temperature [ohm].
    kinetics : float
        Factor on exchange currents, electrolyte conductivity and all diffusivities.
    """

    name: str = "fresh"
    width: float = 1.0
    lithium: float = 1.0
    film_ohm: float = 0.0
    kinetics: float = 1.0


FRESH = Ageing()


@dataclass(frozen=True)
class Trace:
    """What a step gave, without its first instant; arrays (n,) and the state at its end."""

    time_s: np.ndarray
    voltage_v: np.ndarray
    current_a: np.ndarray
    temperature_degc: np.ndarray
    anode_v: np.ndarray
    end: Any


class TruthCell:
    """One model, built once; each step takes any ageing.

    Parameters
    ----------
    kind : str
        ``SPMe`` or ``DFN``.
    """

    def __init__(self, kind: str = "SPMe") -> None:
        base = pybamm.ParameterValues(PARAMETERS)
        self.base = base
        values = base.copy()
        scale = pybamm.InputParameter("Kinetics")

        def scaled(name: str) -> None:
            original = base[name]
            if callable(original):
                values[name] = lambda *a: scale * original(*a)
            else:
                values[name] = scale * original

        for name in (
            "Negative electrode exchange-current density [A.m-2]",
            "Positive electrode exchange-current density [A.m-2]",
            "Negative particle diffusivity [m2.s-1]",
            "Positive particle diffusivity [m2.s-1]",
            "Electrolyte conductivity [S.m-1]",
            "Electrolyte diffusivity [m2.s-1]",
        ):
            scaled(name)
        values.update(
            {
                "Contact resistance [Ohm]": "[input]",
                "Ambient temperature [K]": "[input]",
                "Initial temperature [K]": "[input]",
                "Total heat transfer coefficient [W.m-2.K-1]": pybamm.InputParameter("Cooling"),
                "Electrode width [m]": pybamm.InputParameter("Width") * base["Electrode width [m]"],
                "Initial concentration in negative electrode [mol.m-3]": "[input]",
                "Initial concentration in positive electrode [mol.m-3]": "[input]",
            }
        )

        def control(variables: dict[str, Any]) -> Any:
            power = pybamm.InputParameter("Holds power")
            current, voltage = variables["Current [A]"], variables["Voltage [V]"]
            by_current = current - pybamm.InputParameter("Wanted current [A]")
            by_power = current * voltage - pybamm.InputParameter("Wanted power [W]")
            return (1 - power) * by_current + power * by_power / 4.0

        options = {"thermal": "lumped", "contact resistance": "true", "operating mode": control}
        model = getattr(pybamm.lithium_ion, kind)(options)
        # the limits of voltage are ours to judge, not the model's to stop at
        model.events = [e for e in model.events if "voltage" not in e.name.lower()]
        points = {"x_n": 12, "x_s": 8, "x_p": 12, "r_n": 20, "r_p": 20}
        self._solver = pybamm.IDAKLUSolver(
            rtol=1e-5, atol=1e-6, output_variables=None, options={"num_threads": 1}
        )
        self._sim = pybamm.Simulation(model, parameter_values=values, solver=self._solver, var_pts=points)
        self._windows: dict[tuple[float, float], tuple[float, float, float, float, float]] = {}
        self._sim.build()
        self._model = self._sim.built_model

    # ---- state of charge ----

    def window(self, age: Ageing) -> tuple[float, float, float, float, float]:
        """Give stoichiometries (x at 0 and 100 %, y at 0 and 100 %) and the capacity [Ah], at the voltage
        limits 2.5 and 4.2 V.
        """
        key = (age.width, age.lithium)
        if key not in self._windows:
            param = pybamm.LithiumIonParameters()
            values = self.base.copy()
            soh = pybamm.lithium_ion.ElectrodeSOHSolver(values, param)
            q_n, q_p = (float(values.evaluate(q)) for q in (param.n.Q_init, param.p.Q_init))
            q_li = float(values.evaluate(param.Q_Li_particles_init))
            found = soh.solve({"Q_n": q_n, "Q_p": q_p, "Q_Li": q_li * age.lithium})
            x0, x1, y0, y1 = (
                float(np.asarray(found[k]).ravel()[0]) for k in ("x_0", "x_100", "y_0", "y_100")
            )
            self._windows[key] = (x0, x1, y0, y1, float(np.asarray(found["Q"]).ravel()[0]) * age.width)
        return self._windows[key]

    @property
    def window_fresh_ah(self) -> float:
        """Capacity of the fresh cell between its voltage limits [Ah]."""
        return self.window(FRESH)[4]

    def _inputs(
        self, age: Ageing, ambient_degc: float, soc: float, temperature_degc: float, cooling: float
    ) -> dict[str, float]:
        x0, x1, y0, y1, _ = self.window(age)
        return {
            "Kinetics": age.kinetics,
            "Width": age.width,
            "Contact resistance [Ohm]": age.film_ohm,
            "Ambient temperature [K]": ambient_degc + KELVIN,
            "Initial temperature [K]": temperature_degc + KELVIN,
            "Initial concentration in negative electrode [mol.m-3]": (x0 + soc * (x1 - x0))
            * self.base["Maximum concentration in negative electrode [mol.m-3]"],
            "Initial concentration in positive electrode [mol.m-3]": (y0 + soc * (y1 - y0))
            * self.base["Maximum concentration in positive electrode [mol.m-3]"],
            "Cooling": cooling,
            "Holds power": 0.0,
            "Wanted current [A]": 0.0,
            "Wanted power [W]": 0.0,
        }

    def start(self, soc: float, degc: float, age: Ageing = FRESH, cooling: float = AIR) -> Cursor:
        """Give a rested cell at a state of charge (of its own capacity) and temperature [degC], with the heat
        transfer to its surroundings [W/(m2 K)].
        """
        return Cursor(self, self._inputs(age, degc, soc, degc, cooling), None, 0.0)


class Cursor:
    """A state of the cell: immutable; :meth:`hold` gives the trace to a further one."""

    def __init__(self, cell: TruthCell, inputs: dict[str, float], solution: Any, time_s: float) -> None:
        self.cell, self._inputs, self._solution, self.time_s = cell, inputs, solution, time_s

    def hold(self, kind: str, value: float, seconds: float, points: int) -> Trace:
        """Hold a current [A] or power [W] (positive: charging), or rest.

        Raises
        ------
        pybamm.SolverError
            The cell cannot give it.
        """
        inputs = dict(self._inputs)
        inputs["Holds power"] = float(kind == POWER)
        inputs["Wanted current [A]"] = -value if kind == CURRENT else 0.0
        inputs["Wanted power [W]"] = -value if kind == POWER else 0.0
        grid = np.linspace(0.0, seconds, points + 1)
        solution = self.cell._solver.step(
            self._solution, self.cell._model, seconds, t_interp=grid, inputs=inputs, save=False
        )
        if solution.t[-1] - solution.t[0] < 0.999 * seconds - 1e-6:
            raise pybamm.SolverError("the step ended early")

        def of(name: str) -> np.ndarray:
            return np.asarray(solution[name].entries, float)[-points:]

        return Trace(
            time_s=self.time_s + grid[1:],
            voltage_v=of("Voltage [V]"),
            current_a=-of("Current [A]"),
            temperature_degc=of("X-averaged cell temperature [K]") - KELVIN,
            anode_v=of(_ANODE),
            end=Cursor(self.cell, inputs, solution.last_state, self.time_s + seconds),
        )
