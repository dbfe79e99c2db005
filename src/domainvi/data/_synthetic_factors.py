"""Rows with planted biological and technical factors, and what each explains of each gene."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd
from anndata import AnnData

from domainvi.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

LEVELS = {"tissue": 4, "state": 2, "platform": 2, "study": 3}
GROUPS = {"biological": ["tissue", "state"], "technical": ["platform", "study"]}
_N_PROGRAMS = 3
_BASELINE = 4.0


def synthetic_factors(
    n_obs: int = 600,
    n_genes: int = 200,
    *,
    values: Literal["log", "counts"] = "log",
    effect: float = 1.0,
    noise: float = 0.5,
    confounding: float = 0.0,
    missing: float = 0.0,
    library_size: float = 10_000.0,
    seed: int = 0,
) -> AnnData:
    r"""Draw rows whose log-rate is a sum of a biological, a technical and a residual part.

    .. math:: \eta_{ij} = b_j + e \sum_g \sqrt{v_{gj}}\, c_{gij}

    with parts :math:`c_g` of unit variance over the rows: random effects of the levels of tissue
    and state (biological), of platform and study (technical), and three programmes that no column
    names (residual). The shares :math:`v_{gj}` of a gene are drawn from a Dirichlet distribution.

    Parameters
    ----------
    n_obs, n_genes
        Rows and genes.
    values
        ``"log"`` for the log-rate with normal noise, ``"counts"`` for Poisson counts of it.
    effect
        Standard deviation of the log-rate of every gene.
    noise
        Standard deviation of the noise of log values.
    confounding
        Share of the rows whose platform follows from the state; the others draw it freely.
    missing
        Share of the values of each factor that is missing.
    library_size
        Expected counts of a row.
    seed
        Seed of the generator. Rows are drawn last: with the same seed and number of genes, the
        first rows of a larger draw are not those of a smaller one, but genes behave alike.

    Returns
    -------
    AnnData with ``tissue`` (4 levels), ``state`` (2), ``platform`` (2) and ``study`` (3) in
    ``obs``, the planted shares in ``var["share_biological"]``, ``"share_technical"`` and
    ``"share_residual"``, and the groups in ``uns["factor_groups"]``.

    Raises
    ------
    InputError
        If an argument is out of range.

    Examples
    --------
    >>> adata = dv.data.synthetic_factors(n_obs=100, n_genes=20)
    >>> shares = adata.var[["share_biological", "share_technical", "share_residual"]]
    >>> bool(np.allclose(shares.sum(axis=1), 1))
    True
    """
    for name, value in (("confounding", confounding), ("missing", missing)):
        if not 0 <= value <= 1:
            msg = f"{name}={value!r} is out of range; expected 0 to 1."
            raise InputError(msg)
    rng = np.random.default_rng(seed)
    shares = rng.dirichlet([1.0, 1.0, 0.5], size=n_genes)
    effects = {name: rng.normal(size=(n, n_genes)) for name, n in LEVELS.items()}
    programs = rng.normal(size=(_N_PROGRAMS, n_genes))
    baseline = _BASELINE + rng.normal(size=n_genes)
    code = {name: rng.integers(n, size=n_obs) for name, n in LEVELS.items()}
    tied = rng.random(n_obs) < confounding
    code["platform"] = np.where(tied, code["state"], code["platform"])
    parts = [
        _unit_variance(np.sum([effects[name][code[name]] for name in names], axis=0))
        for names in GROUPS.values()
    ]
    parts.append(_unit_variance(rng.normal(size=(n_obs, _N_PROGRAMS)) @ programs))
    log_rate = baseline + effect * sum(
        np.sqrt(share) * part for share, part in zip(shares.T, parts, strict=True)
    )
    if values == "counts":
        rate = np.exp(log_rate)
        matrix = rng.poisson(rate / rate.sum(axis=1, keepdims=True) * library_size)
    else:
        matrix = log_rate + rng.normal(scale=noise, size=log_rate.shape)
    names = [*GROUPS, "residual"]
    columns = {f"share_{name}": share for name, share in zip(names, shares.T, strict=True)}
    var = pd.DataFrame(columns, index=[f"gene_{i}" for i in range(n_genes)])
    return AnnData(
        np.asarray(matrix, dtype=np.float32),
        obs=_columns(code, missing, rng),
        var=var,
        uns={"factor_groups": {k: list(v) for k, v in GROUPS.items()}},
    )


def _unit_variance(part: NDArray[np.float64]) -> NDArray[np.float64]:
    return (part - part.mean(axis=0)) / part.std(axis=0)


def _columns(
    code: dict[str, NDArray[np.int64]], missing: float, rng: np.random.Generator
) -> pd.DataFrame:
    n_obs = len(next(iter(code.values())))
    columns = {}
    for name, n in LEVELS.items():
        seen = np.where(rng.random(n_obs) < missing, -1, code[name])
        columns[name] = pd.Categorical.from_codes(seen, [f"{name}_{i}" for i in range(n)])
    return pd.DataFrame(columns, index=[f"row_{i}" for i in range(n_obs)])
