"""The exceptions that DomainVI raises on purpose.

Every message names the argument, shows what was got and what was expected, and says what to do.
"""

__all__ = [
    "DomainVIError",
    "ForkedProcessError",
    "GeneMatchError",
    "InputError",
    "MissingMethodError",
    "ModelFileError",
    "NotTrainedError",
    "TrainingError",
]


class DomainVIError(Exception):
    """Base of every exception that DomainVI raises on purpose.

    Examples
    --------
    >>> from domainvi.errors import DomainVIError, InputError
    >>> issubclass(InputError, DomainVIError)
    True
    """


class ForkedProcessError(DomainVIError, RuntimeError):
    """A process was forked too late to work with a model in it: spawn it instead.

    Examples
    --------
    >>> from domainvi.errors import DomainVIError, ForkedProcessError
    >>> issubclass(ForkedProcessError, DomainVIError)
    True
    """


class InputError(DomainVIError, ValueError):
    """Data or an argument that cannot be used; raised before anything is changed.

    Examples
    --------
    >>> import domainvi as dv
    >>> adata = dv.data.synthetic_cohorts(n_obs=100, n_genes=40)
    >>> try:
    ...     dv.DomainVI.setup_anndata(adata, batch_key="cohort", labels_key="label")
    ... except dv.errors.InputError as error:
    ...     print(str(error).split(".")[0])
    batch_key='cohort' is not a column of adata
    """


class GeneMatchError(InputError):
    """Two gene lists share too few names for one to stand in for the other.

    Examples
    --------
    >>> import domainvi as dv
    >>> try:
    ...     dv.data.align_genes(["TP53", "MYC"], ["ENSG01", "ENSG02"])
    ... except dv.errors.GeneMatchError:
    ...     print("other names")
    other names
    """


class MissingMethodError(DomainVIError, AttributeError):
    """A method of scvi-tools that models of DomainVI do not have; it says what to use instead.

    Examples
    --------
    >>> from domainvi.errors import DomainVIError, MissingMethodError
    >>> issubclass(MissingMethodError, DomainVIError)
    True
    """


class ModelFileError(DomainVIError, OSError):
    """A model directory that is missing, incomplete, damaged or of another format.

    Examples
    --------
    >>> import domainvi as dv
    >>> try:
    ...     dv.DomainVI.load("no such folder")
    ... except dv.errors.ModelFileError:
    ...     print("nothing there")
    nothing there
    """


class NotTrainedError(DomainVIError, RuntimeError):
    """A result was asked of a model that has not been trained.

    Examples
    --------
    >>> import domainvi as dv
    >>> adata = dv.data.synthetic_cohorts(n_obs=100, n_genes=40)
    >>> dv.DomainVI.setup_anndata(adata, batch_key="domain", labels_key="label")
    >>> try:
    ...     dv.DomainVI(adata).predict()
    ... except dv.errors.NotTrainedError:
    ...     print("call train() first")
    call train() first
    """


class TrainingError(DomainVIError, RuntimeError):
    """Training met a numerical fault, such as a loss that is not finite.

    Examples
    --------
    >>> from domainvi.errors import DomainVIError, TrainingError
    >>> issubclass(TrainingError, DomainVIError)
    True
    """
