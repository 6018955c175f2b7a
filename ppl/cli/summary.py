"""``pplc summary``: the posterior table of what was saved."""

from __future__ import annotations

import argparse
import json

from ppl.cli.console import put
from ppl.cli.main import FINE
from ppl.cli.saved import open_saved


def summary(options: argparse.Namespace) -> int:
    from ppl.cli.posterior import posterior_report
    from ppl.cli.sampling import sampling_report
    from ppl.infer import Fit

    saved = open_saved(options.fit)
    if options.json:
        put(json.dumps(saved.to_json(), sort_keys=True, allow_nan=False) + "\n")
    else:
        put((posterior_report(saved) if isinstance(saved, Fit) else sampling_report(saved)) + "\n")
    return FINE
