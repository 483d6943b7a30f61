"""Guests that come with the package: labos, the teaching kernel."""

from __future__ import annotations

from pathlib import Path

LABOS = "labos.elf"


def find_labos() -> Path | None:
    """The kernel, which setup.py puts beside this file, or which a source tree has in its images; None: neither."""
    here = Path(__file__).resolve().parent
    places = (here / LABOS, here.parent / "images" / "prebuilt" / LABOS)
    return next((place for place in places if place.is_file()), None)
