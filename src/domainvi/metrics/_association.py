"""How far class and domain go together: figures of one contingency table (classes x domains)."""

import numpy as np
import numpy.typing as npt
from scipy.special import rel_entr
from scipy.stats import chi2_contingency

from domainvi.errors import InputError
from domainvi.metrics._check import FloatArray, check_matrix


def _table(table: npt.ArrayLike) -> FloatArray:
    counts = check_matrix(table, "table")
    if counts.min() < 0 or counts.sum() == 0:
        raise InputError(
            f"`table` must hold counts, zero or more and not all zero; got a minimum of "
            f"{counts.min():.4g} and a sum of {counts.sum():.4g}."
        )
    return counts[counts.sum(axis=1) > 0][:, counts.sum(axis=0) > 0]


def cramers_v(table: npt.ArrayLike) -> float:
    r"""Return the bias-corrected Cramér's V of a contingency table.

    Maths first: with :math:`\varphi^2 = \chi^2 / n`, :math:`r` rows and :math:`k` columns,
    :math:`\tilde\varphi^2 = \max(0, \varphi^2 - (k-1)(r-1)/(n-1))`,
    :math:`\tilde k = k - (k-1)^2/(n-1)`, :math:`\tilde r` likewise, and
    :math:`\tilde V = \sqrt{\tilde\varphi^2 / \min(\tilde k - 1, \tilde r - 1)}` (Bergsma,
    Journal of the Korean Statistical Society 2013). Without the correction, small tables of
    independent variables look confounded. The chi-square is scipy's, without Yates' correction.

    Parameters
    ----------
    table
        Counts, shape (classes, domains). Empty rows and columns are dropped.

    Returns
    -------
    float
        Between 0 (independent) and 1 (one determines the other); 0 when there is one row or column.

    Raises
    ------
    InputError
        When the table holds negative, infinite or no counts.

    Examples
    --------
    >>> round(cramers_v([[50, 0], [0, 50]]), 6), cramers_v([[25, 25], [25, 25]])
    (1.0, 0.0)
    """
    counts = _table(table)
    n, (r, k) = counts.sum(), counts.shape
    if min(r, k) < 2 or n < 3:
        return 0.0
    phi2 = chi2_contingency(counts, correction=False).statistic / n
    phi2 = max(0.0, phi2 - (k - 1) * (r - 1) / (n - 1))
    smaller = min(k - (k - 1) ** 2 / (n - 1), r - (r - 1) ** 2 / (n - 1)) - 1
    return float(min(1.0, np.sqrt(phi2 / smaller))) if smaller > 0 else 0.0


def normalised_mutual_information(table: npt.ArrayLike) -> float:
    r"""Return :math:`I(Y; D) / \sqrt{H(Y) H(D)}` of a contingency table.

    Parameters
    ----------
    table
        Counts, shape (classes, domains).

    Returns
    -------
    float
        Between 0 and 1; 0 when there is one class or one domain.

    Raises
    ------
    InputError
        When the table holds negative, infinite or no counts.

    Examples
    --------
    >>> round(normalised_mutual_information([[50, 0], [0, 50]]), 6)
    1.0
    """
    joint = _table(table)
    joint = joint / joint.sum()
    rows, columns = joint.sum(axis=1), joint.sum(axis=0)
    scale = np.sqrt((rows @ np.log(rows)) * (columns @ np.log(columns)))
    if scale <= 0:
        return 0.0
    used = joint > 0
    information = joint[used] @ np.log(joint[used] / np.outer(rows, columns)[used])
    return float(np.clip(information / scale, 0.0, 1.0))


def class_mix(table: npt.ArrayLike) -> FloatArray:
    """Return the class shares of each domain; NaN for a domain without rows.

    Parameters
    ----------
    table
        Counts, shape (classes, domains).

    Returns
    -------
    numpy.ndarray
        Columns that sum to one, shape (classes, domains).

    Raises
    ------
    InputError
        When the table holds infinite values or has no rows or columns.

    Examples
    --------
    >>> class_mix([[1, 3], [1, 1]]).tolist()
    [[0.5, 0.75], [0.5, 0.25]]
    """
    counts = check_matrix(table, "table")
    total = counts.sum(axis=0)
    return np.divide(counts, total, out=np.full_like(counts, np.nan), where=total > 0)


