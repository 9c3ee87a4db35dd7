"""`forebay settings`: every setting, its value and where it comes from."""

from __future__ import annotations

from forebay.cli.options import AsJson, DataDirectory, settings_with
from forebay.cli.output import bold, dim, print_json, print_table, visible
from forebay.settings import Leaf, Settings, display, leaves


def settings(as_json: AsJson = False, data_dir: DataDirectory = None) -> None:
    """Print every setting, its value and its origin.

    Secrets are masked.
    """
    loaded = settings_with(data_dir=data_dir)
    if as_json:
        print_json({"settings": [_described(loaded, leaf) for leaf in leaves()]})
        return
    groups = dict.fromkeys(leaf.group for leaf in leaves())
    for group in groups:
        print(bold(group or "general"))
        members = [leaf for leaf in leaves() if leaf.group == group]
        print_table(
            ("NAME", "VALUE", "UNIT", "ORIGIN", "MEANING"),
            [(leaf.name, _shown(loaded, leaf), leaf.unit, loaded.origin(leaf.name), leaf.help) for leaf in members],
            indent="  ",
        )
        print()
    print(dim("Set one as FOREBAY_<NAME>, in the environment or in `.env`; docs/configuration.md has the details."))


def _shown(loaded: Settings, leaf: Leaf) -> str:
    text = visible(display(leaf.value_in(loaded)))
    if loaded.origin(leaf.name) == "default" and len(text) > 40:
        return "(see docs/configuration.md)"
    return text or "-"


def _described(loaded: Settings, leaf: Leaf) -> dict[str, object]:
    value = leaf.value_in(loaded)
    if isinstance(value, tuple):
        value = [str(item) for item in value]
    elif not isinstance(value, bool | int | float | None):
        value = str(value)  # a secret gives its mask
    return {
        "name": leaf.name,
        "variable": leaf.variable,
        "value": value,
        "unit": leaf.unit,
        "origin": loaded.origin(leaf.name),
        "default": leaf.default_text,
        "help": leaf.help,
    }
