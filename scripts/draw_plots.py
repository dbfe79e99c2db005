"""Draw the figures of ``docs/_static/plots``: ``python scripts/draw_plots.py``.

On the bundled cohorts, with the labels of the microarrays hidden from the model. A few minutes on
one core.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib as mpl
import matplotlib.pyplot as plt
from PIL import Image

import domainvi as dv

if TYPE_CHECKING:
    from anndata import AnnData

OUT = Path(__file__).parents[1] / "docs" / "_static" / "plots"
TARGET, TRUTH = "agilent", "cancer_type_true"
KEYS = {"batch_key": "cohort", "labels_key": "cancer_type"}
COLOURS = 128


def half_hidden() -> AnnData:
    """Return the bundled cohorts without the labels of the target."""
    adata = dv.data.cohorts()
    adata.obs[TRUTH] = adata.obs["cancer_type"]
    adata.obs["cancer_type"] = adata.obs[TRUTH].where(adata.obs["cohort"] != TARGET)
    return adata


def model_plots() -> None:
    """Train on the RNA-seq labels and draw what can be seen of a model."""
    adata = half_hidden()
    dv.DomainVI.setup_anndata(adata, **KEYS)
    model = dv.DomainVI(adata)
    model.train(accelerator="cpu", enable_progress_bar=False)
    model.annotate(adata)
    target = adata[adata.obs["cohort"] == TARGET]
    dv.pl.training_curves(model, save=OUT / "training_curves.png")
    dv.pl.latent(adata, ["cohort", TRUTH], save=OUT / "latent.png")
    dv.pl.confusion(target, TRUTH, "cancer_type_pred", save=OUT / "confusion.png")
    dv.pl.calibration(adata, TRUTH, by="cohort", save=OUT / "calibration.png")
    dv.pl.label_flow(adata, TRUTH, save=OUT / "label_flow.png")
    found = dv.tl.audit_confounding(dv.data.cohorts(), **KEYS)
    dv.pl.audit(found, diagnosis=model.diagnose(), save=OUT / "audit.png")


def benchmark_plot() -> None:
    """Compare methods on the cohorts with all their labels."""
    table = dv.tl.benchmark(
        dv.data.cohorts(),
        **KEYS,
        protocol=("cross_validation", "leave_one_domain_out", "label_budget"),
        groups="patient",
        budgets=(0, 1, 2, 5, 10),
        train_kwargs={"accelerator": "cpu", "enable_progress_bar": False},
    )
    dv.pl.benchmark(table, save=OUT / "benchmark.png")


def shrink(path: Path) -> None:
    """Keep as many colours as a plot needs, which makes its file a third as large."""
    with Image.open(path) as image:
        small = image.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
    small.save(path, optimize=True)


def main() -> None:
    """Draw everything, or one part."""
    parts = {"model": model_plots, "benchmark": benchmark_plot}
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=parts)
    only = parser.parse_args().only
    mpl.use("Agg")
    OUT.mkdir(parents=True, exist_ok=True)
    for name in [only] if only else parts:
        parts[name]()
    plt.close("all")
    for path in OUT.glob("*.png"):
        shrink(path)


if __name__ == "__main__":
    main()
