# jax leaves some of its types open.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""A :class:`~ppl.infer.run.Run` in a checkpoint file, and the check that the file belongs to this fit."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ppl.infer.checkpoint import load, refuse, save
from ppl.infer.run import Machine, Run
from ppl.infer.settings import Settings
from ppl.infer.stopping import Chunk, Floats

EVERY = 2.0  # seconds between two saves of a run in progress

_FIELDS = (
    "lr", "phase", "step", "level", "crossings", "failed", "stages", "gain", "rhat", "loss", "starts_rhat",
    "converged_at",
)  # fmt: skip
_ROWS = ("rows", "elbos", "starts", "averaged")
_CHUNK = ("elbo", "mean", "m2", "batch_m2", "batches", "scale")
_ANOTHER = "delete it, or give --checkpoint another path"


@dataclass(slots=True)
class RunFile:
    """The checkpoint of one fit. `mark` tells it from fits of other models or data: log weights at the first start."""

    path: Path
    settings: Settings
    mark: Floats
    saved_at: float = field(default=-float("inf"))

    @staticmethod
    def open(path: str | Path, settings: Settings, machine: Machine, first: Run) -> RunFile:
        """Raises :class:`CheckpointError` if `path` cannot be a file."""
        path = Path(path)
        if path.is_dir() or not path.parent.is_dir():
            what = "it is a directory" if path.is_dir() else "there is no such directory"
            raise refuse(f"the checkpoint {path} cannot be written: {what}")
        return RunFile(path, settings, machine.evaluate(np.asarray(first.loop.rows)[:1])[0])

    def save_if_due(self, run: Run, seconds: float) -> None:
        if time.monotonic() - self.saved_at >= EVERY:
            self.save(run, seconds)

    def save(self, run: Run, seconds: float) -> None:
        header = {
            "settings": asdict(self.settings),
            "seconds": seconds,
            **{name: getattr(run, name) for name in _FIELDS},
        }
        save(self.path, header, {"mark": self.mark, **_arrays(run)})
        self.saved_at = time.monotonic()

    def load(self, first: Run) -> tuple[Run, float]:
        """The saved run and the seconds spent on it. `first` is this fit's run before its first step."""
        header, arrays = load(self.path)
        if header.get("settings") != asdict(self.settings):
            raise refuse(f"the checkpoint {self.path} was made with {_differences(header, self.settings)}", _ANOTHER)
        try:
            same = np.allclose(arrays["mark"], self.mark, rtol=1e-4, equal_nan=True)
            run = _run(header, arrays, first)
        except (KeyError, ValueError, TypeError) as error:
            raise refuse(f"the checkpoint {self.path} belongs to another model, or it is damaged", _ANOTHER) from error
        if not same:
            raise refuse(f"the checkpoint {self.path} belongs to another model or other data", _ANOTHER)
        return run, float(header["seconds"])


def _differences(header: dict[str, Any], settings: Settings) -> str:
    old = header.get("settings") or {}
    return ", ".join(f"{k} {old.get(k)} (now {v})" for k, v in asdict(settings).items() if old.get(k) != v)


def _arrays(run: Run) -> dict[str, np.ndarray]:
    arrays = {f"loop_{i}": np.asarray(leaf) for i, leaf in enumerate(jax.tree.leaves(run.loop))}
    if run.trace:
        arrays["trace"] = np.concatenate(run.trace)
    if run.stage:
        arrays |= {f"stage_{name}": np.stack([getattr(c, name) for c in run.stage]) for name in _CHUNK}
    return arrays | {name: rows for name in _ROWS if (rows := getattr(run, name)) is not None}


def _run(header: dict[str, Any], arrays: dict[str, np.ndarray], first: Run) -> Run:
    """Raises KeyError, ValueError or TypeError if the arrays are not those of a run like `first`."""
    old, structure = jax.tree.flatten(first.loop)
    new = [arrays[f"loop_{i}"] for i in range(len(old))]
    if any(a.shape != b.shape or a.dtype != b.dtype for a, b in zip(old, new, strict=True)):
        raise ValueError("another layout")
    stage: tuple[Chunk, ...] = ()
    if "stage_mean" in arrays:
        stage = tuple(map(Chunk, *(arrays[f"stage_{name}"] for name in _CHUNK)))
    return replace(
        first,
        loop=jax.tree.unflatten(structure, [jnp.asarray(a) for a in new]),
        trace=(arrays["trace"],) if "trace" in arrays else (),
        stage=stage,
        **{name: arrays.get(name) for name in _ROWS},
        **{name: header[name] for name in _FIELDS},
    )
