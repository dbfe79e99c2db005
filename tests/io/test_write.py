"""Saving: what may be replaced, and failures at every step of it."""

from __future__ import annotations

import errno
import os
import signal
import threading
import time
from pathlib import Path

import pytest
import torch

from domainvi.errors import ModelFileError
from domainvi.io import _atomic, _write, read_model, write_model

# Every call by which a save touches the disk.
OPERATIONS = ("open", "write", "fsync", "replace", "rename", "mkdir", "unlink", "rmdir")
OLD, NEW = 1, 2


class Crash(BaseException):
    """Stands for a process that ends: no later operation reaches the disk either."""


def save(directory, generation, **kwargs):
    """Save a model that says in both of its files which one it is."""
    tensors = {"x": torch.full((2000,), generation)}
    write_model(directory, tensors, {"generation": generation}, **kwargs)


def generation_of(directory):
    tensors, metadata = read_model(directory)
    assert set(tensors["x"].tolist()) == {metadata["generation"]}
    return metadata["generation"]


def intercept(monkeypatch, before):
    """Call `before(operation, arguments)` ahead of every operation on the disk."""

    def wrapped(name, original):
        def call(*args, **kwargs):
            before(name, args)
            return original(*args, **kwargs)

        return call

    for name in OPERATIONS:
        monkeypatch.setattr(os, name, wrapped(name, getattr(os, name)))


def run_with_failure(monkeypatch, position, error, action, *, for_good):
    """Run `action` with operation number `position` failing; say whether it was reached."""
    count = 0

    def before(name, args):
        nonlocal count
        count += 1
        if count == position or (for_good and count > position):
            if name == "write" and for_good and count == position:
                os.ftruncate(args[0], len(args[1]) // 2)  # half a write, as a crash may leave it
            raise error

    with monkeypatch.context() as patch:
        intercept(patch, before)
        try:
            action()
        except (Crash, ModelFileError) as raised:
            return count >= position, raised
    return count >= position, None


@pytest.mark.parametrize("overwrite", [False, True])
def test_crash_at_every_operation(overwrite, tmp_path, monkeypatch):
    position, reached, survivors = 0, True, set()
    while reached:
        position += 1
        target = tmp_path / str(position) / "model"
        target.parent.mkdir()
        if overwrite:
            save(target, OLD)
        reached, _ = run_with_failure(
            monkeypatch,
            position,
            Crash(),
            lambda to=target: save(to, NEW, overwrite=overwrite),
            for_good=True,
        )
        if overwrite or target.exists():
            survivors.add(generation_of(target))
        save(target, 3, overwrite=True)
        assert generation_of(target) == 3
        assert [p.name for p in target.parent.iterdir()] == ["model"]
        assert len(list(target.iterdir())) == 2
    assert survivors == ({OLD, NEW} if overwrite else {NEW})
    assert position > 10


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EIO])
def test_error_at_every_operation(code, overwrite, tmp_path, monkeypatch):
    position, reached, n_errors = 0, True, 0
    while reached:
        position += 1
        target = tmp_path / str(position) / "parent" / "model"
        target.parent.parent.mkdir()
        if overwrite:
            save(target, OLD)
        reached, raised = run_with_failure(
            monkeypatch,
            position,
            OSError(code, os.strerror(code)),
            lambda to=target: save(to, NEW, overwrite=overwrite),
            for_good=False,
        )
        n_errors += raised is not None
        if raised is not None:
            assert os.strerror(code) in str(raised)
            assert "model in memory is intact" in str(raised)
            assert "\n" not in str(raised)
        if overwrite or raised is None or target.exists():
            assert generation_of(target) in ({OLD, NEW} if raised else {NEW})
        if raised is None or not overwrite:
            continue
        # When the last sync fails, a power cut could bring the old model back: its weights stay.
        n_files = 3 if generation_of(target) == NEW else 2
        assert len(list(target.iterdir())) == n_files
        save(target, 3, overwrite=True)
        assert len(list(target.iterdir())) == 2
    assert n_errors > 5


