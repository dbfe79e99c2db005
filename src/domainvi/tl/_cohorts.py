"""Code the user's cohorts once, for every trial of a benchmark."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from anndata import AnnData

from domainvi.data import (
    clean_names,
    describe_matrix,
    in_memory,
    is_number_column,
    prepare_values,
    select_matrix,
)
from domainvi.errors import InputError

from ._baselines import TransferData
from ._protocols import Protocol, Rows, Trial, cross_validation, label_budget, leave_one_domain_out

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

logger = logging.getLogger(__name__)


class Cohorts:
    """The user's data, coded once for every trial.

    A numeric phenotype has one class, that of the rows with a value, and its numbers in ``value``.
    With ``main_key`` the phenotype is one beside that of ``main_key``, as it is to DomainVI.
    """

    def __init__(
        self,
        adata: AnnData,
        batch_key: str,
        labels_key: str,
        unlabeled_category: str,
        groups: str | None,
        layer: str | None,
        main_key: str | None,
    ) -> None:
        self.matrix = in_memory(select_matrix(adata, layer))
        self.var_names = adata.var_names
        self.unlabeled_category = unlabeled_category
        self.is_number = is_number_column(adata.obs[labels_key])
        if self.is_number:
            self.value = adata.obs[labels_key].to_numpy(dtype=np.float64, na_value=np.nan)
            label = pd.Series(labels_key, adata.obs_names).where(~np.isnan(self.value))
        else:
            label = (
                clean_names(adata.obs[labels_key])
                .astype("string")
                .replace({unlabeled_category: pd.NA})
            )
        label_codes, classes = pd.factorize(label, sort=True)
        domain_codes, domains = pd.factorize(
            clean_names(adata.obs[batch_key], missing=False).astype("string"), sort=True
        )
        self.classes = [str(name) for name in classes]
        self.domains = [str(name) for name in domains]
        self.rows = Rows(
            domain_codes.astype(np.int64),
            label_codes.astype(np.int64),
            _group_codes(adata.obs, groups),
        )
        self.counts = describe_matrix(self.matrix).kind == "counts"
        main = None if main_key is None else adata.obs[main_key].astype("string")
        self.main = None if main is None else main.to_numpy(dtype=object)

    def trials(
        self, protocol: Protocol, budgets: Sequence[int], n_splits: int, seed: int
    ) -> Iterator[Trial]:
        """Partings of the rows in which there is something to learn and to score."""
        if protocol == "cross_validation":
            trials = cross_validation(self.rows, n_splits, seed)
        elif protocol == "label_budget":
            trials = label_budget(self.rows, self.domains, budgets, seed)
        else:
            trials = leave_one_domain_out(self.rows, self.domains)
        for trial in trials:
            if trial.is_useful:
                yield trial
            else:
                logger.warning("Nothing to score in %s; it is left out.", trial.held_out)

    def visible_labels(self, trial: Trial) -> NDArray[np.int64]:
        """Codes of the used rows, -1 where the label is hidden."""
        return np.where(trial.shown, self.rows.label, -1)[trial.used]

    def arrays(self, trial: Trial) -> TransferData:
        """Return the used rows as the classical methods take them."""
        domain = self.rows.domain[trial.used]
        return TransferData(
            x=prepare_values(self.matrix[trial.used], domain, counts=self.counts),
            domain=domain,
            label=self.visible_labels(trial),
            is_source=trial.is_source[trial.used],
            n_classes=len(self.classes),
        )

    def anndata(self, trial: Trial) -> AnnData:
        """Return the used rows as DomainVI takes them: ``domain``, ``label``, maybe ``target``."""
        obs = {"domain": np.array(self.domains, dtype=object)[self.rows.domain[trial.used]]}
        if self.is_number:
            scored = self.visible_values(trial)
        else:
            names = np.array([*self.classes, self.unlabeled_category], dtype=object)
            scored = names[self.visible_labels(trial)]
        if self.main is None:
            obs["label"] = scored
        else:
            is_open = (trial.is_source | trial.shown)[trial.used]
            obs["label"] = np.where(is_open, self.main[trial.used], self.unlabeled_category)
            obs["target"] = scored
        frame = pd.DataFrame(obs, index=np.flatnonzero(trial.used).astype(str))
        return AnnData(self.matrix[trial.used], obs=frame, var=pd.DataFrame(index=self.var_names))

    def visible_values(self, trial: Trial) -> NDArray[np.float64]:
        """Numbers of the used rows, NaN where they are hidden."""
        return np.where(trial.shown, self.value, np.nan)[trial.used]


def _group_codes(obs: pd.DataFrame, key: str | None) -> NDArray[np.int64]:
    """Codes of the groups; a row without one is a group of its own."""
    if key is None:
        return np.arange(len(obs))
    if key not in obs:
        msg = f"groups={key!r} is not a column of adata.obs: {', '.join(map(str, obs.columns))}."
        raise InputError(msg)
    codes, names = pd.factorize(obs[key])
    return np.where(codes < 0, len(names) + np.arange(len(obs)), codes).astype(np.int64)
