"""The picture and the recording of the README are what a viewer can show, and the README's files are there."""

from __future__ import annotations

import json
import re
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parents[2]
PICTURES = ROOT / "docs" / "pictures"


def test_the_recording_is_an_asciicast_of_a_demo_that_held() -> None:
    header, *events = [json.loads(line) for line in (PICTURES / "demo.cast").read_text().splitlines()]
    assert header["version"] == 2 and header["width"] >= 80 and header["height"] >= 24
    assert all(kind == "o" and isinstance(text, str) for _, kind, text in events)
    times = [at for at, _, _ in events]
    assert times == sorted(times)
    text = "".join(each for _, _, each in events)
    assert "alpha" in text and "beta" in text and "nothing was lost" in text


def test_the_picture_shows_its_end() -> None:
    root = ElementTree.fromstring((PICTURES / "demo.svg").read_text())
    lines = [each.text for each in root.iter("{http://www.w3.org/2000/svg}text")]
    assert lines[0] == "$ make demo"
    width, height = (float(each) for each in root.attrib["viewBox"].split()[2:])
    assert max(len(line or "") for line in lines) * 8 < width and len(lines) * 18 < height


def test_what_readme_names_is_there() -> None:
    text = (ROOT / "README.md").read_text()
    named = set(re.findall(r"(?:docs|images|csrc)/[\w./-]+\.(?:md|svg|cast|toml|elf|h)", text))
    assert len(named) > 10
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []
