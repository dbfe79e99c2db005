"""The command ``domainvi demo``."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from ._files import write
from ._fit import accelerator, check_device, fit
from ._options import Device, MaxEpochs, Seed, Training
from ._results import note, reporting

if TYPE_CHECKING:
    import numpy as np
    from anndata import AnnData
    from numpy.typing import NDArray

BATCH, LABELS, TRUTH = "cohort", "cancer_type", "cancer_type_true"
SOURCE, TARGET, UNLABELED = "agilent", "rnaseq", "Unknown"

Out = Annotated[Path, Parameter(("--out", "--output", "-o"))]


def demo(
    *, out: Out = Path(), seed: Seed = 0, device: Device = "auto", max_epochs: MaxEpochs = None
) -> None:
    """Move labels between the two real cohorts that come with DomainVI.

    391 tumours of four types: 189 measured by microarray, 202 by RNA-seq. The labels of the
    RNA-seq cohort are hidden, predicted, and compared with the truth, beside logistic regression
    on the same split. Writes demo.h5ad and demo_umap.png, and replaces those of an earlier demo.

    Example: `domainvi demo -o folder`

    Parameters
    ----------
    out
        Folder to write to; made if it is missing.
    """
    start = time.perf_counter()
    check_device(device)
    with reporting() as say:
        from domainvi.data import cohorts
        from domainvi.tl import audit_confounding

        accelerator(device)  # refused, if it is, before the folder is made
        out.mkdir(parents=True, exist_ok=True)
        adata = hide(cohorts())
        hidden = (adata.obs[BATCH] == TARGET).to_numpy()
        say(
            f"data: {adata.n_obs} tumours x {adata.n_vars} genes, "
            f"{(~hidden).sum()} {SOURCE} with labels, {hidden.sum()} {TARGET} with hidden labels"
        )
        found = audit_confounding(
            adata, batch_key=BATCH, labels_key=LABELS, unlabeled_category=UNLABELED
        )
        say(f"audit: {found.sentence}")
        options = Training(
            labels=[LABELS], batch=BATCH, seed=seed, device=device, max_epochs=max_epochs
        )
        model = fit(adata, options)
        model.annotate(adata)
        say(f"guard: {model.fitted.guard.evidence}")
        for line in scores(adata, hidden, seed):
            say(line)
        note("drawing the UMAP before and after")
        from domainvi.io import whole_file
        from domainvi.pl import latent

        with whole_file(out / "demo_umap.png") as beside:
            latent(adata, (BATCH, TRUTH), seed=seed, show=False, save=beside)
        write(adata, out / "demo.h5ad")
        say(f"written: {out / 'demo.h5ad'}, {out / 'demo_umap.png'}")
        say(f"seconds: {time.perf_counter() - start:.0f}")


def hide(adata: AnnData) -> AnnData:
    """Hide the labels of the target cohort; the truth stays in a column of its own."""
    truth = adata.obs[LABELS]
    adata.obs[TRUTH] = truth
    shown = truth.cat.add_categories([UNLABELED])
    adata.obs[LABELS] = shown.where(adata.obs[BATCH] != TARGET, UNLABELED)
    return adata


def scores(adata: AnnData, hidden: NDArray[np.bool_], seed: int) -> list[str]:
    """Score the model and two logistic regressions on the labels that were hidden."""
    import domainvi._keys as keys
    from domainvi.metrics import accuracy, macro_f1

    truth = adata.obs[TRUTH].astype(str).to_numpy()[hidden]
    found = {
        "DomainVI": adata.obs[keys.prediction(LABELS)].astype(str).to_numpy()[hidden],
        **_regressions(adata, hidden, seed),
    }
    lines = [f"on the {hidden.sum()} hidden labels:{'macro-F1':>32}  accuracy"]
    for name, predicted in found.items():
        lines.append(
            f"  {name:<48}{macro_f1(truth, predicted):>8.3f}  {accuracy(truth, predicted):>8.3f}"
        )
    return lines


def _regressions(
    adata: AnnData, hidden: NDArray[np.bool_], seed: int
) -> dict[str, NDArray[np.str_]]:
    """Predict with logistic regression, scaled by the reference and within each cohort."""
    import numpy as np

    from domainvi.tl import TransferData, lr_source, lr_z

    classes = np.asarray(adata.obs[TRUTH].cat.categories, dtype=str)
    code = adata.obs[TRUTH].cat.codes.to_numpy(dtype=np.int64)
    data = TransferData(
        x=np.asarray(adata.X, dtype=np.float64),
        domain=hidden.astype(np.int64),
        label=np.where(hidden, -1, code),
        is_source=~hidden,
        n_classes=len(classes),
    )
    methods = {
        "logistic regression, scaled by the reference": lr_source,
        "logistic regression, each cohort standardised": lr_z,
    }
    return {
        name: classes[method(data, seed=seed)[hidden].argmax(axis=1)]
        for name, method in methods.items()
    }
