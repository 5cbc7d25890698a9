"""Blend the weights of two snapshots of one training."""

from __future__ import annotations

import copy

import torch

from lantern_protocol.errors import INVALID_PARAMS, ProtocolError

from ..generators.base import Generator


def check_blend(first: Generator, second: Generator) -> None:
    """Check that two generators have the same make, so that their weights can be mixed. Raises ProtocolError if not."""
    if first.info.kind != second.info.kind or first.config != second.config:
        raise ProtocolError(
            INVALID_PARAMS,
            f"'{first.info.name}' and '{second.info.name}' are networks of different makes, so their weights cannot be "
            "blended. Choose two snapshots of one training, or a whole snapshot.",
        )


def scratch_like(generator: Generator) -> Generator:
    """Return a network of the same make on the same device, with its own memory for weights."""
    scratch = copy.deepcopy(generator)
    scratch.weights_changed()
    return scratch


@torch.no_grad()
def blend_into(scratch: Generator, first: Generator, second: Generator, mix: float) -> None:
    """Set all weights and statistics of `scratch`, in place, to first + mix (second - first), in float32."""
    ends = zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    for out, (low, high) in zip(scratch.state_dict().values(), ends, strict=True):
        if out.is_floating_point():
            torch.lerp(low, high, mix, out=out)
        else:
            out.copy_(low)
    scratch.weights_changed()
