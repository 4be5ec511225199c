"""What a check of recorded numbers gives, and how arrays are compared."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch


@dataclass
class GoldenResult:
    """One compared tensor, number or string.

    Attributes:
        name: What was compared.
        passed: Whether it is within its tolerance.
        max_abs: Largest absolute difference; nan where there is none to compute.
        max_rel: Largest absolute difference over the largest absolute recorded value.
        tolerance: The tolerance in words, such as ``'rel 2e-05'``.
        note: What else there is to say: a wrong shape, the two strings, an error.
    """

    name: str
    passed: bool
    max_abs: float
    max_rel: float
    tolerance: str
    note: str = ''

    def line(self) -> str:
        """One line for a terminal."""
        verdict = 'ok  ' if self.passed else 'FAIL'
        errors = f'abs {self.max_abs:8.2e}  rel {self.max_rel:8.2e}  ({self.tolerance})'
        return f'{verdict}  {self.name:<56} {errors}' + (f'  {self.note}' if self.note else '')


def compare_array(
    name: str,
    got: Any,
    want: Any,
    *,
    rtol_of_max: float | None = None,
    atol: float | None = None,
) -> GoldenResult:
    """Compare two arrays or numbers.

    The relative error is ``max |got - want| / max |want|``: one scale for the whole tensor, so
    that values near zero do not blow it up. nan equals nan, an infinity itself.

    Args:
        name: Name of the result.
        got: Array, tensor or number that flmm computed.
        want: The recorded one.
        rtol_of_max: Largest relative error that passes.
        atol: Largest absolute error that passes; with both, either is enough.

    Raises:
        ValueError: No tolerance was given.
    """
    if rtol_of_max is None and atol is None:
        raise ValueError(f'{name}: name a tolerance, rtol_of_max or atol.')
    limits = [('rel', rtol_of_max), ('abs', atol)]
    tolerance = ' or '.join(f'{kind} {limit:g}' for kind, limit in limits if limit is not None)
    got, want = _float64(got), _float64(want)
    nan = float('nan')
    if got.shape != want.shape:
        note = f'shape {got.shape}, expected {want.shape}'
        return GoldenResult(name, False, nan, nan, tolerance, note)
    same = (got == want) | (np.isnan(got) & np.isnan(want))
    with np.errstate(invalid='ignore'):
        difference = np.where(same, 0.0, np.abs(got - want))
    if not np.isfinite(difference).all():
        count = int((~np.isfinite(difference)).sum())
        return GoldenResult(name, False, nan, nan, tolerance, f'{count} values are not finite')
    finite = np.abs(want[np.isfinite(want)])
    max_abs = float(difference.max(initial=0.0))
    scale = float(finite.max(initial=0.0))
    max_rel = max_abs / scale if scale else (0.0 if max_abs == 0 else float('inf'))
    passed = (rtol_of_max is not None and max_rel <= rtol_of_max) or (
        atol is not None and max_abs <= atol
    )
    return GoldenResult(name, passed, max_abs, max_rel, tolerance)


def compare_exact(name: str, got: Any, want: Any) -> GoldenResult:
    """Compare what must be equal: integers, strings, shapes, lists of them, integer arrays.

    Args:
        name: Name of the result.
        got: What flmm computed.
        want: The recorded value.
    """
    if isinstance(got, (np.ndarray, torch.Tensor)) or isinstance(want, (np.ndarray, torch.Tensor)):
        result = compare_array(name, got, want, atol=0.0)
        result.tolerance = 'exact'
        return result
    if got == want:
        return GoldenResult(name, True, 0.0, 0.0, 'exact')
    note = f'got {_short(got)}, expected {_short(want)}'
    nan = float('nan')
    return GoldenResult(name, False, nan, nan, 'exact', note)


def failure(name: str, error: Exception) -> GoldenResult:
    """The result of a check that could not be carried out."""
    nan = float('nan')
    text = ' '.join(str(error).split()) or 'no message'
    return GoldenResult(name, False, nan, nan, 'runs', f'{type(error).__name__}: {text[:300]}')


def _float64(values: Any) -> np.ndarray:
    if isinstance(values, torch.Tensor):
        values = values.detach().cpu().to(torch.float64).numpy()
    return np.asarray(values, dtype=np.float64)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 120 else f'{text[:117]}...'
