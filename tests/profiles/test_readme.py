"""`backends/README.md` lists every key of a profile, in the model's own words.

Run this file to write the tables anew: `python tests/profiles/test_readme.py`.
"""

from __future__ import annotations

import attrs

from ajolo_fanout.profiles import model
from ajolo_fanout.profiles.catalog import data_folder
from ajolo_fanout.values import option_of

README = data_folder("backends") / "README.md"
MARK = "<!-- The tables are made from profiles/model.py: python tests/profiles/test_readme.py -->\n"
TABLES = {
    "Top level": model.Profile,
    "`[[inputs]]`": model.Input,
    "`[inputs.goes_with]`": model.GoesWith,
    "`[[endpoints]]`": model.Endpoint,
    "`[[headers]]`": model.Header,
    "`[[resource]]`": model.ResourceAttribute,
    "`[[answers]]`, `[[endpoints.answers]]`": model.Answer,
    "`[known]`": model.Known,
    "`[self_test]`": model.SelfTest,
    "`[[self_test.answers]]`": model.Verdict,
    "`[behaviour]`": model.Behaviour,
}


def tables() -> str:
    """The tables as they should stand after the mark."""
    parts = []
    for title, cls in TABLES.items():
        intro = (
            (cls.__doc__ or "").partition("\n")[0]
            if cls is not model.Profile
            else "What stands first in the file."
        )
        rows = [f"\n### {title}\n", f"{intro}\n", "| key | | meaning |", "|---|---|---|"]
        for field in attrs.fields(cls):
            if (option := option_of(field)) is not None:
                needed = "required" if field.default is attrs.NOTHING else ""
                rows.append(f"| `{field.name}` | {needed} | {option.help} |")
        parts.append("\n".join(rows))
    return "\n".join(parts) + "\n"


def test_the_tables_are_fresh() -> None:
    """A key that is added to the model is explained to whoever writes a profile."""
    assert README.read_text(encoding="utf-8").partition(MARK)[2] == tables()


def test_every_table_of_the_model_is_listed() -> None:
    """No class of settings is forgotten."""
    classes = {cls for cls in vars(model).values() if isinstance(cls, type) and attrs.has(cls)}
    assert classes == set(TABLES.values())


if __name__ == "__main__":
    text = README.read_text(encoding="utf-8")
    README.write_text(text.partition(MARK)[0] + MARK + tables(), encoding="utf-8")
