# SPDX-FileCopyrightText: 2026 Latent Lantern contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Data sets and trainings that outlive Blender: their command lines, processes and folders. No bpy, no numpy."""
