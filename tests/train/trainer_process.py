"""A process that trains on demand, to be killed; forks, so that all is imported only once."""

import os
import sys
from hashlib import sha256
from tempfile import TemporaryDirectory

import torch

import domainvi as dv


def train(directory: str) -> str:
    """Train with checkpoints, from what an earlier process left; the hash of the weights."""
    adata = dv.data.synthetic_cohorts(n_obs=80, n_genes=60, seed=1)
    dv.DomainVI.setup_anndata(adata, batch_key="domain", labels_key="label")
    model = dv.DomainVI(adata, n_latent=4, n_hidden=8, n_components=8)
    model.train(
        max_epochs=4,
        batch_size=32,
        checkpoint_dir=directory,
        resume=True,
        enable_progress_bar=False,
    )
    weights = b"".join(v.numpy().tobytes() for v in model.module.state_dict().values())
    return f"{sha256(weights).hexdigest()} {len(model.history['train_loss'])}\n"


def main() -> None:
    """Fork a training for each directory on standard input, and wait until it is over."""
    torch.set_num_threads(1)
    with TemporaryDirectory() as folder:  # what is imported late is imported now
        train(folder)
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            sys.stdout.write(train(line.rstrip("\n")))
            sys.stdout.flush()
            os._exit(0)
        sys.stdout.write(f"{pid}\n")
        sys.stdout.flush()
        _, status = os.waitpid(pid, 0)
        sys.stdout.write(f"over {os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
