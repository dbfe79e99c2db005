"""What files of DomainVI hold beside the module: calibration, unknown scores, centring."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scvi import REGISTRY_KEYS

from domainvi._compat import SETUP_ARGS_KEY
from domainvi.errors import InputError
from domainvi.pretraining import PretrainingRecord
from domainvi.train import Centring
from domainvi.trust import Calibrator, UnknownScorer

from ._codes import codes
from ._prepared import check_other_columns, columns_of
from ._stored import StoredMixin, arrays_under
from ._taught import checked, fingerprints

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData
    from numpy.typing import NDArray

    from domainvi.data import PreparedAnnData

UNKNOWN_PREFIX = "unknown."
CENTRING_PREFIX = "centring."
TARGET_UNKNOWN_PREFIX = "target_unknown."
TAUGHT = "taught"


class PersistenceMixin(StoredMixin):
    """``save`` and ``load`` of models with an encoder, a classifier and linear members."""

    plain_state = (
        "is_trained_",
        "is_scaled_",
        "class_order_",
        "class_colors_",
        "target_order_",
        "target_colors_",
        "agreement_",
        "n_reference_domains_",
        "audit_",
        "guard_",
        "training_",
        "partial_",
    )
    later_state = frozenset({"target_order_", "target_colors_", "training_", "partial_"})

    def _taught(self) -> NDArray[np.int64]:
        """Fingerprints of the names of all rows whose labels are known to have taught the model."""
        taught = np.empty(0, dtype=np.int64) if self.taught_ is None else self.taught_
        if self._adata is None:
            return taught
        work = self._require_manager().adata
        labelled = codes(work.manager, REGISTRY_KEYS.LABELS_KEY) < len(self.classes)
        return np.union1d(taught, fingerprints(work.obs_names[labelled]))

    def _more_tensors(self) -> dict[str, Any]:
        tensors: dict[str, Any] = {}
        if self.taught_ is not None:
            tensors[TAUGHT] = self._taught()
        if self.unknown_ is not None:
            arrays = self.unknown_.to_arrays()
            tensors |= {UNKNOWN_PREFIX + k: np.asarray(v) for k, v in arrays.items()}
        if self.centring_ is not None:
            tensors |= {CENTRING_PREFIX + k: v for k, v in self.centring_.to_arrays().items()}
        for i, target in enumerate(self.targets):
            if target.key in self.target_unknown_:
                arrays = self.target_unknown_[target.key].to_arrays()
                tensors |= {f"{TARGET_UNKNOWN_PREFIX}{i}.{k}": v for k, v in arrays.items()}
        return tensors

    def _more_metadata(self) -> dict[str, Any]:
        return {
            "n_members": self.module.linear.n_members,
            "calibration": None if self.calibration_ is None else self.calibration_.to_dict(),
            "pretraining": None if self.pretraining_ is None else self.pretraining_.to_dict(),
        }

    def _make_room(self, metadata: dict[str, Any], tensors: dict[str, Any]) -> None:
        self.module.set_linear_members(metadata["n_members"])

    @classmethod
    def _check_registry(cls, registry: dict[str, Any]) -> None:
        columns_of(registry[SETUP_ARGS_KEY])

    def _prepare_own(self, data: AnnData | MuData) -> PreparedAnnData:
        setup = self.registry_[SETUP_ARGS_KEY]
        columns = columns_of(setup)
        if lacking := [key for key in columns.batch_keys if key not in data.obs]:
            msg = f"adata.obs lacks {', '.join(lacking)}, the domain of the model's setup."
            raise InputError(msg)
        work = self._prepare_query(data)
        known = set(self.domains)
        if new := sorted(set(work.obs[columns.batch_keys[0]].astype(str)) - known):
            msg = (
                f"adata has domains that the model does not: {', '.join(new[:5])}. Load without "
                "adata and pass it to predict or annotate, or use load_query_data."
            )
            raise InputError(msg)
        check_other_columns(self, work)
        return work

    def _restore(self, tensors: dict[str, Any], metadata: dict[str, Any]) -> None:
        super()._restore(tensors, metadata)
        if sorted(self.class_order_) != sorted(self.classes):
            msg = f"{len(self.class_order_)} ordered classes, {len(self.classes)} in the registry"
            raise ValueError(msg)
        if metadata["calibration"] is not None:
            self.calibration_ = Calibrator.from_dict(metadata["calibration"])
        if metadata.get("pretraining") is not None:
            self.pretraining_ = PretrainingRecord.from_dict(metadata["pretraining"])
        # Files of earlier versions do not say.
        self.taught_ = checked(tensors[TAUGHT].numpy()) if TAUGHT in tensors else None
        unknown, centring = (numpy_under(p, tensors) for p in (UNKNOWN_PREFIX, CENTRING_PREFIX))
        self.unknown_ = UnknownScorer.from_arrays(unknown) if unknown else None
        self.centring_ = Centring.from_arrays(centring) if centring else None
        for i, target in enumerate(self.targets):
            arrays = numpy_under(f"{TARGET_UNKNOWN_PREFIX}{i}.", tensors)
            if arrays:
                self.target_unknown_[target.key] = UnknownScorer.from_arrays(arrays)
        if self.n_reference_domains_ is not None:
            self._freeze(self.n_reference_domains_)


def numpy_under(prefix: str, tensors: dict[str, Any]) -> dict[str, Any]:
    """Take the tensors whose names start with a prefix as arrays."""
    return {k: v.numpy() for k, v in arrays_under(prefix, tensors).items()}
