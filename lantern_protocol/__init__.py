# SPDX-FileCopyrightText: 2026 Latent Lantern contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the add-on and the server agree on: messages, and files that both sides read. Standard library only."""
