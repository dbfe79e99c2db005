"""Curves against the numbers of a history."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import domainvi as dv
from domainvi.errors import InputError, NotTrainedError


@pytest.fixture
def history() -> dict[str, pd.DataFrame]:
    values = {
        "train_loss": [9.0, 7.0, 6.0],
        "validation_loss": [8.0, 7.5, 7.0],
        "classification_loss_train": [0.7, 0.4, 0.2],
        "domain_accuracy_train": [0.5, 0.9, 0.4],
        "domain_accuracy_chance": [0.25, 0.25, 0.25],
        "domain_probe_train": [0.9, 0.6, 0.5],
        "domain_probe_chance": [0.5, 0.5, 0.5],
        "kl_local_train": [1.0, 2.0, 3.0],
    }
    index = pd.Index(range(3), name="epoch")
    return {name: pd.DataFrame({name: v}, index) for name, v in values.items()}


def test_terms_that_the_history_has_are_drawn(history: dict[str, pd.DataFrame]) -> None:
    axes = dv.pl.training_curves(history)
    labels = [a.get_ylabel() for a in axes]
    assert labels == ["loss", "classification loss", "domain accuracy", "domain probe"]
    train, held_out = axes[0].lines
    np.testing.assert_array_equal(train.get_xydata(), [(1, 9), (2, 7), (3, 6)])
    np.testing.assert_array_equal(held_out.get_ydata(), [8, 7.5, 7])
    legend = [text.get_text() for text in axes[0].get_legend().texts]
    assert legend == ["training rows", "held-out rows"]
    assert len(axes[1].lines) == 1


def test_chance_stands_beside_player_and_referee(history: dict[str, pd.DataFrame]) -> None:
    player, referee = dv.pl.training_curves(history)[-2:]
    np.testing.assert_array_equal(player.lines[0].get_ydata(), [0.5, 0.9, 0.4])
    np.testing.assert_array_equal(player.lines[1].get_ydata(), [0.25, 0.25])
    np.testing.assert_array_equal(referee.lines[0].get_ydata(), [0.9, 0.6, 0.5])
    np.testing.assert_array_equal(referee.lines[1].get_ydata(), [0.5, 0.5])
    for panel in (player, referee):
        assert panel.get_ylim() == (0, 1)
        assert [text.get_text() for text in panel.texts] == ["chance"]


def test_other_terms_on_request(history: dict[str, pd.DataFrame]) -> None:
    (panel,) = dv.pl.training_curves(history, terms=["kl_local"])
    np.testing.assert_array_equal(panel.lines[0].get_ydata(), [1, 2, 3])
    with pytest.raises(InputError, match="no term kl; it has classification_loss, domain_acc"):
        dv.pl.training_curves(history, terms=["kl"])


def test_untrained_models_have_nothing_to_draw() -> None:
    adata = dv.data.synthetic_cohorts(n_obs=60, n_genes=50)
    dv.DomainVI.setup_anndata(adata, batch_key="domain", labels_key="label")
    with pytest.raises(NotTrainedError, match="train"):
        dv.pl.training_curves(dv.DomainVI(adata))
