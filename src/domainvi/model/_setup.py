"""From the user's object to prepared, registered rows: own data, MuData and queries."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

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
from domainvi.data import (
    LARGEST_LOG_VALUE,
    MODALITIES,
    ONE_DOMAIN,
    Columns,
    LabelTree,
    Phenotype,
    PreparedManager,
    check_likelihood,
    check_setup,
    describe_matrix,
    flatten,
    genes_by_modality,
    is_number_column,
    prepare,
    select_matrix,
    single_classes,
)
from domainvi.errors import InputError
from domainvi.module import EXTRA_DOMAINS_KEY

if TYPE_CHECKING:
    from scvi.data.fields import BaseAnnDataField

    from domainvi.data import MatrixSummary, PreparedAnnData
    from domainvi.module import Modality

    from ._domainvi import DomainVI


def columns_of(setup_args: dict[str, Any]) -> Columns:
    """Columns as the arguments of ``setup_anndata`` name them."""
    batch = setup_args["batch_key"]
    return Columns(
        batch_keys=(batch,) if isinstance(batch, str) else tuple(batch or (ONE_DOMAIN,)),
        labels_key=setup_args["labels_key"],
        unlabeled_category=setup_args["unlabeled_category"],
        layer=setup_args["layer"],
        size_factor_key=setup_args["size_factor_key"],
        categorical_covariate_keys=tuple(setup_args["categorical_covariate_keys"] or ()),
        continuous_covariate_keys=tuple(setup_args["continuous_covariate_keys"] or ()),
        target_keys=tuple(setup_args["target_keys"] or ()),
        tree=LabelTree.of_setup(setup_args),
    )


def classes_set_aside(adata: AnnData, columns: Columns) -> dict[str, list[str]]:
    """Classes with one labelled row, by column: they are not learnt and cannot be predicted."""
    obs = adata.obs
    if columns.tree is not None:
        classes = columns.tree.classes_of(obs, columns.unlabeled_category)
        obs = obs.assign(**{columns.labels_key: classes.to_numpy()})
    found = {
        key: single_classes(obs[key], columns.unlabeled_category)
        for key in (columns.labels_key, *columns.target_keys)
        if not is_number_column(obs[key])
    }
    return {key: names for key, names in found.items() if names}


class MaskField(ObsmField):
    """Which modalities a row has; without a line in the log for each object."""

    def _setup_column_names(self, adata: AnnData) -> list[str]:
        return list(adata.obsm[self.attr_key].columns)


def phenotype_field(
    prepared: PreparedAnnData, key: str, unlabeled_category: str
) -> BaseAnnDataField:
    """Make the field under which an auxiliary phenotype is registered."""
    name = Phenotype(key).field
    if prepared.obs[key].dtype.kind == "f":
        return NumericalObsField(name, key)
    return LabelsWithUnlabeledObsField(name, key, unlabeled_category)


def registered_phenotypes(registry: dict[str, Any]) -> tuple[Phenotype, ...]:
    """Read the auxiliary phenotypes, with their classes, from the registry of a model."""
    fields = registry[FIELD_REGISTRIES_KEY]
    found = []
    for key in registry[SETUP_ARGS_KEY]["target_keys"] or ():
        state = fields[Phenotype(key).field][STATE_REGISTRY_KEY]
        classes = state.get("categorical_mapping", [None])[:-1]
        found.append(Phenotype(key, tuple(str(c) for c in classes)))
    return tuple(found)


def register(
    prepared: PreparedAnnData,
    columns: Columns,
    setup_method_args: dict[str, Any],
    source_registry: dict[str, Any] | None = None,
    **transfer: Any,
) -> None:
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
    fields += [
        phenotype_field(prepared, key, columns.unlabeled_category) for key in columns.target_keys
    ]
    if MODALITIES in prepared.obsm:
        fields.append(MaskField(MODALITIES, MODALITIES))
    manager = PreparedManager(fields=fields, setup_method_args=setup_method_args)
    with warnings.catch_warnings():
        # What small classes and domains mean was said when the user's object was checked.
        warnings.filterwarnings("ignore", message="Category .* has fewer than 3 cells")
        manager.register_fields(prepared, source_registry, **transfer)
    prepared.manager = manager


def check_data(data: object) -> None:
    """Refuse what is neither AnnData nor MuData."""
    if not isinstance(data, AnnData | MuData):
        kind = type(data).__name__
        remedy = "Make one, such as anndata.AnnData(frame), or use domainvi.files.read(path)."
        msg = f"adata is a {kind}; expected an AnnData or a MuData. {remedy}"
        raise InputError(msg)


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


def modality_sizes(model: DomainVI) -> dict[str, int]:
    """Count the genes of each modality of a model that has several."""
    genes = genes_by_modality(model.genes, model.modalities)
    return {name: len(own) for name, own in genes.items()}


def resolve_likelihood(model: DomainVI, matrix: Any, likelihood: Any) -> Any:
    """Choose a likelihood by the values; one for each modality where there are several."""
    names = model.modalities
    if len(names) < 2:
        return check_likelihood(describe_matrix(matrix), likelihood)
    asked = likelihood if isinstance(likelihood, dict) else dict.fromkeys(names, likelihood)
    if set(asked) != set(names):
        msg = f"likelihood names {', '.join(asked)}, and the modalities are {', '.join(names)}."
        raise InputError(msg)
    stops = np.cumsum([0, *modality_sizes(model).values()])
    blocks = [matrix[:, a:b] for a, b in zip(stops[:-1], stops[1:], strict=True)]
    return {
        name: check_likelihood(describe_matrix(block), asked[name])
        for name, block in zip(names, blocks, strict=True)
    }


def check_scale(summary: MatrixSummary, likelihood: str, modality: Modality) -> None:
    """Refuse values on another scale than those of training."""
    typical = float(modality.standardiser.loc.max())
    if likelihood == "normal" and typical <= LARGEST_LOG_VALUE < summary.maximum:
        msg = (
            f"The model was trained on log values, typically up to {typical:.3g}, and the "
            f"largest value of adata is {summary.maximum:g}: another scale. Log-transform as in "
            "training."
        )
        raise InputError(msg)
    check_likelihood(summary, likelihood, trained=True)


def check_query_scale(model: DomainVI, matrix: Any) -> None:
    """Refuse values of a query that are on another scale than those of training."""
    blocks = model.module.modalities.blocks()
    for name, modality, block in blocks:
        values = matrix[:, block] if len(blocks) > 1 else matrix
        likelihood = model.likelihood
        kind = likelihood[name] if isinstance(likelihood, dict) else likelihood
        check_scale(describe_matrix(values), kind, modality)


def prepare_query(
    model: DomainVI,
    adata: AnnData | MuData,
    min_genes: int | None = None,
    *,
    lazy: bool = False,
) -> PreparedAnnData:
    """Prepare rows that the model was not set up with: genes by name, new domains allowed.

    Columns for labels and domains may be missing. With ``lazy`` the values are neither read nor
    checked; each part is checked when it is read.
    """
    columns = columns_of(model.registry_[SETUP_ARGS_KEY])
    check_data(adata)
    adata = as_rows(adata, model.registry_)
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
        check_values=not lazy,
    )
    if not lazy:
        check_query_scale(model, select_matrix(adata, columns.layer))
    prepared = prepare(
        adata,
        columns,
        reference_genes=model.genes,
        min_genes=min_genes,
        classes=model.classes,
        domains=model.domains,
        phenotypes=model.phenotypes,
        lazy=lazy,
    )
    setup_method_args = {k: v for k, v in model.registry_.items() if k != FIELD_REGISTRIES_KEY}
    register(prepared, columns, setup_method_args, model.registry_, extend_categories=True)
    return prepared


def prepare_own(model: DomainVI, data: AnnData | MuData) -> PreparedAnnData:
    """Prepare data that become a loaded model's own: only domains that it knows."""
    columns = columns_of(model.registry_[SETUP_ARGS_KEY])
    check_data(data)
    if lacking := [key for key in columns.batch_keys if key not in (*data.obs, ONE_DOMAIN)]:
        msg = f"adata.obs lacks {', '.join(lacking)}, the domain of the model's setup."
        raise InputError(msg)
    prepared = prepare_query(model, data)
    if new := sorted(set(prepared.obs[columns.batch_keys[0]].astype(str)) - set(model.domains)):
        msg = (
            f"adata has domains that the model does not: {', '.join(new[:5])}. Load without "
            "adata and pass it to predict or annotate, or use load_query_data."
        )
        raise InputError(msg)
    check_other_columns(model, prepared)
    return prepared


def check_other_columns(model: DomainVI, prepared: PreparedAnnData) -> None:
    """Refuse new levels of domain columns beyond the first, and of categorical covariates."""
    for key in (EXTRA_DOMAINS_KEY, REGISTRY_KEYS.CAT_COVS_KEY):
        known = model._state(key).get("n_cats_per_key", [])
        found = prepared.manager.get_state_registry(key).get("n_cats_per_key", [])
        if list(known) != list(found):
            names = model._state(key).get("field_keys", key)
            msg = (
                f"adata has new levels in {', '.join(names)}; only the first batch_key may "
                "have new ones. Map them to levels that the model knows."
            )
            raise InputError(msg)


def refuse_several(model: DomainVI, method: str) -> None:
    """Refuse models of several modalities to a method that is made for one."""
    if len(model.modalities) > 1:
        msg = (
            f"{method} works on models of one modality, and this one has "
            f"{', '.join(model.modalities)}. Use setup_mudata(..., modalities=<one of them>)."
        )
        raise InputError(msg)
