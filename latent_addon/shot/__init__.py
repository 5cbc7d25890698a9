"""Thin operators: read the context, call scene and session, report."""