def test_failed_first_save_leaves_nothing(tmp_path, monkeypatch):
    def full(name, args):
        if name == "write":
            raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        intercept(patch, full)
        with pytest.raises(ModelFileError, match=r"No space left .* Free some space"):
            save(tmp_path / "a" / "b" / "model", NEW)
    assert list(tmp_path.iterdir()) == []


def test_interrupt_between_manifest_and_clean_up_keeps_the_new_model(tmp_path, monkeypatch):
    save(tmp_path / "m", OLD)
    original = _write.put_file

    def interrupted(path, data):
        original(path, data)
        if path.name == "model.json":
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(_write, "put_file", interrupted)
        with pytest.raises(KeyboardInterrupt):
            save(tmp_path / "m", NEW, overwrite=True)
    assert generation_of(tmp_path / "m") == NEW


def test_failure_keeps_weights_that_old_and_new_model_share(tmp_path, monkeypatch):
    tensors = {"x": torch.ones(3)}
    write_model(tmp_path / "m", tensors, {"generation": OLD})
    original = _write.put_file

    def full(path, data):
        if path.name == "model.json":
            raise OSError(errno.ENOSPC, "No space left on device")
        original(path, data)

    with monkeypatch.context() as patch:
        patch.setattr(_write, "put_file", full)
        with pytest.raises(ModelFileError, match="No space left"):
            write_model(tmp_path / "m", tensors, {"generation": NEW}, overwrite=True)
    assert read_model(tmp_path / "m")[1] == {"generation": OLD}


@pytest.mark.skipif(not hasattr(signal, "SIGXFSZ"), reason="POSIX only")
def test_kernel_refuses_to_write_more(tmp_path):
    import resource

    save(tmp_path / "m", OLD)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(ModelFileError, match="File too large"):
            save(tmp_path / "m", NEW, overwrite=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert generation_of(tmp_path / "m") == OLD
    assert len(list((tmp_path / "m").iterdir())) == 2


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write all")
def test_read_only_folder(tmp_path):
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(ModelFileError, match="Choose a directory in which you may write"):
            save(tmp_path / "m", NEW)
    finally:
        tmp_path.chmod(0o700)


def test_overwrite_replaces_only_with_permission(tmp_path):
    save(tmp_path / "m", OLD)
    with pytest.raises(ModelFileError, match="already holds a model. Pass overwrite=True"):
        save(tmp_path / "m", NEW)
    assert generation_of(tmp_path / "m") == OLD
    save(tmp_path / "m", NEW, overwrite=True)
    assert generation_of(tmp_path / "m") == NEW
    assert len(list((tmp_path / "m").iterdir())) == 2


def test_saving_the_same_again_repairs_damaged_weights(tmp_path):
    save(tmp_path / "m", NEW)
    (weights,) = (tmp_path / "m").glob("weights-*")
    weights.write_bytes(b"damaged")
    save(tmp_path / "m", NEW, overwrite=True)
    assert generation_of(tmp_path / "m") == NEW


@pytest.mark.parametrize("overwrite", [False, True])
def test_empty_directory_is_used_and_kept(overwrite, tmp_path):
    inode = tmp_path.stat().st_ino
    save(tmp_path, NEW, overwrite=overwrite)
    assert generation_of(tmp_path) == NEW
    assert tmp_path.stat().st_ino == inode


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("thesis.tex", b"precious"),
        ("model.json", b"{}"),
        ("model.json", b'{"format": "other"}'),
        ("model.json", b"not json"),
        ("model.json", b"[]"),
    ],
)
def test_foreign_directory_is_never_overwritten(name, content, overwrite, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ModelFileError, match="Choose a new or empty directory"):
        save(tmp_path, NEW, overwrite=overwrite)
    assert [p.name for p in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_bytes() == content


@pytest.mark.parametrize("overwrite", [False, True])
def test_file_and_links_are_never_overwritten(overwrite, tmp_path):
    (tmp_path / "file").write_text("precious")
    save(tmp_path / "m", OLD)
    (tmp_path / "link").symlink_to(tmp_path / "m")
    for name in ("file", "link"):
        with pytest.raises(ModelFileError, match=f"{name}' is a"):
            save(tmp_path / name, NEW, overwrite=overwrite)
    with pytest.raises(ModelFileError, match="Not a directory"):
        save(tmp_path / "file" / "m", NEW, overwrite=overwrite)
    assert (tmp_path / "file").read_text() == "precious"
    assert generation_of(tmp_path / "m") == OLD


def test_linked_manifest_is_not_followed(tmp_path):
    save(tmp_path / "a", OLD)
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "model.json").symlink_to(tmp_path / "a" / "model.json")
    with pytest.raises(ModelFileError, match="symbolic link inside"):
        save(tmp_path / "b", NEW, overwrite=True)
    assert generation_of(tmp_path / "a") == OLD


