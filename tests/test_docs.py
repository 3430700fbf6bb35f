"""What the documents state as facts."""

import re
from dataclasses import fields

from test_programs import ROOT

from socketify_mw import Limits


def test_the_table_of_limits_has_every_one_with_its_default():
    text = (ROOT / "docs" / "limits.md").read_text()
    rows = dict(re.findall(r"^\| `(\w+)`:.*?\| (\S+)[^|]*\| (?:yes|no)", text, re.M))
    expected = {
        field.name: f"{field.default:g}"
        if isinstance(field.default, float)
        else str(field.default)
        for field in fields(Limits)
    }
    assert rows == expected


def test_the_table_of_limits_tells_which_may_be_none():
    text = (ROOT / "docs" / "limits.md").read_text()
    told = dict(re.findall(r"^\| `(\w+)`:.*\| (yes|no) \|", text, re.M))
    for field in fields(Limits):
        assert told[field.name] == ("yes" if "None" in str(field.type) else "no")
