# SPDX-FileCopyrightText: 2026 Latent Lantern contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a person uses to make inference run: set up, repair, choose a Python; and the server's state."""
