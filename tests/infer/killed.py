"""One fit in a process of its own, to be killed: ``python killed.py CHECKPOINT OUT``. Says "compiled" when it steps."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from ppl.infer import Progress, fit, saved_run
from tests.infer.stand_in import change_point

COUNT = [4, 5, 4, 6, 3, 4, 5, 1, 0, 1, 2, 0, 1, 1]


def main(checkpoint: str, out: str) -> None:
    saved_run.EVERY = 0.0  # save after every chunk, so that kills meet writes

    def progress(at: Progress) -> None:
        print(f"step {at.step}", flush=True)

    result = fit(change_point(COUNT), starts=2, seed=5, checkpoint=checkpoint, resume=True, progress=progress)
    whole = {**result.to_json(), "trace": result.trace.tolist()}
    Path(out).write_text(json.dumps({k: v for k, v in whole.items() if k != "seconds"}, sort_keys=True))


if __name__ == "__main__":
    main(*sys.argv[1:])
