"""The lines of results that several commands share."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import domainvi._keys as keys

if TYPE_CHECKING:
    from anndata import AnnData

    from domainvi import DomainVI

_SMALL = 0.05
# Times the number expected by chance, from which on a caution is printed.
_MANY = 2


def judgement(model: "DomainVI") -> Iterator[str]:
    """Say what the audit found, and what was done about it."""
    if model.audit_:
        yield f"audit: {model.audit_['sentence']}"
    if model.guard_.get("alignment") == "off":
        yield "alignment: off, because the audit refused it"


def predictions(adata: "AnnData", labels: str) -> Iterator[str]:
    """Say how many rows each class got, how sure, and how many look like no known class."""
    predicted = adata.obs[keys.prediction(labels)]
    confidence = adata.obs[keys.confidence(labels)]
    counts = predicted.value_counts()
    width = max(len(str(name)) for name in counts.index)
    yield f"predicted {labels} of {adata.n_obs} rows:"
    for name, count in counts.items():
        mean = f"  mean confidence {confidence[predicted == name].mean():.2f}" if count else ""
        yield f"  {name!s:<{width}} {count:>7}{mean}"
    p = adata.obs[keys.unknown(labels)]
    if p.notna().any():
        found, expected = int((p <= _SMALL).sum()), _SMALL * int(p.notna().sum())
        yield f"rows that fit no known class (p <= {_SMALL}): {found}, {expected:.0f} by chance"
        if found > _MANY * expected:
            yield "caution: that is more than chance; the reference may lack classes"


def target_lines(adata: "AnnData", targets: Sequence[str]) -> Iterator[str]:
    """Say what was predicted of each further phenotype."""
    for key in targets:
        if keys.unknown(key) in adata.obs:
            yield from predictions(adata, key)
            continue
        value, error = adata.obs[keys.prediction(key)], adata.obs[keys.confidence(key)]
        yield (
            f"predicted {key} of {adata.n_obs} rows: {value.quantile(0.1):.3g} to "
            f"{value.quantile(0.9):.3g} (10 % to 90 %), standard error {error.median():.3g}"
        )


def agreement(adata: "AnnData", labels: str, unlabeled: str) -> Iterator[str]:
    """Score predictions against labels that the data hold, and that were not used."""
    from domainvi.data._columns import is_labelled
    from domainvi.metrics import accuracy, macro_f1

    if labels not in adata.obs:
        return
    known = adata.obs[is_labelled(adata.obs[labels], unlabeled)]
    truth, predicted = (known[c].astype(str).to_numpy() for c in (labels, keys.prediction(labels)))
    if len(known):
        yield (
            f"agreement with its own {len(known)} labels, which were not used: "
            f"macro-F1 {macro_f1(truth, predicted):.3f}, accuracy {accuracy(truth, predicted):.3f}"
        )
