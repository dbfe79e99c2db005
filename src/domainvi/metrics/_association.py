"""How far class and domain go together: numbers of one contingency table (classes x domains).

Every function takes ``table``, counts of shape (classes, domains).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.special import rel_entr
from scipy.stats import chi2_contingency, entropy
from sklearn.metrics import mutual_info_score

from domainvi._checks import check_matrix
from domainvi.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from domainvi._checks import FloatArray


def cramers_v(table: ArrayLike) -> float:
    r"""Return the bias-corrected Cramér's V of a contingency table.

    With :math:`\varphi^2 = \chi^2 / n`, :math:`r` rows and :math:`k` columns,
    :math:`\tilde\varphi^2 = \max(0, \varphi^2 - (k-1)(r-1)/(n-1))`,
    :math:`\tilde k = k - (k-1)^2/(n-1)`, :math:`\tilde r` likewise, and
    :math:`\tilde V = \sqrt{\tilde\varphi^2 / \min(\tilde k - 1, \tilde r - 1)}` (Bergsma,
    Journal of the Korean Statistical Society 2013). Without the correction, small tables of
    independent variables look confounded. The chi-square is scipy's, without Yates' correction.

    Returns
    -------
    Between 0 (independent) and 1 (one determines the other); 0 when there is one row or column.
    Empty rows and columns are dropped.

    Examples
    --------
    >>> dv.metrics.cramers_v([[25, 25], [25, 25]])
    0.0
    """
    counts = _used(table)
    n, (r, k) = counts.sum(), counts.shape
    if min(r, k) < 2 or n < 3:
        return 0.0
    phi2 = chi2_contingency(counts, correction=False).statistic / n
    phi2 = max(0.0, phi2 - (k - 1) * (r - 1) / (n - 1))
    smaller = min(k - (k - 1) ** 2 / (n - 1), r - (r - 1) ** 2 / (n - 1)) - 1
    return float(min(1.0, np.sqrt(phi2 / smaller))) if smaller > 0 else 0.0


def normalised_mutual_information(table: ArrayLike) -> float:
    r"""Return :math:`I(Y; D) / \sqrt{H(Y) H(D)}` of a contingency table.

    Returns
    -------
    Between 0 and 1; 0 when there is one class or one domain.

    Examples
    --------
    >>> round(dv.metrics.normalised_mutual_information([[50, 0], [0, 50]]), 6)
    1.0
    """
    counts = _used(table)
    scale = np.sqrt(entropy(counts.sum(axis=1)) * entropy(counts.sum(axis=0)))
    if scale <= 0:
        return 0.0
    information = mutual_info_score(None, None, contingency=counts)
    return float(np.clip(information / scale, 0.0, 1.0))


def class_mix(table: ArrayLike) -> FloatArray:
    """Return the class proportions of each domain.

    Returns
    -------
    Columns that sum to one, shape (classes, domains); NaN for a domain without rows.

    Examples
    --------
    >>> dv.metrics.class_mix([[1, 3], [1, 1]]).tolist()
    [[0.5, 0.75], [0.5, 0.25]]
    """
    counts = check_matrix(table, "table")
    total = counts.sum(axis=0)
    return np.divide(counts, total, out=np.full_like(counts, np.nan), where=total > 0)


def jensen_shannon_divergence(table: ArrayLike) -> FloatArray:
    r"""Return the Jensen-Shannon divergence of the class proportions of every two domains, in bits.

    :math:`JS(P, Q) = H(\tfrac{P+Q}{2}) - \tfrac12 H(P) - \tfrac12 H(Q)` with logarithms of base 2
    (Lin, IEEE Transactions on Information Theory 1991).

    Returns
    -------
    Symmetric, shape (domains, domains), between 0 and 1; NaN for a domain without rows.

    Examples
    --------
    >>> dv.metrics.jensen_shannon_divergence([[10, 0], [0, 10]]).tolist()
    [[0.0, 1.0], [1.0, 0.0]]
    """
    share = class_mix(table).T
    middle = (share[:, None] + share[None]) / 2
    half = rel_entr(share[:, None], middle).sum(axis=2) / np.log(2)
    return np.clip((half + half.T) / 2, 0.0, 1.0)


def mixing_error_bound(table: ArrayLike, latent_divergence: float = 0.0) -> FloatArray:
    r"""Return the least joint error that well mixed latents force upon every two domains.

    :math:`\varepsilon_S + \varepsilon_T \ge \tfrac12 (d_{JS}(Y) - d_{JS}(Z))^2` whenever
    :math:`d_{JS}(Y) \ge d_{JS}(Z)`, with the Jensen-Shannon distance :math:`d_{JS} = \sqrt{JS}` of
    the class proportions and of the latents (Zhao et al., ICML 2019, theorem 4.3). Latents that do
    not know the domain at all have :math:`d_{JS}(Z) = 0`.

    Parameters
    ----------
    table
        Counts, shape (classes, domains).
    latent_divergence
        Jensen-Shannon distance of the latents of two domains, 0 for perfect mixing.

    Returns
    -------
    Lower bound on the sum of both error rates, shape (domains, domains), between 0 and 0.5.

    Examples
    --------
    >>> dv.metrics.mixing_error_bound([[10, 0], [0, 10]])[0, 1].item()
    0.5
    """
    if not 0 <= latent_divergence <= 1:
        msg = f"latent_divergence={latent_divergence} must be between 0 and 1."
        raise InputError(msg)
    distance = np.sqrt(jensen_shannon_divergence(table))
    return 0.5 * np.clip(distance - latent_divergence, 0.0, None) ** 2


def domain_only_macro_f1(table: ArrayLike) -> float:
    """Return the macro-F1 of answering each row with the commonest class of its domain.

    Returns
    -------
    Between 0 and 1; 1 when the domain gives the class away.

    Examples
    --------
    >>> dv.metrics.domain_only_macro_f1([[10, 0], [0, 10]])
    1.0
    """
    counts = _used(table)
    return _constant_rule_macro_f1(counts, counts.argmax(axis=0))


def majority_macro_f1(table: ArrayLike) -> float:
    """Return the macro-F1 of answering every row with the commonest class.

    Returns
    -------
    Between 0 and 1: the floor against which :func:`domain_only_macro_f1` is read.

    Examples
    --------
    >>> round(dv.metrics.majority_macro_f1([[10, 0], [0, 10]]), 4)
    0.3333
    """
    counts = _used(table)
    commonest = counts.sum(axis=1).argmax()
    return _constant_rule_macro_f1(counts, np.full(counts.shape[1], commonest))


def _used(table: ArrayLike) -> FloatArray:
    """Drop empty rows and columns."""
    counts = check_matrix(table, "table")
    if counts.min() < 0 or counts.sum() == 0:
        msg = (
            f"table must hold counts, zero or more and not all zero; got a minimum of "
            f"{counts.min():.4g} and a sum of {counts.sum():.4g}."
        )
        raise InputError(msg)
    return counts[counts.sum(axis=1) > 0][:, counts.sum(axis=0) > 0]


def _constant_rule_macro_f1(counts: FloatArray, choice: NDArray[np.intp]) -> float:
    predicted = np.bincount(choice, counts.sum(axis=0), len(counts))
    hit = np.bincount(choice, counts[choice, np.arange(counts.shape[1])], len(counts))
    return float(np.mean(2 * hit / (predicted + counts.sum(axis=1))))
