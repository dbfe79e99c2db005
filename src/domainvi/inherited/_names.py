"""Names of scvi-tools that a model lacks: refused by one error that says what to use instead."""

from __future__ import annotations

import difflib
import inspect
from functools import wraps
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from domainvi.errors import InputError, MissingMethodError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import NoReturn

P = ParamSpec("P")
R = TypeVar("R")

_LOADER = "pass adata, indices and batch_size; rows are loaded by the model"
_LARGE = "set up a backed file, a zarr store or a dask array, which are read as they are needed"
_SCALING = "leave it out: the encoder reads neither cohort nor covariates"
_DRAWS = "leave it out: rows of a group are drawn with equal weights"
_FOLDER = "give each model a folder of its own"
_FROZEN = "use unfrozen=True to train everything; otherwise only the query's cohorts are learnt"
_NORM = "leave it out: layers are normalised row by row, which has nothing to freeze"

# What takes the place of an argument, by method.
INSTEAD: dict[str, dict[str, str]] = {
    "DomainVI": {
        "gene_likelihood": "use likelihood",
        "dispersion": "leave it out: there is one dispersion a gene",
        "encode_covariates": _SCALING,
        "linear_classifier": "leave it out: linear classifiers stand beside the network",
        "use_observed_lib_size": "leave it out, or name a size_factor_key in setup_anndata",
        "latent_distribution": "leave it out: latents are normal",
        "batch_representation": "leave it out: cohorts are one-hot to the decoder",
        "use_batch_norm": _NORM,
        "use_layer_norm": _NORM,
        "var_activation": "leave it out",
        "deeply_inject_covariates": "leave it out",
        "classifier_parameters": "leave it out",
        "y_prior": "leave it out: class proportions are estimated",
        "labels_groups": "leave it out",
        "datamodule": _LARGE,
    },
    "setup_anndata": {
        "use_minified": "leave it out: minified data hold no values",
    },
    "predict": {
        "use_posterior_mean": "leave it out: predictions are those of the posterior mean",
        "ig_interpretability": 'use explain(method="integrated_gradients")',
        "ig_args": 'use explain(method="integrated_gradients")',
        "dataloader": _LOADER,
    },
    "get_latent_representation": {
        "mc_samples": "leave it out: the posterior is normal",
        "dataloader": _LOADER,
    },
    "get_normalized_expression": {
        "weights": _DRAWS,
        "dataloader": _LOADER,
    },
    "get_marginal_ll": {"dataloader": _LOADER},
    "posterior_predictive_sample": {"dataloader": _LOADER},
    "get_likelihood_parameters": {"dataloader": _LOADER},
    "get_latent_library_size": {"dataloader": _LOADER},
    "differential_expression": {
        "weights": _DRAWS,
        "importance_weighting_kwargs": _DRAWS,
        "filter_outlier_cells": "leave out rows with idx1 and idx2",
    },
    "load_query_data": {
        "freeze_dropout": _FROZEN,
        "freeze_expression": _FROZEN,
        "freeze_decoder_first_layer": _FROZEN,
        "freeze_classifier": _FROZEN,
        "freeze_batchnorm_encoder": _NORM,
        "freeze_batchnorm_decoder": _NORM,
        "transfer_batch": "leave it out: cohorts of reference and query are told apart by name",
        "registry": "pass the model, or its folder",
        "accelerator": "use to_device afterwards, and accelerator in train",
        "device": "use to_device afterwards, and devices in train",
        "datamodule": _LARGE,
    },
    "save": {
        "save_kwargs": "leave it out: weights are safetensors",
        "legacy_mudata_format": "leave it out",
        "datamodule": _LARGE,
    },
    "load": {
        "prefix": _FOLDER,
        "backup_url": "download the folder first, and load it",
        "datamodule": _LARGE,
        "allowed_classes_names_list": "leave it out: nothing in a model's folder is executed",
    },
}
# Values of these arguments that say what is done anyway.
_SAME: dict[str, tuple[object, ...]] = {
    "dispersion": ("gene",),
    "encode_covariates": (False,),
    "use_observed_lib_size": (True,),
    "latent_distribution": ("normal",),
    "batch_representation": ("one-hot",),
    "use_batch_norm": ("none",),
    "use_layer_norm": ("both",),
    "labels_groups": (None,),
    "use_minified": (True, False),
    "use_posterior_mean": (True,),
    "ig_interpretability": (False,),
    "weights": (None, "uniform"),
    "filter_outlier_cells": (False,),
    "freeze_dropout": (True, False),  # there is dropout in the encoder alone, which is frozen
    "freeze_expression": (True,),
    "freeze_decoder_first_layer": (True,),
    "freeze_classifier": (True,),
    "freeze_batchnorm_encoder": (True, False),
    "freeze_batchnorm_decoder": (True, False),
    "accelerator": ("auto",),
    "device": ("auto",),
    "prefix": (None,),
    "backup_url": (None,),
}
_CAPTUM = 'Use explain(method="integrated_gradients"), or "gradient_shap".'
# What takes the place of a method or property.
METHODS = {
    "minify_adata": "A saved model holds no rows and needs none; keep latents with annotate().",
    "minified_data_type": "Data are never minified: a saved model holds no rows and needs none.",
    "get_batch_representation": "Cohorts are one-hot to the decoder, and have no embedding.",
    "get_importance_weights": "Rows are drawn with equal weights.",
    "shap_predict": _CAPTUM,
    "get_ranked_features": _CAPTUM,
}


def explained(method: Callable[P, R]) -> Callable[P, R]:
    """Refuse arguments that a method lacks, with what takes their place or the nearest name.

    Arguments of scvi-tools that ask for what is done anyway are accepted.

    Examples
    --------
    >>> from domainvi.inherited import explained
    >>> @explained
    ... def predict(rows, soft=False):
    ...     return rows
    >>> predict(3, use_posterior_mean=True)
    3
    >>> try:
    ...     predict(3, sotf=True)
    ... except dv.errors.InputError as error:
    ...     print(error)
    predict has no argument sotf=True: did you mean soft?
    """
    signature = inspect.signature(method)
    where = method.__name__.replace("__init__", "DomainVI")
    instead = INSTEAD.get(where, {})
    own = signature.parameters
    takes_any = any(p.kind is p.VAR_KEYWORD for p in own.values())

    @wraps(method)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        for name in [n for n in kwargs if n not in own]:
            value = kwargs[name]
            if name in instead and any(value is v or value == v for v in _SAME.get(name, ())):
                del kwargs[name]
            elif name in instead or not takes_any:
                refuse(where, name, value, instead, own)
        try:
            signature.bind(*args, **kwargs)
        except TypeError as error:
            msg = f"{where}: {error}. Name the arguments: their order is not that of scvi-tools."
            raise InputError(msg) from None
        return method(*args, **kwargs)

    return call


def refuse(
    where: str, name: str, value: object, instead: Mapping[str, str], own: Mapping[str, object]
) -> NoReturn:
    """Raise the error for an argument that a method lacks."""
    near = difflib.get_close_matches(name, own, n=1)
    hint = instead.get(name) or (f"did you mean {near[0]}?" if near else "leave it out")
    msg = f"{where} has no argument {name}={value!r:.60}: {hint}."
    raise InputError(msg.replace("?.", "?"))


def missing(model: type, name: str) -> NoReturn:
    """Raise the error for a method that a model lacks."""
    if name in METHODS:
        msg = f"{model.__name__} has no {name}. {METHODS[name]}"
        raise MissingMethodError(msg)
    msg = f"{model.__name__!r} object has no attribute {name!r}"
    raise AttributeError(msg)
