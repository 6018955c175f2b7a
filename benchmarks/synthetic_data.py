"""The data of the programs whose data are synthetic: ``python benchmarks/synthetic_data.py`` rewrites them.

`benefit`: 24 couples. True incomes in thousands are lognormal (medians 20 and 12, sigma 0.5), reported with a relative
error of about 20%; couples under the limit of 34 get the benefit with probability 0.7, others with 0.04. Seed 7.

`discount`: 30 prices from 1 to 3 yearly savings of an appliance that lasts three years. The household discounts at
0.2 a year and errs in one choice out of twenty. Seed 3.
"""

from __future__ import annotations

import json

import numpy as np
from reference_posteriors import ROOT

LIMIT, COUPLES = 34.0, 24
RATE, OFFERS = 0.2, 30


def benefit(seed: int = 7) -> dict[str, object]:
    rng = np.random.default_rng(seed)
    true = np.exp(np.log([20.0, 12.0]) + 0.5 * rng.standard_normal((COUPLES, 2)))
    reported = true * np.exp(0.2 * rng.standard_normal((COUPLES, 2)))
    chance = np.where(true.sum(axis=1) < LIMIT, 0.7, 0.04)
    receives = rng.random(COUPLES) < chance
    return {
        "source": "Synthetic: benchmarks/synthetic_data.py, seed 7; 24 couples, of the entitled 0.7 get the benefit, "
        "of the others 0.04",
        "n": COUPLES,
        "limit": LIMIT,
        "his": [float(v) for v in np.round(reported[:, 0], 1)],
        "hers": [float(v) for v in np.round(reported[:, 1], 1)],
        "receives": [int(v) for v in receives],
    }


def discount(seed: int = 3) -> dict[str, object]:
    rng = np.random.default_rng(seed)
    price = np.round(rng.uniform(1.0, 3.0, OFFERS), 2)
    worth = np.sum(np.exp(-RATE * np.arange(1, 4)))
    bought = (worth > price) ^ (rng.random(OFFERS) < 0.05)
    return {
        "source": "Synthetic: benchmarks/synthetic_data.py, seed 3; 30 choices at a discount rate of 0.2, one in "
        "twenty an error",
        "n": OFFERS,
        "price": [float(v) for v in price],
        "bought": [int(v) for v in bought],
    }


def write(name: str, fields: dict[str, object]) -> None:
    """One field a line, arrays twelve numbers a line, like the other data files."""

    def array(values: list[object]) -> str:
        lines = [", ".join(json.dumps(v) for v in values[i : i + 12]) for i in range(0, len(values), 12)]
        return "[\n  " + ",\n  ".join(lines) + "\n ]"

    text = [f" {json.dumps(k)}: {array(v) if isinstance(v, list) else json.dumps(v)}" for k, v in fields.items()]
    (ROOT / "programs" / f"{name}.data.json").write_text("{\n" + ",\n".join(text) + "\n}\n")


if __name__ == "__main__":
    write("benefit", benefit())
    write("discount", discount())
