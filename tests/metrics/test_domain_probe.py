"""A fresh probe finds what is there and nothing else."""

import numpy as np
import pytest

from domainvi.errors import InputError
from domainvi.metrics import domain_probe, proxy_a_distance


def test_proxy_a_distance_by_hand():
    assert proxy_a_distance(0.1) == pytest.approx(1.6)
    assert proxy_a_distance(0.7) == 0.0
    with pytest.raises(InputError, match="between 0 and 1"):
        proxy_a_distance(1.2)


@pytest.mark.parametrize("n_domains", [2, 4])
def test_latents_without_domain_are_at_chance(n_domains):
    rng = np.random.default_rng(0)
    domain = np.repeat(np.arange(n_domains), 200)
    probe = domain_probe(rng.normal(size=(len(domain), 5)), domain)
    assert probe.chance == 1 / n_domains
    assert probe.balanced_accuracy == pytest.approx(probe.chance, abs=0.06)
    assert probe.a_distance < 0.2


def test_a_planted_shift_is_found_exactly():
    rng = np.random.default_rng(0)
    domain = np.repeat([0, 1, 2], [20, 100, 300])
    z = rng.normal(size=(420, 4)) + 10 * np.eye(4)[domain]
    probe = domain_probe(z, domain)
    assert (probe.balanced_accuracy, probe.a_distance) == (1.0, 2.0)


def test_only_the_within_class_probe_forgives_a_changed_class_mix():
    rng = np.random.default_rng(0)
    label = np.r_[np.repeat([0, 1], [180, 20]), np.repeat([0, 1], [20, 180])]
    domain = np.repeat([0, 1], 200)
    z = rng.normal(size=(400, 2)) + 8 * np.eye(2)[label]
    probe = domain_probe(z, domain, label)
    assert probe.balanced_accuracy > 0.85
    assert probe.within_class == pytest.approx(0.5, abs=0.12)
    assert probe.within_class_chance == 0.5
    assert set(probe.per_class) == {0, 1}


def test_classes_of_one_domain_and_unlabelled_rows_are_left_out_within_classes():
    rng = np.random.default_rng(0)
    label = np.repeat([0, 1, 2, -1, 0], [50, 50, 3, 20, 50])
    domain = np.repeat([0, 1, 0, 1, 2], [50, 50, 3, 20, 50])
    z = rng.normal(size=(173, 2))
    z[:, 0] += 20 * domain
    probe = domain_probe(z, domain, label)
    assert probe.per_class == {0: 1.0}
    assert probe.within_class_a_distance == 2.0


def test_chance_within_a_class_is_that_of_the_domains_probed():
    rng = np.random.default_rng(0)
    domain = np.repeat([0, 1, 2, 0, 1, 2], [20, 20, 3, 20, 20, 20])
    label = np.repeat([0, 1], [43, 60])
    probe = domain_probe(rng.normal(size=(103, 2)), domain, label)
    assert probe.per_class_chance == {0: 1 / 2, 1: 1 / 3}
    assert probe.within_class_chance == pytest.approx(5 / 12)
    assert probe.within_class_a_distance == np.mean([*probe.per_class_a_distance.values()])


def test_without_a_class_to_probe_the_figures_are_nan():
    rng = np.random.default_rng(0)
    domain = np.repeat([0, 1], 20)
    probe = domain_probe(rng.normal(size=(40, 2)), domain, domain)
    assert np.isnan(probe.within_class)
    assert probe.per_class == {}


def test_groups_stop_the_probe_from_recognising_patients():
    # replicates of a patient are recognised; a patient never seen before is not
    rng = np.random.default_rng(0)
    patient = np.repeat(np.arange(20), 8)
    domain = (patient % 2).astype(int)
    z = np.eye(20)[patient] * 5 + rng.normal(size=(160, 20)) * 0.1
    assert domain_probe(z, domain).balanced_accuracy == 1.0
    grouped = domain_probe(z, domain, groups=patient)
    assert grouped.balanced_accuracy < 0.75


def test_a_forest_finds_what_no_plane_separates():
    rng = np.random.default_rng(0)
    z = rng.normal(size=(250, 2))
    domain = (z[:, 0] * z[:, 1] > 0).astype(int)
    assert domain_probe(z, domain).balanced_accuracy < 0.65
    assert domain_probe(z, domain, classifier="forest").balanced_accuracy > 0.85


@pytest.mark.parametrize(
    ("kwargs", "match"),
    [
        ({"domain": [0] * 20}, "1 domains"),
        ({"domain": [0] * 19 + [1]}, "smallest with 1"),
        ({"domain": [0, 1]}, "20 rows"),
        ({"label": [0, 1]}, "label must hold"),
        ({"n_splits": 1}, "n_splits"),
        ({"classifier": "tree"}, "'tree'"),
    ],
)
def test_bad_input_is_refused(kwargs, match):
    arguments = {"z": np.ones((20, 2)), "domain": [0, 1] * 10} | kwargs
    with pytest.raises(InputError, match=match):
        domain_probe(**arguments)
