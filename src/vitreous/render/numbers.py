"""Numbers as pages and sheets write them."""

from __future__ import annotations

__all__ = ["number"]


def number(value: float, form: str = ".3g") -> str:
    """A number to three digits, or in another format of Python's, as the viewer of pages writes it.

    >>> number(-0.12345), number(0.25, "+.3f"), number(12345678), number(-3.2e-05)
    ('-0.123', '+0.250', '1.23e+7', '-3.2e-5')
    """
    digits, power, exponent = f"{value:{form}}".partition("e")
    return f"{digits}e{int(exponent):+}" if power else digits
