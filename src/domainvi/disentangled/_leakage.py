"""How much each subspace knows of each factor."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from domainvi.metrics import FactorProbe, factor_probe, joint_probe, rows_to_probe

from ._subspaces import SubspaceMixin

if TYPE_CHECKING:
    from typing import Literal

    import numpy as np
    from anndata import AnnData
    from numpy.typing import NDArray

    from domainvi.data import Factor


# A level that is held out has to leave something to learn from.
MIN_HELD_OUT = 5
# What is found of a factor that does not vary.
NAN = float("nan")
NOTHING = FactorProbe(NAN, NAN, NAN, NAN, NAN, n_rows=0)


class LeakageMixin(SubspaceMixin):
    """``get_leakage``."""

    def get_leakage(
        self,
        adata: AnnData | None = None,
        probe: Literal["linear", "boosting"] = "linear",
        n_permutations: int = 20,
        seed: int = 0,
    ) -> pd.DataFrame:
        """Probe every subspace for every factor.

        Fresh probes, trained to convergence and cross-fitted, never the heads of training. A
        subspace's own factors are predicted on held-out levels of the first factor of another
        group (a platform or study that the probe has not seen), where every level of the factor
        occurs in two of these or more; otherwise, and for factors of other groups, on stratified
        folds. Where a factor of another group is confounded with one of the subspace, chance is
        what that one tells of it: the permutations are within its levels.

        Parameters
        ----------
        adata
            Rows with the columns of the factors; the model's own data if ``None``.
        probe
            ``"linear"`` (logistic or ridge regression) or ``"boosting"`` (gradient boosted trees).
        n_permutations
            Permutations; 0 leaves chance and p-values empty.
        seed
            Of folds, permutations and bootstrap.

        Returns
        -------
        One row a subspace and factor, and one with subspace ``"joint"``: the AUC of telling rows
        from rows whose subspaces were shuffled, within strata where groups are confounded. Columns:
        ``subspace``, ``factor``, ``own`` (whether the factor belongs to the subspace), ``metric``
        (``"balanced accuracy"``, ``"r2"`` or ``"auc"``), ``score``, ``chance``, ``p_value``,
        ``low`` and ``high`` (95 %), ``n_rows``, ``folds`` (``"stratified"`` or the factor whose
        levels were held out). A factor of which the rows have a single level has NaN and 0 rows.

        Raises
        ------
        NotTrainedError
            Before :meth:`train`.

        Examples
        --------
        >>> import domainvi as dv
        >>> adata = dv.data.synthetic_factors(n_obs=120, n_genes=30, seed=1)
        >>> groups = {"biological": ["tissue"], "technical": ["platform"]}
        >>> dv.DisentangledVI.setup_anndata(adata, factor_groups=groups)
        >>> model = dv.DisentangledVI(adata)
        >>> model.train(max_epochs=1, enable_progress_bar=False)
        >>> table = model.get_leakage(adata, n_permutations=0)
        >>> {"subspace", "factor", "own", "score", "chance"} <= set(table)
        True
        """
        work = self._validate_anndata(adata)
        values = self._values(work)
        codes = [f.codes(values[:, k]) for k, f in enumerate(self.factors)]
        mean = self._encode(work).mean
        z = {s: mean[:, self._columns_of(s)] for s in self.subspaces}
        blocks = self.module.alignment.blocks
        rows = []
        for name in self.subspaces:
            for k, factor in enumerate(self.factors):
                own = factor.group == name
                held = self._held_out(k, codes) if own else None
                shared = None if own else blocks.condition(name, k)
                y = values[:, k] if factor.is_numeric else codes[k]
                metric = "r2" if factor.is_numeric else "balanced accuracy"
                if not len(rows_to_probe(y, numeric=factor.is_numeric)):
                    rows.append(_row(name, factor, own, metric, NOTHING, "stratified"))
                    continue
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
                folds = "stratified" if held is None else self.factors[held].name
                rows.append(_row(name, factor, own, metric, found, folds))
        shared = blocks.confounded[0][0] if blocks.confounded else None
        found = joint_probe(
            [z[g] for g in self.groups],
            None if shared is None else codes[shared],
            n_permutations=min(n_permutations, 5),
            seed=seed,
        )
        rows.append(_row("joint", None, False, "auc", found, "stratified"))
        return pd.DataFrame(rows)

    def _held_out(self, factor: int, codes: list[NDArray[np.int64]]) -> int | None:
        """Factor of another group whose levels can be held out to predict this one."""
        group = self.factors[factor].group
        for k, other in enumerate(self.factors):
            known = (codes[k] >= 0) & (codes[factor] >= 0)
            if other.group == group or other.is_numeric or not known.all():
                continue
            table = pd.crosstab(codes[factor], codes[k])
            if ((table >= MIN_HELD_OUT).sum(axis=1) >= 2).all():
                return k
        return None


def _row(
    subspace: str, factor: Factor | None, own: bool, metric: str, found: FactorProbe, folds: str
) -> dict[str, object]:
    return {
        "subspace": subspace,
        "factor": "shuffled" if factor is None else factor.name,
        "own": own,
        "metric": metric,
        "score": found.score,
        "chance": found.chance,
        "p_value": found.p_value,
        "low": found.low,
        "high": found.high,
        "n_rows": found.n_rows,
        "folds": folds,
    }
