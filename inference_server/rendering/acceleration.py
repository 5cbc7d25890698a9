"""Run a network faster than operation by operation. No way is necessary: after an error, the plain network is used.

CUDA graphs: the operations of a pass are recorded once, then all are started together. So the processor need not start
each one; small batches gain most. torch.compile: fuses operations into its own kernels, but needs a compiler (Triton on
CUDA, a C++ compiler on the CPU) and a minute; it is used only if it is asked for.
"""

from __future__ import annotations

import logging
import os
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from ..checkpoints.cache import cache_folder
from ..generators.base import Generator

logger = logging.getLogger(__name__)

COMPILE_SWITCH = "LATENT_LANTERN_COMPILE"
"""If this environment variable is 1, torch.compile is used, as with ``--compile``."""

CHOSEN_FOLDER = os.environ.get("TORCHINDUCTOR_CACHE_DIR")
"""The user's choice, read before torch sets this variable itself."""

PLAIN_PASSES = 2
"""Passes of one shape before it is recorded. After them, everything that is computed once, such as scaled weights,
exists."""

MOST_GRAPHS = 4
"""The most recordings kept for a generator. The least recently used one is dropped first."""

Synthesize = Callable[[torch.Tensor, "str | int", "torch.Tensor | None"], torch.Tensor]


class Synthesizer(Protocol):
    """Makes pictures from W+: a generator, or something that runs a generator faster."""

    def synthesize(self, ws: torch.Tensor, noise: str | int, transform: torch.Tensor | None = None) -> torch.Tensor:
        """Return pictures, as ``Generator.synthesize`` does."""
        ...


def accelerate(generator: Generator, device: torch.device, compiled: bool | None = None) -> Synthesizer:
    """Return the synthesizer that makes a generator's pictures fastest on a device; it may be the generator itself.

    Args:
        generator: its weights must not change afterwards.
        compiled: use torch.compile; None: the environment variable LATENT_LANTERN_COMPILE decides.
    """
    if compiled is None:
        compiled = os.environ.get(COMPILE_SWITCH) == "1"
    synthesizer: Synthesizer = generator
    if compiled and generator.compiles:
        synthesizer = Compiled(generator)
    elif compiled:
        logger.info("'%s' is not compiled: it would not be faster.", generator.info.name)
    if device.type == "cuda":
        synthesizer = Graphed(synthesizer, generator.info.name)
    return synthesizer


class Compiled:
    """A generator compiled by torch.compile. After the first error, the plain generator is used."""

    def __init__(self, generator: Generator):
        self._generator = generator
        self._synthesize: Synthesize | None = None
        self._failed = False

    def synthesize(self, ws: torch.Tensor, noise: str | int, transform: torch.Tensor | None = None) -> torch.Tensor:
        """Return pictures, as ``Generator.synthesize`` does.

        With a seed as the noise, the plain generator is used: numpy draws that noise, which cannot be compiled.
        """
        if self._failed or isinstance(noise, int):
            return self._generator.synthesize(ws, noise, transform)
        try:
            if self._synthesize is None:
                name = self._generator.info.name
                logger.info("Compiling '%s': this takes a minute or more, once for each size of batch.", name)
                if CHOSEN_FOLDER is None:
                    # Later processes find the compiled code again here; torch's default is a temporary folder.
                    os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(cache_folder() / "compiled")
                self._synthesize = torch.compile(self._generator.synthesize, dynamic=False)
            return self._synthesize(ws, noise, transform)
        except torch.OutOfMemoryError:
            raise
        except Exception as error:
            self._failed = True
            logger.warning("Compiling failed, frames are made without it: %s", _reason(error))
            return self._generator.synthesize(ws, noise, transform)


class Graphed:
    """CUDA graphs of a synthesizer, one for each shape of the inputs. After an error, the synthesizer itself is used.

    Passes with a seed as the noise are not recorded: every seed has its own noise maps, and those of the previous seed
    are freed.
    """

    def __init__(self, inner: Synthesizer, name: str, record: Callable[..., Replay] | None = None):
        self._inner = inner
        self._name = name
        self._record = record or Recording
        self._passes: dict[Any, int] = {}
        self._graphs: OrderedDict[Any, Replay] = OrderedDict()
        self._failed = False

    def synthesize(self, ws: torch.Tensor, noise: str | int, transform: torch.Tensor | None = None) -> torch.Tensor:
        """Return pictures, as ``Generator.synthesize`` does."""
        if self._failed or isinstance(noise, int):
            return self._inner.synthesize(ws, noise, transform)
        key = (tuple(ws.shape), noise, transform is not None)
        if key not in self._graphs:
            self._passes[key] = self._passes.get(key, 0) + 1
            if self._passes[key] <= PLAIN_PASSES:
                return self._inner.synthesize(ws, noise, transform)
            try:
                self._graphs[key] = self._record(self._inner, ws, noise, transform)
            except Exception as error:
                self._graphs.clear()
                self._failed = True
                logger.warning("'%s' is made without CUDA graphs, a little slower: %s", self._name, _reason(error))
                return self._inner.synthesize(ws, noise, transform)
            if len(self._graphs) > MOST_GRAPHS:
                oldest, _ = self._graphs.popitem(last=False)
                self._passes[oldest] = 0
        self._graphs.move_to_end(key)
        return self._graphs[key](ws, transform)


class Replay(Protocol):
    """A recorded pass."""

    def __call__(self, ws: torch.Tensor, transform: torch.Tensor | None) -> torch.Tensor:
        """Return pictures from inputs of the recorded shapes."""
        ...


class Recording:
    """One pass as a CUDA graph, with its own memory for the inputs and the output."""

    def __init__(self, inner: Synthesizer, ws: torch.Tensor, noise: str | int, transform: torch.Tensor | None):
        self._ws = ws.clone()
        self._transform = None if transform is None else transform.clone()
        stream = torch.cuda.Stream(ws.device)
        stream.wait_stream(torch.cuda.current_stream(ws.device))
        with torch.cuda.stream(stream), KeepInputs() as kept:
            inner.synthesize(self._ws, noise, self._transform)
        torch.cuda.current_stream(ws.device).wait_stream(stream)
        # The weights, and what generators compute from them and keep: the graph reads them at their present addresses.
        self._kept = kept.tensors
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            self._out = inner.synthesize(self._ws, noise, self._transform)

    def __call__(self, ws: torch.Tensor, transform: torch.Tensor | None) -> torch.Tensor:
        self._ws.copy_(ws)
        if self._transform is not None:
            assert transform is not None
            self._transform.copy_(transform)
        self._graph.replay()
        return self._out.clone()


class KeepInputs(TorchDispatchMode):
    """Keeps alive every tensor that the operations in its context read and that none of these operations made."""

    def __init__(self) -> None:
        super().__init__()
        self._made: set[int] = set()
        self._alive: dict[int, Any] = {}

    @property
    def tensors(self) -> list[Any]:
        """Return the storages of these tensors."""
        return list(self._alive.values())

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        for storage in (tensor.untyped_storage() for tensor in _tensors((args, kwargs))):
            if storage._cdata not in self._made:
                self._alive[storage._cdata] = storage
        result = func(*args, **kwargs)
        made = {tensor.untyped_storage()._cdata for tensor in _tensors(result)}
        self._made |= made - self._alive.keys()
        return result


def _tensors(value: Any) -> list[torch.Tensor]:
    return [leaf for leaf in tree_leaves(value) if isinstance(leaf, torch.Tensor)]


def _reason(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:200]}" if lines else type(error).__name__
