# SPDX-FileCopyrightText: 2026 Latent Lantern contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every strip of the open file should show: read from its curves, kept up to date, shown. Knows no server."""
