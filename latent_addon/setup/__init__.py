# SPDX-FileCopyrightText: 2026 Latent Lantern contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a person does to get inference to run: set up, repair, choose a Python; the server's state."""