def jensen_shannon_divergence(table: npt.ArrayLike) -> FloatArray:
    r"""Return the Jensen-Shannon divergence of the class mixes of every two domains, in bits.

    Maths first: :math:`JS(P, Q) = H(\tfrac{P+Q}{2}) - \tfrac12 H(P) - \tfrac12 H(Q)` with
    logarithms of base 2 (Lin, IEEE Transactions on Information Theory 1991).

    Parameters
    ----------
    table
        Counts, shape (classes, domains).

    Returns
    -------
    numpy.ndarray
        Symmetric, shape (domains, domains), between 0 and 1; NaN for a domain without rows.

    Raises
    ------
    InputError
        When the table holds infinite values or has no rows or columns.

    Examples
    --------
    >>> jensen_shannon_divergence([[10, 0], [0, 10]]).tolist()
    [[0.0, 1.0], [1.0, 0.0]]
    """
    mix = class_mix(table).T
    middle = (mix[:, None] + mix[None]) / 2
    half = rel_entr(mix[:, None], middle).sum(axis=2) / np.log(2)
    return np.clip((half + half.T) / 2, 0.0, 1.0)


def mixing_error_bound(table: npt.ArrayLike, latent_divergence: float = 0.0) -> FloatArray:
    r"""Return the least joint error that well mixed latents force upon every two domains.

    Maths first: :math:`\varepsilon_S + \varepsilon_T \ge \tfrac12 (d_{JS}(Y) - d_{JS}(Z))^2`
    whenever :math:`d_{JS}(Y) \ge d_{JS}(Z)`, with the Jensen-Shannon distance
    :math:`d_{JS} = \sqrt{JS}` of the class mixes and of the latents (Zhao et al., ICML 2019,
    theorem 4.3). Latents that do not know the domain at all have :math:`d_{JS}(Z) = 0`.

    Parameters
    ----------
    table
        Counts, shape (classes, domains).
    latent_divergence
        Jensen-Shannon distance of the latents of two domains, 0 for perfect mixing.

    Returns
    -------
    numpy.ndarray
        Lower bound on the sum of both error rates, shape (domains, domains), between 0 and 0.5.

    Raises
    ------
    InputError
        When the table or the distance is not valid.

    Examples
    --------
    >>> mixing_error_bound([[10, 0], [0, 10]])[0, 1].item()
    0.5
    """
    if not 0 <= latent_divergence <= 1:
        raise InputError(f"`latent_divergence` must be between 0 and 1; got {latent_divergence}.")
    distance = np.sqrt(jensen_shannon_divergence(table))
    return 0.5 * np.clip(distance - latent_divergence, 0.0, None) ** 2


def _constant_rule_macro_f1(counts: FloatArray, choice: npt.NDArray[np.intp]) -> float:
    domains = np.arange(counts.shape[1])
    predicted = np.bincount(choice, counts.sum(axis=0), len(counts))
    hit = np.bincount(choice, counts[choice, domains], len(counts))
    return float(np.mean(2 * hit / (predicted + counts.sum(axis=1))))


def domain_only_macro_f1(table: npt.ArrayLike) -> float:
    """Return the macro-F1 of a predictor that sees the domain and nothing else.

    It answers each row with the commonest class of its domain, on the table itself.

    Parameters
    ----------
    table
        Counts, shape (classes, domains).

    Returns
    -------
    float
        Between 0 and 1; 1 when the domain gives the class away.

    Raises
    ------
    InputError
        When the table holds negative, infinite or no counts.

    Examples
    --------
    >>> domain_only_macro_f1([[10, 0], [0, 10]])
    1.0
    """
    counts = _table(table)
    return _constant_rule_macro_f1(counts, counts.argmax(axis=0))


def majority_macro_f1(table: npt.ArrayLike) -> float:
    """Return the macro-F1 of answering every row with the commonest class.

    Parameters
    ----------
    table
        Counts, shape (classes, domains).

    Returns
    -------
    float
        Between 0 and 1: the floor against which `domain_only_macro_f1` is read.

    Raises
    ------
    InputError
        When the table holds negative, infinite or no counts.

    Examples
    --------
    >>> round(majority_macro_f1([[10, 0], [0, 10]]), 4)
    0.3333
    """
    counts = _table(table)
    commonest = counts.sum(axis=1).argmax()
    return _constant_rule_macro_f1(counts, np.full(counts.shape[1], commonest))
