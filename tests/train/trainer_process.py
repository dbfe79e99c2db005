"""A process that trains on demand, to be killed; forks, so that all is imported only once."""

import faulthandler
import os
import sys
from contextlib import suppress
from hashlib import sha256
from importlib import import_module
from tempfile import TemporaryDirectory

import torch

import domainvi as dv

SECONDS = 120  # the deadline of a training


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


def forked(directory: str, write) -> int:
    """Train in a process of its own, the first there to work with torch; write the result."""
    pid = os.fork()
    if pid == 0:
        faulthandler.dump_traceback_later(SECONDS, exit=True)
        write(train(directory))
        os._exit(0)
    return pid


def import_what_is_imported_late() -> None:
    """Import what a first training does, so that later ones need not."""
    reader, writer = os.pipe()

    def write(_: str) -> None:
        with open(writer, "w") as pipe:  # noqa: PTH123
            pipe.write(" ".join(sys.modules))

    with TemporaryDirectory() as folder:
        pid = forked(folder, write)
        os.close(writer)
        with open(reader) as pipe:  # noqa: PTH123
            names = pipe.read().split()
        os.waitpid(pid, 0)
    for name in names:
        with suppress(ImportError):  # some entries are no modules
            import_module(name)


def say(text: str) -> None:
    """Write at once."""
    sys.stdout.write(text)
    sys.stdout.flush()


def main() -> None:
    """Fork a training for each directory on standard input, and wait until it is over."""
    torch.set_num_threads(1)
    import_what_is_imported_late()
    for line in sys.stdin:
        pid = forked(line.rstrip("\n"), say)
        say(f"{pid}\n")
        _, status = os.waitpid(pid, 0)
        say(f"over {os.waitstatus_to_exitcode(status)}\n")


if __name__ == "__main__":
    main()
