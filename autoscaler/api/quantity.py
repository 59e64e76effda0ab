"""Kubernetes quantities: ``10``, ``"850m"``, ``"1.5"``, ``"2k"``, ``"1Gi"``, ``"1e3"``.

Format: apimachinery ``pkg/api/resource/quantity.go``. Values are exact until they are rounded
up to whole milli units, as ``Quantity.MilliValue()`` does.
"""

from __future__ import annotations

import re
from fractions import Fraction
from math import ceil

_NUMBER = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+))(?:[eE]([+-]?\d{1,2})|([A-Za-z]{0,2}))", re.ASCII)
QUANTITY_PATTERN = (
    r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,2}|n|u|m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei)?$"
)
"""The same for a JSON Schema, suffixes included."""
MAX_QUANTITY_LENGTH = 64
"""An API server only accepts rules about texts that are bounded."""
_SUFFIXES = {
    "n": Fraction(1, 10**9),
    "u": Fraction(1, 10**6),
    "m": Fraction(1, 1000),
    "": Fraction(1),
    **{suffix: Fraction(1000**power) for power, suffix in enumerate("kMGTPE", start=1)},
    **{f"{suffix}i": Fraction(1024**power) for power, suffix in enumerate("KMGTPE", start=1)},
}


def parse_quantity(raw: object) -> Fraction:
    """The exact value of a quantity given as a string or a number.

    Raises ``ValueError`` for anything else (a bool is not a number), and for NaN and infinities.
    """
    number = isinstance(raw, int | float | str) and not isinstance(raw, bool)
    match = _NUMBER.fullmatch(str(raw)) if number and len(str(raw)) <= MAX_QUANTITY_LENGTH else None
    if match is None or (match[3] or "") not in _SUFFIXES:
        raise ValueError('must be a quantity such as 10, "850m" or "2k"')
    if match[2] is not None:
        return Fraction(match[1]) * Fraction(10) ** int(match[2])
    return Fraction(match[1]) * _SUFFIXES[match[3] or ""]


def to_milli(raw: object) -> int:
    """A quantity in whole milli units, rounded up. Raises ``ValueError`` as above."""
    return ceil(parse_quantity(raw) * 1000)


def from_milli(milli: int) -> str:
    """The shortest quantity for milli units: ``"10"``, ``"850m"``."""
    return f"{milli}m" if milli % 1000 else str(milli // 1000)


_STORED_UNITS = (("n", 1e-9), ("u", 1e-6), ("m", 1e-3), ("", 1.0))


def to_float(raw: object) -> float:
    """The float64 that HPA computes with (``Quantity.AsApproximateFloat64``). Raises ``ValueError`` as above.

    An integer times a power of ten: 118m is 118 * 0.001 = 0.11800000000000001, not the nearest float.
    The integer is that of the form which the API server stores.
    """
    number, unit = _stored(ceil(parse_quantity(raw) * 10**9))
    return float(number) * dict(_STORED_UNITS)[unit]


def from_float(number: float) -> str:
    """The quantity that ``to_float`` makes ``number`` of, to the nano unit."""
    return "{}{}".format(*_stored(round(Fraction(number) * 10**9)))


def _stored(nano: int) -> tuple[int, str]:
    """Nano units in the largest unit that needs no fraction."""
    for unit, _ in _STORED_UNITS:
        if nano % 1000 or not unit:
            break
        nano //= 1000
    return nano, unit
