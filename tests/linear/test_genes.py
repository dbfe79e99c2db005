"""Genes that vary within domains, and genes that tell classes apart."""

import numpy as np
import pytest

from domainvi.linear import TrainingRows, leading_genes
from domainvi.linear._statistics import N_TOP_GENES, gene_weights


def build(x, domain, label, is_source=(True, False), n_classes=2):
    x = np.asarray(x, dtype=np.float32)
    x = x[:, None] if x.ndim == 1 else x
    return TrainingRows(x, np.array(domain), np.array(label), np.array(is_source), n_classes)


def test_leading_genes_vary_within_domains():
    rng = np.random.default_rng(0)
    domain = np.repeat(np.array([0, 1]), 50)
    x = rng.normal(scale=0.1, size=(100, N_TOP_GENES + 2)).astype(np.float32)
    x[:, 0] = 100 * domain
    x[:, 1] = 3.0
    rows = TrainingRows(x, domain, np.full(100, -1), np.array([True, False]), 2)
    found = leading_genes(rows)
    assert len(found) == N_TOP_GENES
    assert (np.diff(found) > 0).all()
    assert not {0, 1} & set(found)


def test_gene_weights_find_planted_genes():
    rng = np.random.default_rng(0)
    domain, truth = np.repeat([0, 1], 100), np.tile([0, 1], 100)
    x = rng.normal(size=(200, 30))
    x[:, :3] += 3 * truth[:, None]
    x[:, 3:6] += 5 * domain[:, None]
    weight = gene_weights(build(x, domain, truth, (True, True)))
    assert weight[:3].min() > 1
    assert weight[3:].max() < 0.5 * weight[:3].min()
    assert np.median(weight[3:]) < 0.05


def test_gene_weights_by_hand():
    # Class means -1 and 1 and a variance of 3 within: e = 1 / 4 before correction by 2 / n.
    x = np.r_[-1 + np.sqrt(3) * np.tile([-1, 1], 50), 1 + np.sqrt(3) * np.tile([-1, 1], 50)]
    rows = build(x, np.zeros(200, dtype=int), np.repeat([0, 1], 100), (True,))
    e = 0.25 - 2 / 200
    assert gene_weights(rows)[0] == pytest.approx(np.sqrt(e / (1.1 - e)), abs=1e-3)


def test_gene_weights_ignore_a_difference_between_domains():
    x = np.r_[np.zeros(20), np.ones(20)] + np.tile([0.0, 0.1], 20)
    rows = build(x, np.repeat([0, 1], 20), np.tile([0, 0, 1, 1], 10), (True, True))
    assert gene_weights(rows)[0] < 0.05


def test_gene_weights_without_classes_to_compare_are_ones():
    rows = build([0.0, 1, 2, 3], [0, 0, 1, 1], [0, 1, -1, -1])
    np.testing.assert_array_equal(gene_weights(rows), [1])


def test_gene_weights_of_constant_genes_are_finite():
    rows = build(np.zeros((8, 2)), np.zeros(8, dtype=int), [0, 1] * 4, (True,))
    assert np.isfinite(gene_weights(rows)).all()
