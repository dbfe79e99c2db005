"""The real cohort that comes with the package."""

from importlib.resources import as_file, files

import anndata as ad


def cohorts() -> ad.AnnData:
    """Load tumours that TCGA measured on two platforms: RNA-seq and microarray.

    391 tumours of four types, 202 with RNA-seq and 189 with Agilent arrays, and the 1500 genes that
    vary most within a platform. Both platforms are on a log2 scale, but RNA-seq as abundance and
    the arrays as a ratio to a reference pool, so that a classifier trained on one and applied to
    the other is near chance unless the shift is dealt with. The class mixes differ as well.

    Returns
    -------
    AnnData with a dense float32 `X` (391 x 1500), gene symbols as `var_names`, and in `obs`

    - `cohort`: `"rnaseq"` or `"agilent"`, the domain;
    - `cancer_type`: `"KIRC"`, `"KIRP"`, `"LUAD"` or `"CRC"` (TCGA studies COAD and READ together);
    - `tcga_study`: the study, with COAD and READ apart;
    - `sex`: `"female"` or `"male"`; `age`: years, whole;
    - `patient`: TCGA's code; ten patients are on both platforms (`patient_in_both`), so that splits
      should keep a patient's rows together.

    `uns["provenance"]` names studies, units, source repositories with commits, and licence.

    Notes
    -----
    The values are public: TCGA level 3, open access. They are stored in single precision, exactly
    as in the collection that the file was made from. The RNA-seq values are `log2(x + 1)` of
    normalised, rounded expression, not of raw counts.

    Examples
    --------
    >>> import domainvi.data as dv_data
    >>> adata = dv_data.cohorts()
    >>> adata.shape
    (391, 1500)
    >>> adata.obs["cohort"].value_counts().to_dict()
    {'rnaseq': 202, 'agilent': 189}
    >>> sorted(adata.obs["cancer_type"].cat.categories)
    ['CRC', 'KIRC', 'KIRP', 'LUAD']
    """
    with as_file(files("domainvi.data") / "files" / "cohorts.h5ad") as path:
        return ad.read_h5ad(path)
