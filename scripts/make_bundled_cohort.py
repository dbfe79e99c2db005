"""Make the cohort that is bundled with the package from the collection it was taken from.

Usage: python scripts/make_bundled_cohort.py tiny_tcga_rnaseq_vs_agilent.h5ad
"""

import argparse
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd

DESTINATION = Path(__file__).parents[1] / "src" / "domainvi" / "data" / "files" / "cohorts.h5ad"

# Column of the bundled file, and where it comes from. `label` is TCGA's study with the two
# colorectal ones, COAD and READ, as one class.
COLUMNS = {
    "cohort": "cohort",
    "cancer_type": "label",
    "tcga_study": "cancer_type",
    "sex": "sex",
    "age": "age",
    "patient": "patient",
    "patient_in_both": "patient_in_both",
}


def select(source: ad.AnnData) -> ad.AnnData:
    """Keep the values as they are, and rename the columns."""
    obs = pd.DataFrame({new: source.obs[old] for new, old in COLUMNS.items()})
    obs["patient"] = obs["patient"].astype(str)
    return ad.AnnData(
        np.asarray(source.X, dtype=np.float32),
        obs=obs,
        var=pd.DataFrame(index=source.var_names.astype(str)),
        uns={"provenance": dict(source.uns["provenance"])},
    )


def main() -> None:
    """Read the arguments and write the file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", type=Path, help="the RNA-seq and microarray cohort as h5ad")
    parser.add_argument("--destination", type=Path, default=DESTINATION)
    arguments = parser.parse_args()
    cohort = select(ad.read_h5ad(arguments.source))
    arguments.destination.parent.mkdir(parents=True, exist_ok=True)
    cohort.write_h5ad(arguments.destination, compression="gzip", compression_opts=9)


if __name__ == "__main__":
    main()
