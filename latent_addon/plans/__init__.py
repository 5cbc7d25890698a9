# SPDX-FileCopyrightText: 2026 Latent Lantern contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plans what every strip of the open file should show, from its curves, and shows it. Does not know the server."""
