# SPDX-FileCopyrightText: 2026 Latent Lantern contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the commands share: words for people on stderr, and jobs that work in a folder."""