def test_other_files_beside_the_model_stay(tmp_path):
    save(tmp_path / "m", OLD)
    (tmp_path / "m" / "README.md").write_text("card")
    (tmp_path / "m" / ".git").mkdir()
    save(tmp_path / "m", NEW, overwrite=True)
    assert generation_of(tmp_path / "m") == NEW
    assert (tmp_path / "m" / "README.md").read_text() == "card"


def test_weights_that_lost_their_manifest_need_overwrite(tmp_path):
    save(tmp_path / "m", OLD)
    (tmp_path / "m" / "model.json").unlink()
    with pytest.raises(ModelFileError, match="no model"):
        save(tmp_path / "m", NEW)
    save(tmp_path / "m", NEW, overwrite=True)
    assert generation_of(tmp_path / "m") == NEW
    assert len(list((tmp_path / "m").iterdir())) == 2


@pytest.mark.skipif(os.name == "nt", reason="locks are POSIX only")
def test_second_writer_is_refused_and_living_work_is_not_swept(tmp_path):
    save(tmp_path / "m", OLD)
    with _atomic.directory_lock(tmp_path / "m") as state:
        assert state == "held"
        with pytest.raises(ModelFileError, match="being written by another process"):
            save(tmp_path / "m", NEW, overwrite=True)
    living = _write.temporary_sibling(tmp_path / "m")
    living.mkdir()
    with _atomic.directory_lock(living):
        save(tmp_path / "m", NEW, overwrite=True)
        assert living.exists()
    save(tmp_path / "m", OLD, overwrite=True)
    assert not living.exists()


def test_file_system_without_locks(tmp_path, monkeypatch):
    def unsupported(*args):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(_atomic.fcntl, "flock", unsupported)
    young = _write.temporary_sibling(tmp_path / "m")
    old = _write.temporary_sibling(tmp_path / "m")
    young.mkdir()
    old.mkdir()
    os.utime(old, (0, 0))
    save(tmp_path / "m", NEW)
    assert generation_of(tmp_path / "m") == NEW
    assert young.exists()
    assert not old.exists()


def test_readers_meet_a_writer(tmp_path):
    directory = tmp_path / "m"
    save(directory, 0)
    stop, seen, faults = threading.Event(), set(), []

    def read():
        while not stop.is_set():
            try:
                seen.add(generation_of(directory))
            except Exception as error:  # noqa: BLE001
                faults.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    deadline, generation = time.monotonic() + 1.5, 0
    while time.monotonic() < deadline:
        generation += 1
        save(directory, generation, overwrite=True)
    stop.set()
    reader.join()
    assert faults == []
    assert len(seen) > 1


def test_relative_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save("m", NEW)
    assert generation_of(Path("m")) == NEW
    with pytest.raises(ModelFileError, match=r"contains '\.\.'\. Give the resolved path"):
        save("../x", NEW)
