"""What the parts of a model share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from anndata import AnnData
    from mudata import MuData
    from numpy.typing import NDArray
    from scvi.data import AnnDataManager

    from domainvi.module import DomainVAE
    from domainvi.pretraining import PretrainingRecord
    from domainvi.train import Centring
    from domainvi.trust import Calibrator, UnknownScorer


class ModelState:
    """Attributes that every part of a model reads; those with a trailing underscore are saved."""

    module: DomainVAE
    scaling: str
    likelihood: Any  # A name, or a dict of them by modality.
    seed: int
    is_trained_: bool
    is_scaled_: bool
    class_order_: list[str]
    class_colors_: list[str]
    target_order_: dict[str, list[str]]
    target_colors_: dict[str, list[str]]
    target_unknown_: dict[str, UnknownScorer]
    calibration_: Calibrator | None
    unknown_: UnknownScorer | None
    centring_: Centring | None
    partial_: dict[str, Any]
    # Names of rows that taught, beside those of the model's own data; None if its file is older.
    taught_: NDArray[np.int64] | None
    agreement_: float | None
    n_reference_domains_: int | None
    audit_: dict[str, Any]
    guard_: dict[str, Any]
    pretraining_: PretrainingRecord | None
    # Arguments of the last training, for those that repeat it.
    training_: dict[str, Any]
    history_: dict[str, pd.DataFrame] | None
    init_params_: dict[str, Any]
    registry_: dict[str, Any]
    train_indices: NDArray[np.int64]
    validation_indices: NDArray[np.int64]
    _adata: AnnData | MuData | None
    _model_summary_string: str
    _adata_manager: AnnDataManager | None

    if TYPE_CHECKING:

        def __init__(
            self,
            adata: AnnData | MuData | None = None,
            registry: dict[str, Any] | None = None,
            **parameters: Any,
        ) -> None: ...

        def _freeze(self, n_old: int) -> None: ...

        def to_device(self, device: Any) -> None: ...
