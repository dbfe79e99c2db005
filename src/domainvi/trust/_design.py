"""The thresholds of the audit, and what it says."""

from typing import Literal

Verdict = Literal["alignment allowed", "conditional only", "refused"]

# Cramér's V from which alignment is left to predicted classes, and above which it is refused.
CONDITIONAL_FROM = 0.3
REFUSED_ABOVE = 0.6


def judge(
    association: float, shared: tuple[str, ...], counted: list[str], nested: bool
) -> tuple[Verdict, str]:
    """Return the verdict on an association and the sentence that explains it.

    Parameters
    ----------
    association
        Bias-corrected Cramér's V of class and domain.
    shared
        Classes found in two domains or more.
    counted
        Domains with labelled rows.
    nested
        Whether some classes never meet in a domain, or a domain holds one class only.
    """
    if len(counted) == 1:
        return "conditional only", (
            f"Conditional only: {counted[0]!r} alone has labels, so whether class and domain are "
            "confounded cannot be known from them. If the other domains hold other classes, or "
            "other shares of them, aligning whole domains would mix classes up; DomainVI "
            "aligns within classes, and audits again with its predictions."
        )
    value = f"Cramér's V of class and domain is {association:.2f}"
    if len(shared) < 2:
        return "refused", (
            f"Refused: {'one class' if shared else 'no class'} is found in two domains or more, "
            f"and a transfer needs two such classes ({value}). What tells the classes apart cannot "
            "be told from what tells the domains apart."
        )
    if association > REFUSED_ABOVE:
        return "refused", (
            f"Refused: {value}, above {REFUSED_ABOVE}. Making the domains alike would make the "
            "classes alike. Add rows of the rare combinations, or transfer without alignment."
        )
    if association >= CONDITIONAL_FROM or nested:
        limit = f"at or above {CONDITIONAL_FROM}"
        if association < CONDITIONAL_FROM:
            limit = f"below {CONDITIONAL_FROM}, but some classes or domains do not overlap"
        return "conditional only", (
            f"Conditional only: {value}, {limit}. Align within the {len(shared)} shared classes, "
            "not whole domains."
        )
    return "alignment allowed", (
        f"Alignment allowed: {value}, below {CONDITIONAL_FROM}, with {len(shared)} shared classes."
    )
