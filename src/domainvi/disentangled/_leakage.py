"""Leakage: how much each subspace knows of each factor, by fresh probes."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import pandas as pd

from domainvi.metrics import FactorProbe, factor_probe, joint_probe, rows_to_probe

from ._encode import encode, registered_values, units_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Literal

    import numpy as np
    from numpy.typing import NDArray

    from domainvi.data import PreparedAnnData

    from ._factors import Factor
    from ._module import DisentangledVAE

# A level that is held out has to leave something to learn from.
MIN_HELD_OUT = 5
STRATIFIED = "stratified"
# What is found of a factor that does not vary.
NAN = float("nan")
NOTHING = FactorProbe(NAN, NAN, NAN, NAN, NAN, n_rows=0)


def leakage(
    module: DisentangledVAE,
    prepared: PreparedAnnData,
    probe: Literal["linear", "boosting"],
    n_permutations: int,
    seed: int,
) -> pd.DataFrame:
    """Probe every subspace for every factor, and all of them for each other."""
    values, mean = registered_values(prepared), encode(module, prepared).mean
    factors, blocks = module.factors, module.independence.blocks
    codes = [f.codes(values[:, k]) for k, f in enumerate(factors)]
    z = {s: mean[:, units_of(module, s)] for s in module.sizes}
    rows: list[dict[str, object]] = []
    for name in module.sizes:
        for k, factor in enumerate(factors):
            own = factor.group == name
            shared = None if own else blocks.condition(name, k)
            y = values[:, k] if factor.is_numeric else codes[k]
            found, held = NOTHING, None
            if len(rows_to_probe(y, numeric=factor.is_numeric)):
                held = held_out_factor(factors, codes, k) if own else None
                found = factor_probe(
                    z[name],
                    y,
                    numeric=factor.is_numeric,
                    strata=None if shared is None else codes[shared],
                    held_out=None if held is None else codes[held],
                    probe=probe,
                    n_permutations=n_permutations,
                    seed=seed,
                )
            rows.append(
                {
                    "subspace": name,
                    "factor": factor.name,
                    "own": own,
                    "metric": "r2" if factor.is_numeric else "balanced accuracy",
                    **asdict(found),
                    "folds": STRATIFIED if held is None else factors[held].name,
                }
            )
    shared = blocks.confounded[0][0] if blocks.confounded else None
    found = joint_probe(
        [z[g] for g in module.groups],
        None if shared is None else codes[shared],
        n_permutations=min(n_permutations, 5),
        seed=seed,
    )
    of_all = {"subspace": "joint", "factor": "shuffled", "own": False, "metric": "auc"}
    rows.append({**of_all, **asdict(found), "folds": STRATIFIED})
    return pd.DataFrame(rows)


def held_out_factor(
    factors: Sequence[Factor], codes: Sequence[NDArray[np.int64]], factor: int
) -> int | None:
    """Factor of another group whose levels can be held out to predict this one."""
    for k, other in enumerate(factors):
        known = (codes[k] >= 0) & (codes[factor] >= 0)
        if other.group == factors[factor].group or other.is_numeric or not known.all():
            continue
        table = pd.crosstab(codes[factor], codes[k])
        if ((table >= MIN_HELD_OUT).sum(axis=1) >= 2).all():
            return k
    return None
