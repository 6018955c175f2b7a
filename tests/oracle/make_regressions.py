"""Writes the exact values of the programs in ``regressions/`` and ``kinds/`` that their ``values.json`` lack.

python tests/oracle/make_regressions.py
"""

from __future__ import annotations

import json
import pathlib
import sys
import zlib
from typing import Any

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1])]

from density import Guide, random_guide, read  # noqa: E402
from exact import exact  # noqa: E402
from interpreter import sites  # noqa: E402

DATA: dict[str, dict[str, Any]] = {
    "equal_thresholds_under_data": {"y": [0.2, 0.4, 0.4, 0.4], "d": [1, 0, 1, 0]},
    "index_beyond_array_by_outcome": {"d": [1, 1, 0, 1], "y": [0.2, 0.5, 0.1, 0.5]},
    "index_beyond_array_of_size": {"n": 3, "y": [0.2, 0.5, 0.1]},
    "index_beyond_array_by_count": {"n": 3, "y": [0.2, 0.5, 0.4], "ev": [1, 1, 0]},
    "element_at_data_of_array": {"y": [0.2, 0.5, 0.4], "f": [1, 2, 0]},
    "unreached_by_state_of_data": {"n": 3, "y": [0.2, 0.5, 0.4], "f": [1, 2, 0]},
    "imputed_against_pieces": {"y": [0.3, 0.9, 1.4], "miss": [0, 1, 0]},
    "ratio_of_choices": {"d": [0, 1, 0, 1], "y": [0.2, 1.0, 0.4, -0.3]},
    "element_at_made_index": {"n": 4, "y": [0.2, 0.5, 0.4, 0.9], "group": [1, 2, 2, 1]},
    "state_at_made_index": {"n": 4, "group": [2, 1, 2, 2]},
    "nest_counts_within": {"n": 3, "d": [1, 0, 2]},
    "toggles_under_data": {"d": [1, 0, 1, 1, 0]},
    "drawn_at_made_index": {"k": [2, 1, 0]},
    "chosen_among_three": {"d": [1, 2, 0, 1], "y": [0.2, 0.5, 0.1, 0.5]},
    "later_thresholds_under_data": {"y": [0.2, 1.0, 0.4, -0.3]},
    "bounds_in_branch": {"n": 2, "t": [0.3, 1.2]},
    "first_state_is_an_outcome": {"n": 2, "t": [0.3, 1.2]},
    "first_state_reads_latents": {"n": 2, "t": [0.3, 1.2]},
    "modes_read_outer_variable": {"n": 2, "t": [0.3, 1.2]},
    "threshold_at_random_index": {"n": 3, "t": [0.2, -0.4, 0.7]},
    "state_in_branch": {"n": 2, "t": [0.3, 1.2]},
    "state_reads_outer_variable": {"n": 2, "t": [0.3, 1.2]},
    "bounds_with_data_branch": {"k": 1},
    "branch_of_integrated_guard": {"n": 2, "t": [0.3, 1.2]},
    "guard_in_branch_of_loop": {"n": 3, "t": [-0.4, 0.2, 0.9]},
    "loop_in_branch": {"n": 3, "t": [0.3, 1.2, -0.5]},
    "guard_read_in_local_slice": {"n": 2, "t": [-0.3, 0.4]},
    "touching_root_of_data": {"e": 0.0},
    "odd_power_of_data": {"n": 2, "c": [0.1, -0.8]},
    "odd_power_times_curve": {"c": 0.1},
    "powers_of_two_factors": {"c": [0.5, -0.8]},
    "roots_of_elements": {"n": 2, "t": [0.1, 0.7]},
    "touching_pole_of_elements": {"n": 2},
    "no_slope_by_data": {"c": 0.0},
    "neighbours_by_data": {"d": [0, 1, 0, 0]},
    "neighbours_before": {"d": [0, 1, 0, 0, 0]},
    "chosen_by_data": {"d": [0, 1, 2, 1], "y": [0.2, 1.0, 0.4, -0.3]},
    "shocks_carried_beside_sum": {"n": 4, "a": [0.5, 0.2, 0.9, 0.4]},
    "records": {"n": 3, "y": [1, 0, 1]},
    "rates_of_vector": {"y": [1, 2]},
    "checked_in_one_loop": {"n": 2},
    "poles_in_pole": {"c": 0.0},
    "state_of_angles": {"c": 0.0},
    "mate_outside_slice": {"n": 2, "t": [0.59, -0.2]},
}


def entry(path: pathlib.Path) -> dict[str, Any]:
    name = path.stem
    module, data = read(path.read_text()), DATA.get(name, {})
    guide: Guide = random_guide(sites(module, data), zlib.crc32(name.encode()))
    truth = exact(module, data, guide, lines=2048, seed=1)
    return {
        "data": data,
        "loc": {k: v.tolist() for k, v in guide.loc.items()},
        "log_scale": {k: v.tolist() for k, v in guide.log_scale.items()},
        **(
            {"logits": {k: v.tolist() for k, v in guide.logits.items()}, "binary": sorted(guide.binary)}
            if guide.logits
            else {}
        ),
        "elbo": truth.elbo,
        "grad_loc": {k: [x.tolist() for x in v] for k, v in truth.loc.items()},
        "grad_log_scale": {k: [x.tolist() for x in v] for k, v in truth.log_scale.items()},
        **({"grad_logits": {k: [x.tolist() for x in v] for k, v in truth.logits.items()}} if guide.logits else {}),
    }


def main() -> None:
    for folder in ("regressions", "kinds"):
        table = HERE / folder / "values.json"
        values = json.loads(table.read_text()) if table.exists() else {}
        for path in sorted((HERE / folder).glob("*.ppl")):
            if path.stem not in values:
                values[path.stem] = entry(path)
        table.write_text(json.dumps(dict(sorted(values.items())), indent=1) + "\n")


if __name__ == "__main__":
    main()
