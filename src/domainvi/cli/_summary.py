"""The results that several commands share: audit, predictions, cautions, written files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import domainvi._keys as keys

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from anndata import AnnData

    from domainvi import DomainVI

    from ._options import Training
    from ._results import Results

CAUTIONED = 3


def say_audit(say: Results, model: DomainVI) -> None:
    """Say what the audit found, and what was done about it."""
    if (found := model.fitted.audit) is not None:
        audit = {"verdict": found.verdict, "sentence": found.sentence}
        alignment = model.fitted.guard.alignment
        say(f"audit: {audit['sentence']}", audit=audit)
        say(f"alignment: {alignment}", alignment=alignment)


def say_predictions(say: Results, adata: AnnData, targets: Sequence[str]) -> None:
    """Say what the labels and auxiliary phenotypes are, and what speaks against believing it."""
    from domainvi.trust import annotated_rows, cautions_of_rows, texts

    summary = adata.uns[keys.RESULTS]
    for level in summary.get(keys.LEVELS, [])[:-1]:
        say(predictions={str(level): _say_names(say, adata, str(level))})
    _say_classes(say, adata, summary[keys.LABELS_KEY])
    if (sets := summary.get(keys.PREDICTION_SETS)) is not None:
        say(
            f"prediction sets: {sets['mean_size']:.2f} classes in the mean, one class in "
            f"{sets['one_class']:.0%} of the rows. {sets['promise']}",
            prediction_sets=dict(sets),
        )
    cautions = summary[keys.CAUTIONS].tolist()
    for key in targets:
        if keys.unknown(key) in adata.obs:
            _say_classes(say, adata, key)
            found = cautions_of_rows(annotated_rows(adata.obs, key))
            cautions += [f"{key}: {sentence}" for sentence in texts(found, "caution")]
        else:
            _say_numbers(say, adata, key)
    for sentence in cautions:
        say(f"caution: {sentence}")
    for sentence in (notes := summary[keys.NOTES].tolist()):
        say(f"note: {sentence}")
    say(cautions=cautions, notes=notes)


def status(say: Results, strict: bool) -> int:
    """Exit status of a command that has succeeded, which cautions change where that is wanted."""
    return CAUTIONED if strict and say.values["cautions"] else 0


def _say_names(say: Results, adata: AnnData, key: str) -> dict[str, Any]:
    """Say how many rows each name got, and how sure; return the same as values."""
    predicted = adata.obs[keys.prediction(key)]
    confidence = adata.obs[keys.confidence(key)].groupby(predicted, observed=False).mean()
    counts = predicted.value_counts()
    width = max(len(str(name)) for name in counts.index)
    say(f"predicted {key} of {adata.n_obs} rows:")
    for name, count in counts.items():
        mean = f"  mean confidence {confidence[name]:.2f}" if count else ""
        say(f"  {name!s:<{width}} {count:>7}{mean}")
    classes = {
        name: {"rows": count, "mean_confidence": confidence[name]} for name, count in counts.items()
    }
    return {"rows": adata.n_obs, "classes": classes}


def _say_classes(say: Results, adata: AnnData, key: str) -> None:
    """Say what the classes are, and how many rows look like no known class."""
    from domainvi.trust import Flagged

    summary = _say_names(say, adata, key)
    if keys.level(key) in adata.obs:
        share = adata.obs[keys.level(key)].value_counts(normalize=True, sort=False)
        named = ", ".join(f"{level} {part:.0%}" for level, part in share.items())
        say(f"rows named by {named}")
        summary["levels"] = share.to_dict()
    flagged = Flagged.count(adata.obs[keys.unknown(key)])
    if flagged.tested:
        beyond = "nothing beyond chance was found"
        if flagged.found > flagged.expected or flagged.discoveries:
            beyond = (
                f"{flagged.discoveries} at a false discovery rate of {flagged.FDR:.0%}; "
                f"estimated share of such rows {flagged.share:.0%}"
            )
        say(
            f"rows that fit no known class (p <= {flagged.ALPHA}): {flagged.found}, "
            f"{flagged.expected:.0f} by chance; {beyond}"
        )
    say(predictions={key: summary | {"fit_no_known_class": flagged.to_dict()}})


def _say_numbers(say: Results, adata: AnnData, key: str) -> None:
    """Say where most predicted numbers lie, and how far off they may be."""
    value, error = adata.obs[keys.prediction(key)], adata.obs[keys.confidence(key)]
    low, high, typical = value.quantile(0.1), value.quantile(0.9), error.median()
    summary = {"rows": adata.n_obs, "10 %": low, "90 %": high, "standard_error": typical}
    say(
        f"predicted {key} of {adata.n_obs} rows: {low:.3g} to {high:.3g} (10 % to 90 %), "
        f"standard error {typical:.3g}",
        predictions={key: summary},
    )


def say_agreement(
    say: Results,
    model: DomainVI,
    adata: AnnData,
    options: Training,
    names: Mapping[str, str],
    *,
    used: bool,
) -> None:
    """Score predictions against labels that the data hold, unless they were ``used`` in training.

    Labels are compared by their common names, and of several levels at the finest, whichever the
    rows are named at.
    """
    from domainvi.data import is_labelled, renamed
    from domainvi.metrics import accuracy, macro_f1
    from domainvi.model import finest_predictions

    if (key := options.label) not in adata.obs:
        return
    obs = adata.obs.assign(**{key: renamed(adata.obs[key], names)})
    classes, predicted = adata.uns[keys.RESULTS][keys.CLASSES], finest_predictions(model, adata)
    level: dict[str, str] = {}
    if (tree := model.label_tree) is not None:
        obs[key], level = tree.classes_of(obs, options.unlabeled).to_numpy(), {"level": key}
    known = is_labelled(obs[key], options.unlabeled)
    if used:
        n = int(known.sum())
        say(f"labels of the query: {n}, used in training", query_labels=n)
        return
    truth, found = (column[known].astype(str).to_numpy() for column in (obs[key], predicted))
    if known.any() and not set(classes).intersection(truth):
        others = ", ".join(sorted(set(truth))[:5])
        say(f"its own {len(truth)} labels name none of the classes ({others}): not compared")
    elif known.any():
        f1, share = macro_f1(truth, found), accuracy(truth, found)
        say(
            f"agreement with its own {len(truth)} labels{' of the level ' + key if level else ''}, "
            f"which were not used: macro-F1 {f1:.3f}, accuracy {share:.3f} "
            "(to use them: --use-query-labels)",
            agreement={"rows": len(truth), "macro_f1": f1, "accuracy": share, **level},
        )


def say_written(say: Results, *paths: object) -> None:
    """Say which files were written."""
    say(f"written: {', '.join(map(str, paths))}", written=[str(path) for path in paths])
