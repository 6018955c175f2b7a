# jax leaves some of its types open.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""A :class:`~ppl.infer.run.Run` in a checkpoint file, and the check that the file belongs to this fit.

A checkpoint holds one run, or one for every guide that ``guide="auto"`` has come to. It is read and written by the
first process of a run; the others get what it has read.
"""

from __future__ import annotations

import dataclasses
import time
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ppl.infer.checkpoint import is_special, parse, read, refuse, remove_leftovers, save
from ppl.infer.hosts import Hosts
from ppl.infer.run import PHASES, Run
from ppl.infer.settings import BEFORE, Settings
from ppl.infer.stopping import Chunk, Floats

EVERY = 2.0  # seconds between two saves of a run in progress

_FIELDS = (
    "lr", "phase", "step", "level", "crossings", "failed", "stages", "gain", "rhat", "loss", "starts_rhat",
    "converged_at",
)  # fmt: skip
_ROWS = ("rows", "elbos", "starts", "averaged")
_CHUNK = ("elbo", "mean", "m2", "batch_m2", "batches", "scale")
_ELSEWHERE = "give --checkpoint another path"
_ANOTHER = f"delete it, or {_ELSEWHERE}"
ONLY = ""  # the name of a run that is alone in its file

Saved = tuple[dict[str, Any], dict[str, np.ndarray]]


@dataclass(slots=True)
class Checkpoint:
    """The file, and the runs in it by guide; a fit with one guide has it under ONLY."""

    path: Path
    hosts: Hosts
    runs: dict[str, Saved] = field(default_factory=dict[str, Saved])
    saved_at: float = field(default=-float("inf"))

    @staticmethod
    def open(path: str | Path, hosts: Hosts, resume: bool, many: bool) -> Checkpoint:
        """The file with what it holds, if that is to be continued; `many` runs, or one.

        Raises :class:`CheckpointError` if `path` cannot be a file, cannot be read, or holds the other.
        """
        path = Path(path)
        with hosts.together():
            if hosts.first and (path.is_dir() or not path.parent.is_dir()):
                what = "it is a directory" if path.is_dir() else "there is no such directory"
                raise refuse(f"the checkpoint {path} cannot be written: {what}")
            if hosts.first and is_special(path):
                raise refuse(f"the checkpoint {path} cannot be resumed: it is no regular file", _ELSEWHERE)
            if hosts.first:
                remove_leftovers(path)
        opened = Checkpoint(path, hosts)
        content = hosts.from_first(lambda: read(path) if path.exists() else b"\0") if resume else b"\0"
        if content == b"\0":  # nothing was saved yet
            return opened
        header, arrays = parse(content, path)
        if ("runs" in header) != many:
            was, now = ("auto", "one guide") if many is False else (_settings_of(header).get("guide"), "auto")
            raise refuse(f"the checkpoint {path} was made with guide {was} (now {now})", _ANOTHER)
        if not many:
            opened.runs[ONLY] = header, arrays
            return opened
        try:
            for k, (name, own) in enumerate(sorted(dict(header["runs"]).items())):
                prefix = f"{k}."
                mine = {n.removeprefix(prefix): a for n, a in arrays.items() if n.startswith(prefix)}
                opened.runs[name] = dict(own), mine
        except (AttributeError, TypeError, ValueError) as error:
            raise refuse(f"the checkpoint {path} is damaged", _ANOTHER) from error
        return opened

    def save(self, name: str, run: Saved) -> None:
        """Writes the file with `run` under `name`. Raises :class:`CheckpointError`."""
        self.runs[name] = run
        if self.hosts.first:
            if name == ONLY:
                save(self.path, *run)
            else:
                runs = sorted(self.runs.items())
                arrays = {f"{k}.{n}": a for k, (_, (_, own)) in enumerate(runs) for n, a in own.items()}
                save(self.path, {"runs": {n: header for n, (header, _) in runs}}, arrays)
        self.saved_at = time.monotonic()


@dataclass(frozen=True, slots=True)
class RunFile:
    """One run of a checkpoint. `mark` tells it from fits of other models or data: log weights at the first start."""

    checkpoint: Checkpoint
    name: str
    settings: Settings
    mark: Floats

    def save_if_due(self, run: Run, seconds: float) -> None:
        if time.monotonic() - self.checkpoint.saved_at >= EVERY:
            self.save(run, seconds)

    def save(self, run: Run, seconds: float) -> None:
        header = {
            "settings": asdict(self.settings),
            "seconds": seconds,
            **{name: getattr(run, name) for name in _FIELDS},
        }
        self.checkpoint.save(self.name, (header, {"mark": self.mark, **_arrays(run)}))

    def load(self, first: Run) -> tuple[Run, float] | None:
        """The saved run and the seconds spent on it, None if there is none. `first` is this fit's run before its first
        step. Raises :class:`CheckpointError` if the file is of another fit."""
        if self.name not in self.checkpoint.runs:
            return None
        header, arrays = self.checkpoint.runs[self.name]
        path, now = self.checkpoint.path, asdict(self.settings)
        old = {**asdict(Settings()), **BEFORE, **_settings_of(header)}
        if old.keys() - now.keys():
            raise refuse(f"the checkpoint {path} was made by a later version", _ANOTHER)
        differing = ", ".join(f"{k} {old[k]} (now {v})" for k, v in now.items() if old[k] != v)
        if differing:
            raise refuse(f"the checkpoint {path} was made with {differing}", _ANOTHER)
        try:
            same = np.allclose(arrays["mark"], self.mark, rtol=1e-4, equal_nan=True)
            run, seconds = _run(header, arrays, first), float(header["seconds"])
        except (KeyError, ValueError, TypeError) as error:
            raise refuse(f"the checkpoint {path} belongs to another model, or it is damaged", _ANOTHER) from error
        if not same:
            raise refuse(f"the checkpoint {path} belongs to another model or other data", _ANOTHER)
        return run, seconds


def _settings_of(header: dict[str, Any]) -> dict[str, Any]:
    """The settings in a file: not all of today's, if an earlier version wrote it."""
    found = header.get("settings")
    return dict(found) if isinstance(found, dict) else {}


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
        **_scalars(header),
    )


def _scalars(header: dict[str, Any]) -> dict[str, Any]:
    """The numbers of a run; those that a version did not know yet have the value before the first step."""
    known = {f.name: f.default for f in dataclasses.fields(Run)}
    out = {name: header[name] if name in header or name == "lr" else known[name] for name in _FIELDS}
    numbers = {k: v for k, v in out.items() if k != "phase" and not (k == "converged_at" and v is None)}
    if out["phase"] not in PHASES or not all(isinstance(v, int | float) for v in numbers.values()):
        raise ValueError("not the numbers of a run")
    return out
