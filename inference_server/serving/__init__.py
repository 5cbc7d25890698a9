# SPDX-FileCopyrightText: 2026 Latent Lantern contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The conversation with the add-on: requests read, queued, made on the device, written to files, answered."""
