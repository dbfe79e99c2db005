"""Train in one process or several, save, and note the loss curve; run as a script.

As a task of a SLURM job, which says its rank, the process is one of as many nodes.
"""

import json
import os
import sys
import warnings
from pathlib import Path

import domainvi as dv
from domainvi.train import _processes


def main(folder: Path, n_processes: int, lr: float) -> None:
    warnings.simplefilter("ignore")
    adata = dv.data.synthetic_cohorts(n_obs=600, n_genes=80, domain_effect=2.0, seed=1)
    dv.DomainVI.setup_anndata(adata, batch_key="domain", labels_key="label")
    model = dv.DomainVI(adata, n_latent=6, n_hidden=16, n_components=10)
    # At a large rate the loss is not always lower than before, and training stops soon.
    _processes.PATIENCE = 2 if lr > 0.1 else _processes.PATIENCE
    several = {"devices": n_processes, "strategy": "ddp"} if n_processes > 1 else {"devices": 1}
    if "SLURM_PROCID" in os.environ:
        several |= {"devices": 1, "num_nodes": n_processes}
    model.train(
        max_epochs=60 if lr > 0.1 else 8,
        accelerator="cpu",
        batch_size=64 // n_processes,
        plan_kwargs={"lr": lr},
        enable_progress_bar=False,
        **several,
    )
    model.save(folder / "model")
    rank = os.environ.get("SLURM_PROCID", os.environ.get("LOCAL_RANK", "0"))
    weights = {k: float(v.double().sum()) for k, v in model.module.state_dict().items()}
    outcome = {
        "epochs": model.trainer.current_epoch,
        "weights": weights,
        "predicted": model.predict().tolist(),
        "history": {k: v.iloc[:, 0].astype(float).tolist() for k, v in model.history.items()},
    }
    (folder / f"rank_{rank}.json").write_text(json.dumps(outcome))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))
