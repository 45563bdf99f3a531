"""Rounding in which the remaining weights of a row absorb each error.

Column by column, as GPTQ does: with U the upper Cholesky factor of H^-1, weight j is rounded, and its error over U_jj
times U_j,j+1.. is taken from the columns that follow. Columns of most power come first. Then each weight is moved to
the integer that is best with all others as they are, over and over, which only lowers the error. A row that ends with
more than rounding to the nearest keeps the nearest.
Sources: Hassibi & Stork 1993, Second order derivatives for network pruning: Optimal Brain Surgeon; Frantar et al. 2022,
Optimal Brain Compression and GPTQ (order by power, Cholesky factor, blocks of columns).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]
Factor = tuple[NDArray[np.intp], Float]  # of `factor_of`
BLOCK = 64  # columns whose errors are passed on at once
SWEEPS = 8  # of moving each weight, until none moves


def errors(weight: Float, exact: Float, square: Float) -> Float:
    """(V - W) H (V - W)^T of each row; weights [.., rows, K], square [K, K]."""
    difference = weight - exact
    return np.asarray(np.einsum("...k,...k->...", difference @ square, difference))


def factor_of(square: Float) -> Factor:
    """The order of the columns, and the upper Cholesky factor of H^-1 in that order."""
    order = np.argsort(-np.diagonal(square), kind="stable")
    ordered = square[np.ix_(order, order)]
    lower = np.linalg.cholesky(ordered[::-1, ::-1])[::-1, ::-1]  # ordered = lower lower^T, upper triangular
    inverse = np.linalg.inv(lower)  # H^-1 = inverse^T inverse, inverse upper triangular
    return order, np.asarray(np.triu(inverse))


def passed_on(exact: Float, unit: Float, top: int, order: NDArray[np.intp], factor: Float) -> Float:
    """Integers [rows, K] of exact weights [rows, K]; unit: worth of an integer, one a row."""
    rest = exact[:, order] / unit[:, None]
    integers = np.empty_like(rest)
    diagonal = np.diagonal(factor)
    for start in range(0, rest.shape[1], BLOCK):
        stop = min(start + BLOCK, rest.shape[1])
        shares = np.empty((len(rest), stop - start))
        for j in range(start, stop):
            column = rest[:, j]
            integers[:, j] = np.clip(np.rint(column), -top, top)
            share = (column - integers[:, j]) / diagonal[j]
            rest[:, j + 1 : stop] -= share[:, None] * factor[j, j + 1 : stop]
            shares[:, j - start] = share
        rest[:, stop:] -= shares @ factor[start:stop, stop:]
    found = np.empty_like(integers)
    found[:, order] = integers
    return found


def settled(integers: Float, exact: Float, unit: Float, top: int, square: Float) -> Float:
    """Each weight at the integer that is best with the others as they are; the error of no row grows."""
    found: Float = integers.copy()
    power = np.diagonal(square)
    pull = (exact / unit[:, None] - found) @ square
    for _ in range(SWEEPS):
        moved = False
        for j in np.flatnonzero(power > 0):
            best = np.clip(np.rint(found[:, j] + pull[:, j] / power[j]), -top, top)
            step = best - found[:, j]
            rows = np.flatnonzero(step)
            if rows.size:
                moved = True
                found[rows, j] = best[rows]
                pull[rows] -= step[rows, None] * square[j]
        if not moved:
            break
    return found


def compensated(exact: Float, unit: Float, top: int, square: Float, factor: Factor, settle: bool = True) -> Float:
    """Integers [rows, K] of least error in H, never more than rounding to the nearest has.

    exact: [rows, K] in real units.  unit: [rows].  square: H [K, K], positive definite.  factor: of it.
    """
    nearest = np.clip(np.rint(exact / unit[:, None]), -top, top)
    found = passed_on(exact, unit, top, *factor)
    if settle:
        found = settled(found, exact, unit, top, square)
    worse = errors(found * unit[:, None], exact, square) > errors(nearest * unit[:, None], exact, square)
    return np.asarray(np.where(worse[:, None], nearest, found))
