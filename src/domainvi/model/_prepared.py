"""How a model reaches data: through its own prepared object, never through the user's."""

from __future__ import annotations

import warnings
import weakref
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from anndata import AnnData
from mudata import MuData
from scvi import REGISTRY_KEYS
from scvi.data.fields import (
    CategoricalJointObsField,
    CategoricalObsField,
    LabelsWithUnlabeledObsField,
    LayerField,
    NumericalJointObsField,
    NumericalObsField,
    ObsmField,
)

from domainvi._compat import FIELD_REGISTRIES_KEY, SETUP_ARGS_KEY, STATE_REGISTRY_KEY
from domainvi._fork import refuse_dangerous_fork
from domainvi.data import (
    LARGEST_LOG_VALUE,
    MODALITIES,
    Columns,
    PreparedAnnData,
    PreparedManager,
    check_likelihood,
    check_setup,
    check_unchanged,
    describe_matrix,
    flatten,
    genes_by_modality,
    prepare,
    select_matrix,
)
from domainvi.errors import InputError
from domainvi.module import EXTRA_DOMAINS_KEY

from ._state import ModelState
from ._targets import registered_targets, target_field

if TYPE_CHECKING:
    from scvi.data import AnnDataManager

    from domainvi.data import MatrixSummary, Target
    from domainvi.module import DomainVAE


def columns_of(setup_args: dict[str, Any]) -> Columns:
    """Columns as the arguments of ``setup_anndata`` name them."""
    batch = setup_args["batch_key"]
    return Columns(
        batch_keys=(batch,) if isinstance(batch, str) else tuple(batch),
        labels_key=setup_args["labels_key"],
        unlabeled_category=setup_args["unlabeled_category"],
        layer=setup_args["layer"],
        size_factor_key=setup_args["size_factor_key"],
        categorical_covariate_keys=tuple(setup_args["categorical_covariate_keys"] or ()),
        continuous_covariate_keys=tuple(setup_args["continuous_covariate_keys"] or ()),
        # Models that were saved before there were targets have no such entry.
        target_keys=tuple(setup_args.get("target_keys") or ()),
    )


class MaskField(ObsmField):
    """Which modalities a row has; without a line in the log for each object."""

    def _setup_column_names(self, adata: AnnData) -> list[str]:
        return list(adata.obsm[self.attr_key].columns)


def register(
    work: PreparedAnnData,
    columns: Columns,
    setup_method_args: dict[str, Any],
    source_registry: dict[str, Any] | None = None,
    **transfer: Any,
) -> AnnDataManager:
    """Register a prepared object with scvi-tools and remember the manager on it."""
    main, *others = columns.batch_keys
    fields = [
        LayerField(REGISTRY_KEYS.X_KEY, None, is_count_data=False),
        CategoricalObsField(REGISTRY_KEYS.BATCH_KEY, main),
        LabelsWithUnlabeledObsField(
            REGISTRY_KEYS.LABELS_KEY, columns.labels_key, columns.unlabeled_category
        ),
        CategoricalJointObsField(EXTRA_DOMAINS_KEY, others),
        NumericalObsField(REGISTRY_KEYS.SIZE_FACTOR_KEY, columns.size_factor_key, required=False),
        CategoricalJointObsField(
            REGISTRY_KEYS.CAT_COVS_KEY, list(columns.categorical_covariate_keys)
        ),
        NumericalJointObsField(
            REGISTRY_KEYS.CONT_COVS_KEY, list(columns.continuous_covariate_keys)
        ),
    ]
    fields += [target_field(work, key, columns.unlabeled_category) for key in columns.target_keys]
    if MODALITIES in work.obsm:
        fields.append(MaskField(MODALITIES, MODALITIES))
    manager = PreparedManager(fields=fields, setup_method_args=setup_method_args)
    with warnings.catch_warnings():
        # What small classes and domains mean was said when the user's object was checked.
        warnings.filterwarnings("ignore", message="Category .* has fewer than 3 cells")
        manager.register_fields(work, source_registry, **transfer)
    work.manager = manager
    return manager


def as_rows(data: AnnData | MuData, registry: dict[str, Any]) -> AnnData:
    """Bring data to one table: an AnnData as it is, a MuData by the modalities of the setup."""
    modalities = registry[SETUP_ARGS_KEY].get(MODALITIES)
    if isinstance(data, AnnData) and (modalities is None or len(modalities) == 1):
        return data
    if modalities is None:
        if isinstance(data, MuData):
            msg = "The model was set up with an AnnData; pass one modality, such as mdata['rna']."
            raise InputError(msg)
        return data
    if len(modalities) == 1:
        return flatten(data, modalities)
    names = registry[FIELD_REGISTRIES_KEY][REGISTRY_KEYS.X_KEY][STATE_REGISTRY_KEY]["column_names"]
    return flatten(data, modalities, genes_by_modality(names, list(modalities)))


def check_scale(summary: MatrixSummary, likelihood: str, module: DomainVAE) -> None:
    """Refuse values on another scale than those of training."""
    typical = float(module.standardiser.loc.max())
    if likelihood == "normal" and typical <= LARGEST_LOG_VALUE < summary.maximum:
        msg = (
            f"The model was trained on log values, typically up to {typical:.3g}, and the "
            f"largest value of adata is {summary.maximum:g}. Log-transform as in training."
        )
        raise InputError(msg)
    check_likelihood(summary, likelihood)


