"""Thin panels: draw what is known, compute nothing."""
