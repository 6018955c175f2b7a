"""Fits on several devices, of which jax has to know before it starts: ``python on_devices.py OUT`` in a process of its
own writes, as JSON, what the tests in test_devices.py compare."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, PartitionSpec

import ppl
from ppl.infer import fit
from ppl.infer.devices import share
from tests.infer.stand_in import change_point

COUNT = [4, 5, 4, 6, 3, 4, 5, 1, 0, 1, 2, 0, 1, 1]
PROGRAM = """
data y: real[8] = [0.1, 0.4, -0.2, 1.4, 0.9, 1.2, 1.1, 0.8]
cut ~ Uniform(0, 8)
level: real[2] ~ Normal(0, 1)
for i in 0..8 {
    observe y[i] ~ Normal(if i < cut then level[0] else level[1], 0.5)
}
"""


def fitted(**options: Any) -> dict[str, Any]:
    result = fit(change_point(COUNT), starts=4, seed=5, **options)
    return {"devices": result.devices, "trace": result.trace.tolist(), **result.to_json()}


def whole_and_shared(**options: Any) -> list[list[float]]:
    """Value and gradient of 8 samples on one device, and their means over four that have two each."""
    problem = ppl.compile(PROGRAM).bind()
    params, key = problem.init_params(), jax.random.key(3)
    mesh = Mesh(np.array(jax.devices()), ("samples",))

    def shared(*args: Any) -> Any:
        part: Callable[..., Any] = problem.elbo_and_grad(samples=8, samples_axis="samples", **options)
        return jax.lax.pmean(part(*args), "samples")

    everywhere = PartitionSpec()
    over = jax.shard_map(shared, mesh=mesh, in_specs=everywhere, out_specs=everywhere, check_vma=False)
    found = problem.elbo_and_grad(samples=8, **options)(params, key), jax.jit(over)(params, key)
    return [np.concatenate([np.ravel(x) for x in jax.tree.leaves(f)]).tolist() for f in found]


def main(out: str) -> None:
    jax.config.update("jax_enable_x64", True)
    assert jax.device_count() == 4
    found: dict[str, Any] = {
        "one": fitted(devices=1),
        "four": fitted(),
        "split": {str(s): (d := share(None, *s)) and [*d.mesh.devices.shape, d.idle]
                  for s in ((16, 2), (4, 3), (2, 2), (1, 8), (3, 1), (1, 1), (6, 5), (5, 6))},
    }  # fmt: skip
    with jax.default_device(jax.devices()[1]):
        found["default"] = share(None, 16, 2) is None
    for asked in (5, []):
        try:
            share(asked, 16, 2)
        except ppl.PplError as error:
            found.setdefault("refused", []).append([error.diagnostics[0].code, error.diagnostics[0].message])
    path = Path(out).parent / "run.ckpt"
    fitted(steps=150, checkpoint=path)
    found["resumed"] = fitted(devices=jax.devices()[2:3], steps=300, checkpoint=path, resume=True)
    found["gradient"] = whole_and_shared(noise="qmc", minibatch=3, marginalise=False)
    Path(out).write_text(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
