"""What says how far a trained model can be trusted: calibration, unknown score, guard."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from domainvi import _keys
from domainvi.data import audit_arrays
from domainvi.train import fit_centring, subsample
from domainvi.trust import Calibrator, UnknownScorer, fit_calibrator

from ._inference import InferenceMixin

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from domainvi.data import PreparedAnnData

    from ._inference import RowOutputs

MIN_ROWS = 10
# More rows than this add nothing to what is fitted to them, and cost time and memory.
JUDGED_ROWS = 50_000


class JudgementMixin(InferenceMixin):
    """Judge the model on its own rows, once training is over."""

    def _judge(self, domain: NDArray[np.int64], label: NDArray[np.int64], *, align: bool) -> None:
        """Centre the latents, and fit calibration, unknown score and guard anew.

        Without a label, in a query, those of the reference stay.
        """
        if not (label >= 0).any():
            return
        self.centring_, self.calibration_, self.unknown_ = None, None, None
        work = self._validate_anndata()
        rows = self._judged_rows(work, domain, label)
        held_out = np.isin(rows, self.validation_indices)
        domain, label = domain[rows], label[rows]
        out = self._forward(work, rows, None)
        if align:
            p = np.exp(out.logits.astype(np.float64))
            self.centring_ = fit_centring(out.mean, p, domain, len(self.domains))
        self.calibration_ = fit_calibration(out.network, label, held_out)
        self.unknown_ = fit_unknown(out, label, domain, self.seed)
        self._record_guard()
        self._audit_again(domain, label, out.logits.argmax(axis=1))

    def _judged_rows(
        self, work: PreparedAnnData, domain: NDArray[np.int64], label: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """Row numbers to judge by, in an order that does not change with that of the rows."""
        order = work.order
        return order[subsample(domain[order], label[order], self.seed, JUDGED_ROWS)]

    def _record_guard(self) -> None:
        """Say what the guard decided, and on what evidence."""
        doubt = float(self.module.linear.doubt)
        self.guard_[_keys.BASELINE_SHARE] = doubt
        self.guard_["evidence"] = (
            "The readings of the target by its own rows and by the source's were not compared: "
            "no linear members, no unlabelled target, or labels enough in the target."
            if self.agreement_ is None
            else f"Readings of the target by its own rows and by the source's agree at "
            f"{self.agreement_:.2f} (Cohen's kappa); the un-adapted twin has the rest of the vote."
        )
        mix = np.exp(self.module.log_prior.cpu().numpy()) / len(self.classes)
        self.guard_[_keys.TARGET_CLASS_PRIOR] = mix / mix.sum(axis=1, keepdims=True)
        if self.history_ is not None and "train_loss" in self.history_:
            index = self.history_["train_loss"].index[-1:]
            share = pd.DataFrame({_keys.BASELINE_SHARE: [doubt]}, index)
            self.history_[_keys.BASELINE_SHARE] = share
        self._model_summary_string = (
            f"{self._model_summary_string.split(', guard')[0]}, guard: alignment "
            f"{self.guard_.get('alignment', 'as set up')}, baseline share {doubt:.2f}"
        )

    def _audit_again(
        self, domain: NDArray[np.int64], label: NDArray[np.int64], predicted: NDArray[np.int64]
    ) -> None:
        """Audit the design once more, with predictions where labels are missing."""
        if not self.audit_ or len(np.unique(domain)) < 2:
            return
        names = (self.domains, self.classes)
        audit = audit_arrays(
            domain, label, predicted=predicted, domain_names=names[0], class_names=names[1]
        )
        self.audit_["with_predictions"] = audit.to_dict()


def fit_calibration(
    logits: NDArray[np.float32], label: NDArray[np.int64], held_out: NDArray[np.bool_]
) -> Calibrator:
    """Fit one temperature, at least 1, to the network's answers on labelled rows it never saw.

    The network stands for the ensemble, since the linear members have seen all labels. Held-out
    rows come from the same cohorts as the labels, so they may soften probabilities but not sharpen
    them for other cohorts.
    """
    used = held_out & (label >= 0)
    if used.sum() < MIN_ROWS:
        return Calibrator.identity(logits.shape[1])
    return fit_calibrator(logits[used], label[used], method="temperature", min_temperature=1.0)


def unknown_spaces(out: RowOutputs) -> dict[str, NDArray[np.float32]]:
    """Spaces in which a row can be far from every class, un-centred and un-adapted.

    Centring moves whatever is called a class to where that class is, and alignment can do so too.
    """
    return {"latent": out.mean, "reference": out.reference}


def fit_unknown(
    out: RowOutputs, label: NDArray[np.int64], domain: NDArray[np.int64], seed: int
) -> UnknownScorer | None:
    """Unknown score from all labelled rows; ``None`` when there are too few of them."""
    used = label >= 0
    count = np.bincount(label[used])
    if used.sum() < MIN_ROWS or (count > 1).sum() < 2:
        return None
    return UnknownScorer.fit(
        {name: z[used] for name, z in unknown_spaces(out).items()},
        label[used],
        out.linear[used],
        domain=domain[used],
        seed=seed,
    )
