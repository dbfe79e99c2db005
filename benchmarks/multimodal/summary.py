"""What ``results.csv`` says, as Markdown."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

# Training and input of each line, and what to call it.
LINES = {
    ("lr_z", "rna"): "logistic regression on z-scores, mRNA",
    ("lr_z", "mirna"): "logistic regression on z-scores, miRNA",
    ("lr_z", "both"): "logistic regression on z-scores, both side by side",
    ("members", "rna"): "linear members of DomainVI, mRNA",
    ("members", "mirna"): "linear members of DomainVI, miRNA",
    ("members", "both"): "linear members of DomainVI, both",
    ("rna", "rna"): "DomainVI, mRNA",
    ("mirna", "mirna"): "DomainVI, miRNA",
    ("joint", "both"): "DomainVI, both",
    ("joint", "rna"): "DomainVI of both, predicting from mRNA",
    ("joint", "mirna"): "DomainVI of both, predicting from miRNA",
    ("target_lacks_mirna", "rna"): "DomainVI of both, miRNA never measured in the left-out cancer",
    ("target_lacks_rna", "mirna"): "DomainVI of both, mRNA never measured in the left-out cancer",
    ("mixture", "both"): "mixture of experts, both",
    ("mixture", "rna"): "mixture of experts, predicting from mRNA",
    ("mixture", "mirna"): "mixture of experts, predicting from miRNA",
}
COLUMNS = {
    ("lr_z", "both"): "logistic regression, both",
    ("rna", "rna"): "mRNA",
    ("mirna", "mirna"): "miRNA",
    ("joint", "both"): "both",
    ("joint", "rna"): "both, from mRNA",
    ("joint", "mirna"): "both, from miRNA",
}
SCORES = ["balanced_accuracy", "auroc", "nll"]


def summarise(table: pd.DataFrame) -> str:
    """Write the means over cancers, those on some of them, and each cancer."""
    means = table.groupby(["training", "input", "target"])[SCORES].mean()
    means["balanced_accuracy"] *= 100
    n = means.groupby(level=[0, 1]).size()
    every, some = (
        [k for k in LINES if k in n.index and (n[k] == n.max()) == whole] for whole in (True, False)
    )
    return "\n".join(
        [
            "# Tumour and normal by mRNA and miRNA, one cancer left out at a time\n",
            "Written by `python -m benchmarks.multimodal` from `results.csv`. The left-out cancer "
            "is an unlabelled domain. Balanced accuracy in percent; the spread is the standard "
            "deviation, over seeds, of the mean over cancers.\n",
            f"## Means over {n.max()} cancers\n",
            "| | balanced accuracy | lowest | AUROC | NLL | seeds |",
            "|---|---|---|---|---|---|",
            *[_line(table, means, key) for key in every],
            *(_partly(means, some) if some else []),
            "\n## Balanced accuracy by cancer\n",
            *_cancers(means),
            "",
        ]
    )


def _line(table: pd.DataFrame, means: pd.DataFrame, key: tuple[str, str]) -> str:
    own = means.loc[key]
    rows = table[(table["training"] == key[0]) & (table["input"] == key[1])]
    by_seed = 100 * rows.groupby("seed")["balanced_accuracy"].mean()
    spread = f" ± {by_seed.std():.1f}" if len(by_seed) > 1 else ""
    accuracy, auroc, nll = own.mean()
    lowest = own["balanced_accuracy"].min()
    return (
        f"| {LINES[key]} | {accuracy:.1f}{spread} | {lowest:.1f} | {auroc:.3f} | {nll:.3f} "
        f"| {len(by_seed)} |"
    )


def _partly(means: pd.DataFrame, keys: list[tuple[str, str]]) -> list[str]:
    """Lines that were measured on some cancers, beside the joint model on the same ones."""
    lines = ["\n## On some cancers\n", "| | cancers | balanced accuracy | DomainVI of both |"]
    lines.append("|---|---|---|---|")
    for key in keys:
        own = means.loc[key]["balanced_accuracy"]
        joint = means.loc[("joint", key[1])].loc[own.index, "balanced_accuracy"]
        lines.append(
            f"| {LINES[key]} | {', '.join(own.index)} | {own.mean():.1f} | {joint.mean():.1f} |"
        )
    return lines


def _cancers(means: pd.DataFrame) -> list[str]:
    wide = means["balanced_accuracy"].unstack("target")
    shown = {key: name for key, name in COLUMNS.items() if key in wide.index}
    lines = [f"| | {' | '.join(shown.values())} |", "|---" * (len(shown) + 1) + "|"]
    for target in wide.columns:
        cells = " | ".join(f"{wide.loc[key, target]:.1f}" for key in shown)
        lines.append(f"| {target} | {cells} |")
    return lines
