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
SHORT = {
    ("rna", "rna"): "mRNA",
    ("mirna", "mirna"): "miRNA",
    ("joint", "both"): "both",
    ("joint", "rna"): "both → mRNA",
    ("joint", "mirna"): "both → miRNA",
    ("lr_z", "both"): "logistic regression, both",
}


def summarise(table: pd.DataFrame) -> str:
    """Write the means over cancers, and each cancer."""
    keys = ["training", "input"]
    n = table.groupby([*keys, "seed"])["target"].nunique()
    whole = table.set_index([*keys, "seed"])[
        (n == n.max()).reindex(table.set_index([*keys, "seed"]).index).to_numpy()
    ]
    by_seed = whole.groupby(level=[0, 1, 2])[["balanced_accuracy", "auroc", "nll"]].mean()
    worst = whole.groupby(level=[0, 1, 2])["balanced_accuracy"].min()
    lines = [
        "# Tumour and normal by mRNA and miRNA, one cancer left out at a time\n",
        "Written by `python -m benchmarks.multimodal` from `results.csv`. The left-out cancer is "
        f"an unlabelled domain; means are over {n.max()} cancers, then over seeds, ± the standard "
        "deviation over seeds.\n",
        "| | balanced accuracy | least | AUROC | NLL | seeds |",
        "|---|---|---|---|---|---|",
    ]
    for key, name in LINES.items():
        if key not in by_seed.index.droplevel(2):
            continue
        own, least = by_seed.loc[key], worst.loc[key]
        accuracy = f"{100 * own['balanced_accuracy'].mean():.1f}"
        if len(own) > 1:
            accuracy += f" ± {100 * own['balanced_accuracy'].std():.1f}"
        lines.append(
            f"| {name} | {accuracy} | {100 * least.mean():.1f} | {own['auroc'].mean():.3f} "
            f"| {own['nll'].mean():.3f} | {len(own)} |"
        )
    return "\n".join([*lines, "", *_cancers(table), ""])


def _cancers(table: pd.DataFrame) -> list[str]:
    """Balanced accuracy of each cancer, means over seeds."""
    means = 100 * table.groupby(["training", "input", "target"])["balanced_accuracy"].mean()
    wide = means.unstack("target")
    shown = {key: name for key, name in SHORT.items() if key in wide.index}
    lines = ["## Balanced accuracy by cancer\n", f"| | {' | '.join(shown.values())} |"]
    lines.append("|---" * (len(shown) + 1) + "|")
    for target in wide.columns:
        cells = " | ".join(f"{wide.loc[key, target]:.1f}" for key in shown)
        lines.append(f"| {target} | {cells} |")
    return lines
