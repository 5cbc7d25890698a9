"""Runs in Blender: draws the add-on's panels into layouts that measure, and reports texts with too little room.

Blender does not report where it puts a button. But its layout of a sidebar is known: a column gives its whole width to
each item, a row divides it by what the items need, a split divides it by its factor, a box takes a margin. An item
needs its text in the interface's font, a margin, and an icon. The margins below are pixels at an interface scale of 1,
as in Blender 5.2; at 1.5, all are 1.5 times as large.
"""

import blf
import bpy

SIDEBAR, BOX, BUTTON, LABEL, ICON, DROPDOWN, NUMBER = 58, 12, 14, 4, 20, 12, 40
"""Pixels of: a panel's edges and the tabs; a box; a button's margins; a label's margins; an icon; a menu's arrow;
digits."""

UNSURE = 3
"""The error of these numbers: a text that needs this many pixels more may still fit."""

SPLIT = 0.4
"""The share of the width for the names of properties."""


class Measured:
    """Imitates a UILayout: keeps what is drawn as a tree. direction: "column", "row", "split" or "box"."""

    def __init__(self, direction="column", parent=None, factor=0.0):
        self.direction, self.factor = direction, factor or 0.5
        self.items = []
        self.use_property_split = parent.use_property_split if parent else False
        self.use_property_decorate = True

    def _inner(self, direction, factor=0.0):
        inner = Measured(direction, self, factor)
        self.items.append(inner)
        return inner

    def column(self, **_):
        return self._inner("column")

    def row(self, **_):
        return self._inner("row")

    def box(self):
        return self._inner("box")

    def split(self, factor=0.0, **_):
        return self._inner("split", factor)

    def label(self, text="", icon="NONE", icon_value=0):
        self._leaf(text, icon != "NONE" or icon_value, LABEL - BUTTON)

    def operator(self, idname, text=None, icon="NONE", **_):
        group, _, name = idname.partition(".")
        about = getattr(getattr(bpy.ops, group), name).get_rna_type()
        self._leaf(about.name if text is None else text, icon != "NONE")
        return Anything()

    def operator_menu_enum(self, _idname, _prop, text="", icon="NONE"):
        self._leaf(text, icon != "NONE", DROPDOWN)

    def progress(self, factor=0.0, text=""):
        self._leaf(text, False)

    def prop(self, data, name, text=None, icon="NONE", emboss=True, placeholder=None):
        about = data.bl_rna.properties[name]
        shown = about.name if text is None else text
        value = self._value(data, about)
        if self.use_property_split and about.type != "BOOLEAN":
            split = self._inner("split", SPLIT)
            split._leaf(shown, False, LABEL - BUTTON)
            split._leaf(*value)
        elif about.type in ("INT", "FLOAT"):
            self._leaf(f"{shown} {value[0]}" if shown else value[0], False, NUMBER / 2)
        elif about.type == "BOOLEAN" and self.use_property_split:
            self._inner("split", SPLIT)._leaf("", False)
            self.items[-1]._leaf(shown, True)
        else:
            self._leaf(shown, True)

    @staticmethod
    def _value(data, about):
        if about.type == "ENUM":
            chosen = getattr(data, about.identifier)
            names = [item.name for item in about.enum_items if item.identifier == chosen]
            return (names[0] if names else "", False, DROPDOWN)
        if about.type == "STRING" or getattr(about, "is_array", False):
            return ("", False)  # text of the user's own scrolls
        return ("00.000" if about.type == "FLOAT" else "0000", False, NUMBER / 2)

    def template_list(self, *_, **__):
        """Names that the user chose; they may be cut."""

    def template_icon(self, *_, **__):
        """A picture."""

    def _leaf(self, text, icon, more=0):
        self.items.append((text, bool(icon), more))


class Anything:
    """Accepts every attribute, like an operator's properties."""


def need(item, scale):
    """Pixels that an item needs."""
    if isinstance(item, Measured):
        if item.direction == "split":
            return 0  # it uses the width that it gets
        needs = [need(inner, scale) for inner in item.items]
        if item.direction == "row":
            return sum(needs)
        return max(needs, default=0) + (BOX * scale if item.direction == "box" else 0)
    text, icon, more = item
    blf.size(0, bpy.context.preferences.ui_styles[0].widget.points * scale)
    width = blf.dimensions(0, text)[0] if text else 0
    return width + ((BUTTON if text else 0) + (ICON if icon or not text else 0) + more) * scale


def cut(item, width, scale):
    """Texts in a tree that need more of `width` pixels than they get, as [(text, missing pixels)]."""
    if not isinstance(item, Measured):
        lacking = need(item, scale) - width
        return [(item[0], round(lacking))] if item[0] and lacking > UNSURE * scale else []
    if item.direction == "row":
        lacking = need(item, scale) - width
        if lacking > UNSURE * scale:
            return [(" | ".join(texts(item)), round(lacking))]
        return []
    if item.direction == "split":
        others = len(item.items) - 1
        parts = [item.factor, *[(1 - item.factor) / others] * others] if others else [item.factor]
        pairs = zip(item.items, parts, strict=True)
        return [each for inner, part in pairs for each in cut(inner, width * part, scale)]
    inside = width - (BOX * scale if item.direction == "box" else 0)
    return [each for inner in item.items for each in cut(inner, inside, scale)]


def texts(item):
    """All texts of a tree."""
    if not isinstance(item, Measured):
        return [item[0]] if item[0] else []
    return [text for inner in item.items for text in texts(inner)]


class Self:
    """Imitates a panel."""

    def __init__(self, content, layout):
        self._content, self.layout = content, layout

    def __getattr__(self, name):
        found = getattr(self._content, name)
        return found.__get__(self) if hasattr(found, "__get__") else found


def cut_texts(content, context):
    """Texts that a panel cuts in the region of the context: (texts, those cut)."""
    layout = Measured()
    scale = context.preferences.system.ui_scale
    content.draw(Self(content, layout), context)
    return texts(layout), cut(layout, context.region.width - SIDEBAR * scale, scale)
