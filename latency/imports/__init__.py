"""Public tables in layouts of their own, as tables of ours.

    found = read_layout("proxyless", path.read_text(encoding="utf-8"), info, unit="ms")
    found.table; found.left_out    # what has no place in a table of ours, and why

Layouts give one operator several values, by its position: equal ones are merged, others averaged, and their spread is
kept. Pickles are not read: they run code.

Errors:
    LayoutError (ValueError)   a file that is not of the layout; names the key
"""

from latency.imports.layouts import LAYOUTS, Imported, LayoutError, Unit, read_layout

__all__ = ["LAYOUTS", "Imported", "LayoutError", "Unit", "read_layout"]
