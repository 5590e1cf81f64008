"""Open-circuit potentials of electrodes against lithium, by published equations.

Each function takes the stoichiometry (share of lithium sites that are taken, 0 … 1) and gives volts at 25 °C.
The equations are those of the papers named in each; all but the spinel were compared with the parameter sets
of PyBaMM (BSD-3-Clause, https://github.com/pybamm-team/PyBaMM), which use the same.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["graphite_chen", "graphite_dualfoil", "graphite_kim", "lco", "lfp", "lmo", "nca"]

FloatArray = NDArray[np.float64]


def graphite_chen(x: FloatArray) -> FloatArray:
    """Graphite after Chen et al. 2020, J. Electrochem. Soc. 167, 080534 (PyBaMM: Chen2020, Prada2013)."""
    return np.asarray(
        1.9793 * np.exp(-39.3631 * x)
        + 0.2482
        - 0.0909 * np.tanh(29.8538 * (x - 0.1234))
        - 0.04478 * np.tanh(14.9159 * (x - 0.2769))
        - 0.0205 * np.tanh(30.4444 * (x - 0.6103))
    )


def graphite_kim(x: FloatArray) -> FloatArray:
    """Graphite after Kim et al. 2011, J. Electrochem. Soc. 158, A955 (PyBaMM: NCA_Kim2011)."""
    return np.asarray(
        0.124
        + 1.5 * np.exp(-70.0 * x)
        - 0.0351 * np.tanh((x - 0.286) / 0.083)
        - 0.0045 * np.tanh((x - 0.9) / 0.119)
        - 0.035 * np.tanh((x - 0.99) / 0.05)
        - 0.0147 * np.tanh((x - 0.5) / 0.034)
        - 0.102 * np.tanh((x - 0.194) / 0.142)
        - 0.022 * np.tanh((x - 0.98) / 0.0164)
        - 0.011 * np.tanh((x - 0.124) / 0.0226)
        + 0.0155 * np.tanh((x - 0.105) / 0.029)
    )


def graphite_dualfoil(x: FloatArray) -> FloatArray:
    """Graphite MCMB 2528 of Newman's Dualfoil, 1998 (PyBaMM: Marquis2019)."""
    return np.asarray(
        0.194
        + 1.5 * np.exp(-120.0 * x)
        + 0.0351 * np.tanh((x - 0.286) / 0.083)
        - 0.0045 * np.tanh((x - 0.849) / 0.119)
        - 0.035 * np.tanh((x - 0.9233) / 0.05)
        - 0.0147 * np.tanh((x - 0.5) / 0.034)
        - 0.102 * np.tanh((x - 0.194) / 0.142)
        - 0.022 * np.tanh((x - 0.9) / 0.0164)
        - 0.011 * np.tanh((x - 0.124) / 0.0226)
        + 0.0155 * np.tanh((x - 0.105) / 0.029)
    )


def lfp(y: FloatArray) -> FloatArray:
    """Iron phosphate after Afshar et al. 2017, arXiv:1709.03970 (PyBaMM: Prada2013)."""
    return np.asarray(3.4077 - 0.020269 * y + 0.5 * np.exp(-150.0 * y) - 0.9 * np.exp(-30.0 * (1.0 - y)))


def nca(y: FloatArray) -> FloatArray:
    """Nickel cobalt aluminium oxide after Kim et al. 2011 (PyBaMM: NCA_Kim2011)."""
    polynomial = np.polynomial.Polynomial(
        (11.8058, -66.3691, 264.427, -554.774, 621.3475, -344.566, 81.246, -23.488, 15.056, -2.222, 1.638)
    )
    return np.asarray(polynomial(y) - 0.61386 * np.exp(5.8201 * y**136.4))


def lco(y: FloatArray) -> FloatArray:
    """Cobalt oxide of Newman's Dualfoil, 1998 (PyBaMM: Marquis2019)."""
    y = 1.062 * y
    return np.asarray(
        2.16216
        + 0.07645 * np.tanh(30.834 - 54.4806 * y)
        + 2.1581 * np.tanh(52.294 - 50.294 * y)
        - 0.14169 * np.tanh(11.0923 - 19.8543 * y)
        + 0.2051 * np.tanh(1.4684 - 5.4888 * y)
        + 0.2531 * np.tanh((0.56478 - y) / 0.1316)
        - 0.02167 * np.tanh((y - 0.525) / 0.006)
    )


def lmo(y: FloatArray) -> FloatArray:
    """Manganese spinel after Doyle et al. 1996, J. Electrochem. Soc. 143, 1890."""
    return np.asarray(
        4.19829
        + 0.0565661 * np.tanh(-14.5546 * y + 8.60942)
        - 0.0275479 * ((0.998432 - y) ** -0.492465 - 1.90111)
        - 0.157123 * np.exp(-0.04738 * y**8)
        + 0.810239 * np.exp(-40.0 * (y - 0.133875))
    )