class PreparedDataMixin(ModelState):
    """Answer scvi-tools' questions for data from prepared objects.

    scvi-tools writes codes and identifiers into the user's object and keeps every object that was
    ever set up alive. Here the user's object is only read, and a setup lives as long as the object
    it was made from.
    """

    _setups: ClassVar[dict[tuple[type, int], PreparedAnnData]] = {}

    @classmethod
    def _remember(cls, adata: AnnData | MuData, work: PreparedAnnData) -> None:
        key = (cls, id(adata))
        if key not in cls._setups:
            weakref.finalize(adata, cls._setups.pop, key, None)
        cls._setups[key] = work

    @classmethod
    def _get_most_recent_anndata_manager(
        cls, adata: AnnData, required: bool = False
    ) -> AnnDataManager | None:
        if isinstance(adata, PreparedAnnData):
            return adata.manager
        work = cls._setups.get((cls, id(adata)))
        if work is None and required:
            msg = f"adata is not set up. Call {cls.__name__}.setup_anndata(adata, ...) first."
            raise InputError(msg)
        return None if work is None else work.manager

    def _register_manager_for_instance(self, adata_manager: AnnDataManager) -> None:
        """Do nothing: a prepared object holds its manager."""

    def get_anndata_manager(self, adata: AnnData, required: bool = False) -> AnnDataManager | None:
        """Return the manager of the model's data or of a prepared object."""
        if isinstance(adata, PreparedAnnData):
            return adata.manager
        if adata is not None and adata is self._adata:
            return self._adata_manager
        return self._get_most_recent_anndata_manager(adata, required=required)

    def _validate_anndata(
        self, adata: AnnData | MuData | None = None, copy_if_view: bool = True
    ) -> PreparedAnnData:
        """Return the prepared form of ``adata``, of the model's own data if ``None``."""
        refuse_dangerous_fork()
        if isinstance(adata, PreparedAnnData):
            return adata
        if adata is None or adata is self._adata:
            work: PreparedAnnData = self._require_manager().adata
            check_unchanged(self._own_data(), work)
            return work
        return self._prepare_query(adata)

    def _own_data(self) -> AnnData | MuData:
        if self._adata is None:
            msg = "The model was loaded without data. Pass adata=..."
            raise InputError(msg)
        return self._adata

    def _require_manager(self) -> AnnDataManager:
        self._own_data()
        return self._adata_manager

    def _prepare_query(self, adata: AnnData | MuData) -> PreparedAnnData:
        """Prepare rows that the model was not set up with: genes by name, new domains allowed."""
        columns = columns_of(self.registry_[SETUP_ARGS_KEY])
        adata = as_rows(adata, self.registry_)
        self._check_query(adata, columns)
        work = prepare(
            adata,
            columns,
            reference_genes=self.genes,
            classes=self.classes,
            domains=self.domains,
            targets=self.targets,
        )
        setup_method_args = {k: v for k, v in self.registry_.items() if k != FIELD_REGISTRIES_KEY}
        register(work, columns, setup_method_args, self.registry_, extend_categories=True)
        return work

    def _check_query(self, adata: AnnData, columns: Columns) -> None:
        """Refuse what cannot be predicted; columns for labels and domains may be missing."""
        check_setup(
            adata,
            batch_keys=[key for key in columns.batch_keys if key in adata.obs],
            labels_key=None,
            layer=columns.layer,
            size_factor_key=columns.size_factor_key,
            categorical_covariate_keys=columns.categorical_covariate_keys,
            continuous_covariate_keys=columns.continuous_covariate_keys,
            require_labels=False,
            require_domains=False,
        )
        self._check_query_values(select_matrix(adata, columns.layer))

    def _check_query_values(self, matrix: Any) -> None:
        check_scale(describe_matrix(matrix), self.likelihood, self.module)

    def _state(self, key: str) -> dict[str, Any]:
        return self.registry_[FIELD_REGISTRIES_KEY][key][STATE_REGISTRY_KEY]

    @property
    def modalities(self) -> list[str]:
        """Modalities of the model; empty if it was set up with an AnnData."""
        return list(self.registry_[SETUP_ARGS_KEY].get(MODALITIES) or ())

    def _refuse_several(self, method: str) -> None:
        """Refuse what is made for one modality."""
        if len(self.modalities) > 1:
            msg = (
                f"{method} works on models of one modality, and this one has "
                f"{', '.join(self.modalities)}. Use setup_mudata(..., modalities=<one of them>)."
            )
            raise InputError(msg)

    @property
    def classes(self) -> list[str]:
        """Classes of the main phenotype, in the order of the codes."""
        return [str(c) for c in self._state(REGISTRY_KEYS.LABELS_KEY)["categorical_mapping"][:-1]]

    @property
    def domains(self) -> list[str]:
        """Levels of the main domain column, in the order of the codes."""
        return [str(d) for d in self._state(REGISTRY_KEYS.BATCH_KEY)["categorical_mapping"]]

    @property
    def targets(self) -> tuple[Target, ...]:
        """Phenotypes besides the main one."""
        return registered_targets(self.registry_)

    @property
    def genes(self) -> list[str]:
        """Genes of the model, in its order."""
        return [str(g) for g in np.asarray(self._state(REGISTRY_KEYS.X_KEY)["column_names"])]


def check_other_columns(model: PreparedDataMixin, work: PreparedAnnData) -> None:
    """Refuse new levels of domain columns beyond the first, and of categorical covariates."""
    for key in (EXTRA_DOMAINS_KEY, REGISTRY_KEYS.CAT_COVS_KEY):
        known = model._state(key).get("n_cats_per_key", [])
        found = work.manager.get_state_registry(key).get("n_cats_per_key", [])
        if list(known) != list(found):
            names = model._state(key).get("field_keys", key)
            msg = (
                f"adata has new levels in {', '.join(names)}; only the first batch_key may "
                "have new ones. Map them to levels that the model knows."
            )
            raise InputError(msg)
