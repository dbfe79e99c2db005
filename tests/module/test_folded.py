"""Folded maps against standardising row by row, with values beyond the bounds and odd genes."""

import numpy as np
import pytest
import torch
from scipy import sparse

from domainvi.module._fast_inference import FoldedMaps
from domainvi.module._modality import InputMap
from domainvi.nn._linear import CLIP

N_GENES = 30


def maps(*, high_centre=False):
    generator = torch.Generator().manual_seed(0)

    def draw(*shape):
        return torch.randn(*shape, generator=generator)

    def one(width, centre, scale):
        return InputMap(centre, scale, draw(N_GENES, width), draw(width))

    centre, scale = draw(2, N_GENES).abs(), draw(2, N_GENES).abs() * 0.3 + 0.5
    if high_centre:
        # Zeros of these genes are more than eight standard deviations below.
        centre[:, :4] += 20
        centre[:, 4] -= 20
    masked = scale.clone()
    masked[:, 10:13] = torch.inf
    return [one(6, centre, scale), one(3, centre + 0.1, masked), one(2, centre, scale)]


def rows(n=40, *, negative=False):
    rng = np.random.default_rng(1)
    x = rng.exponential(2.0, (n, N_GENES)) * (rng.random((n, N_GENES)) < 0.3)
    x[0], x[1] = 0, 100
    if negative:
        x[2:6] *= -1
    return torch.from_numpy(x.astype(np.float32))


def as_csr(x):
    m = sparse.csr_matrix(x.numpy())
    return m.indptr, m.indices, torch.from_numpy(m.data)


def row_by_row(x, m, domain):
    s = ((x.double() - m.centre[domain]) / m.scale[domain]).clamp(-CLIP, CLIP)
    return (s @ m.weight.double() + m.bias).float()


@pytest.mark.parametrize("negative", [False, True])
@pytest.mark.parametrize("high_centre", [False, True])
@pytest.mark.parametrize("domain", [0, 1])
def test_scores_are_those_of_standardised_rows(negative, high_centre, domain):
    given, x = maps(high_centre=high_centre), rows(negative=negative)
    folded = FoldedMaps(given, domain)
    expected = [row_by_row(x, m, domain) for m in given]
    for found in (folded.dense(x), folded.sparse(*as_csr(x))):
        assert [f.shape for f in found] == [e.shape for e in expected]
        for f, e in zip(found, expected, strict=True):
            torch.testing.assert_close(f, e, rtol=1e-4, atol=2e-5)


def test_maps_with_one_table_are_read_together():
    folded = FoldedMaps(maps(), 0)
    assert [w.shape[1] for w in folded.weights] == [8, 3]


def test_no_rows_and_empty_rows():
    given = maps()
    folded = FoldedMaps(given, 0)
    assert [len(f) for f in folded.sparse(*as_csr(rows()[:0]))] == [0, 0, 0]
    zeros = torch.zeros(3, N_GENES)
    for f, m in zip(folded.sparse(*as_csr(zeros)), given, strict=True):
        torch.testing.assert_close(f, row_by_row(zeros, m, 0), rtol=1e-4, atol=2e-5)


def test_threads_and_wide_indices_change_nothing(monkeypatch):
    folded, (starts, columns, values) = FoldedMaps(maps(), 0), as_csr(rows())
    expected = torch.cat(folded.sparse(starts, columns, values), dim=1)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    found = folded.sparse(starts.astype(np.int64), columns.astype(np.int64), values)
    assert torch.equal(torch.cat(found, dim=1), expected)
