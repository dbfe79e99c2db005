"""What a model of several modalities does otherwise: its module, its fits, data of new cohorts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from scvi import REGISTRY_KEYS

from domainvi.data import (
    MODALITIES,
    PreparedAnnData,
    check_likelihood,
    describe_matrix,
    genes_by_modality,
)
from domainvi.errors import InputError
from domainvi.linear import TrainingRows, subsample
from domainvi.module import DomainVAE, MultimodalVAE
from domainvi.nn import inner_name
from domainvi.train import (
    extend_statistics,
    initialise,
    log_rows,
    set_library,
)

from ._codes import codes
from ._mudata import MuDataMixin
from ._patterns import PatternMixin
from ._prepared import check_scale

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from domainvi.module import ScalingTables


class MultimodalMixin(MuDataMixin, PatternMixin):
    """Each step by modality, where a model has several; otherwise the step as it is."""

    def _sizes(self) -> dict[str, int]:
        genes = genes_by_modality(self.genes, self.modalities)
        return {name: len(own) for name, own in genes.items()}

    def _resolve_likelihood(self, matrix: Any, likelihood: Any) -> Any:
        """Choose a likelihood by the values; one for each modality where there are several."""
        if len(self.modalities) < 2:
            return check_likelihood(describe_matrix(matrix), likelihood)
        names = self.modalities
        asked = likelihood if isinstance(likelihood, dict) else dict.fromkeys(names, likelihood)
        if set(asked) != set(names):
            msg = f"likelihood names {', '.join(asked)}, and the modalities are {', '.join(names)}."
            raise InputError(msg)
        stops = np.cumsum([0, *self._sizes().values()])
        blocks = [matrix[:, a:b] for a, b in zip(stops[:-1], stops[1:], strict=True)]
        return {
            name: check_likelihood(describe_matrix(block), asked[name])
            for name, block in zip(names, blocks, strict=True)
        }

    def _build_module(self, n_input: int, **parameters: Any) -> DomainVAE:
        if len(self.modalities) < 2:
            return DomainVAE(n_input, **parameters)
        return MultimodalVAE(self._sizes(), **parameters)

    def _fit_scaling(self, work: PreparedAnnData, is_source: NDArray[np.bool_]) -> None:
        """Fit scaling and linear members of each modality to the rows that have it."""
        joint = self._joint
        if joint is None:
            super()._fit_scaling(work, is_source)
            return
        domain, label = codes(work.manager, REGISTRY_KEYS.BATCH_KEY), self._labels(work)
        order = work.order
        priors, agreements = [], []
        for _, module, part, has in parts_of(joint, work):
            own = order[has[order]]
            drawn = own[subsample(domain[own], label[own], self.seed)]
            set_library(module, part, drawn)
            x = log_rows(module, part, drawn)
            rows = TrainingRows(x, domain[drawn], label[drawn], is_source, len(self.classes))
            # A modality without labelled rows of a source has nothing to fit members to.
            taught = bool((rows.in_source & rows.labelled).any())
            anchor = initialise(module, rows, self.scaling if taught else "domain")
            if anchor is not None:
                priors.append(module.log_prior)
                agreements += [] if anchor.agreement is None else [anchor.agreement]
        if priors:
            joint.log_prior.copy_(torch.stack(priors).mean(dim=0))
        joint.set_linear_members(joint.linear.n_members)
        joint.alignment.is_source.copy_(torch.from_numpy(is_source))
        self.agreement_ = float(np.mean(agreements)) if agreements else None
        self.is_scaled_ = True

    def _scaling_tables(self, work: PreparedAnnData) -> Any:
        """Make tables of each modality for rows that the stored ones do not serve."""
        joint = self._joint
        if joint is None:
            return super()._scaling_tables(work)
        domain = codes(work.manager, REGISTRY_KEYS.BATCH_KEY)
        n_known = len(self.domains)
        if domain.max(initial=0) < n_known and work.gene_mask.all():
            return None
        levels = work.manager.get_state_registry(REGISTRY_KEYS.BATCH_KEY).categorical_mapping
        tables: dict[str, ScalingTables] = {}
        notes: dict[str, list[str]] = {}
        for name, module, part, has in parts_of(joint, work):
            if not has.any():
                continue
            own = np.where(has, domain, 0)
            tables[name], said = extend_statistics(module, part, own)
            for d in np.unique(own[own >= n_known]):
                notes.setdefault(str(levels[d]), []).append(f"{name}: {said[d - n_known]}")
        work.scaling_notes |= {cohort: "; ".join(said) for cohort, said in notes.items()}
        return tables

    def _check_query_values(self, matrix: Any) -> None:
        joint = self._joint
        if joint is None:
            super()._check_query_values(matrix)
            return
        for name, block in joint.blocks.items():
            part = joint.parts[name]
            check_scale(describe_matrix(matrix[:, block]), self.likelihood[name], part)

    def _n_missing_genes(self, work: PreparedAnnData) -> int:
        """Genes that are missing from modalities that some row has."""
        joint = self._joint
        if joint is None:
            return super()._n_missing_genes(work)
        is_there = np.asarray(work.obsm[MODALITIES]).max(axis=0, initial=0) > 0
        masks = [work.gene_mask[block] for block in joint.blocks.values()]
        return sum(int((~m).sum()) for m, there in zip(masks, is_there, strict=True) if there)

    def _make_room(self, metadata: dict[str, Any], tensors: dict[str, Any]) -> None:
        joint = self._joint
        for name, part in ({} if joint is None else joint.parts).items():
            part.set_linear_members(len(tensors[f"module.parts.{inner_name(name)}.linear.weight"]))
        super()._make_room(metadata, tensors)

    def _summary(self, work: PreparedAnnData) -> dict[str, Any]:
        summary, joint = super()._summary(work), self._joint
        if joint is not None:
            rows = np.asarray(work.obsm[MODALITIES]).sum(axis=0).astype(int)
            summary["modalities"] = {
                name: {"genes_matched": int(work.gene_mask[block].sum()), "rows": int(n)}
                for (name, block), n in zip(joint.blocks.items(), rows, strict=True)
            }
        return summary


def parts_of(
    joint: MultimodalVAE, work: PreparedAnnData
) -> Iterator[tuple[str, DomainVAE, PreparedAnnData, NDArray[np.bool_]]]:
    """Yield for each modality its name, module, columns, and which rows have it."""
    for i, (name, block) in enumerate(joint.blocks.items()):
        part = PreparedAnnData(X=work.X[:, block], obs=work.obs[[]])
        part.manager, part.gene_mask = work.manager, work.gene_mask[block]
        yield name, joint.parts[name], part, np.asarray(work.obsm[MODALITIES])[:, i] > 0
