"""Heads of DomainVI that can be explained."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scvi import REGISTRY_KEYS

from domainvi._compat import SETUP_ARGS_KEY
from domainvi.errors import InputError
from domainvi.explain import LATENTS, Head
from domainvi.module import phenotype_scores

from ._inference import scaling_statistics
from ._setup import refuse_several

if TYPE_CHECKING:
    import torch

    from domainvi.data import PreparedAnnData

    from ._domainvi import DomainVI


def head_of(model: DomainVI, prepared: PreparedAnnData, target: str | None) -> Head:
    """Return the main head, the latents or an auxiliary phenotype, for prepared rows."""
    refuse_several(model, "explain")
    key, module = model.registry_[SETUP_ARGS_KEY]["labels_key"], model.module
    statistics = scaling_statistics(model, prepared)
    state = prepared.manager.get_state_registry(REGISTRY_KEYS.BATCH_KEY)
    n_domains = len(state.categorical_mapping)

    def latents(u: torch.Tensor, domain: torch.Tensor) -> torch.Tensor:
        return module.embed_log(u, domain, statistics).mean

    def classes(u: torch.Tensor, domain: torch.Tensor) -> torch.Tensor:
        out = module.embed_log(u, domain, statistics)
        return module.ensemble(out.network, out.linear, domain)

    if target in (None, key):
        order = model.fitted.order.classes
        return Head(key, model.classes, classes, True, n_domains, order)
    if target == LATENTS:
        names = [f"{LATENTS}_{i}" for i in range(module.n_latent)]
        return Head(LATENTS, names, latents, False, n_domains, names)
    found = {p.key: p for p in model.phenotypes}.get(target)
    if found is None:
        known = [key, LATENTS, *(p.key for p in model.phenotypes)]
        msg = f"target={target!r} is not known. Use None or one of {', '.join(known)}."
        raise InputError(msg)

    def phenotype(u: torch.Tensor, domain: torch.Tensor) -> torch.Tensor:
        return phenotype_scores(module, found.key, u, domain, statistics)

    names = [found.key] if found.is_numeric else list(found.classes)
    order = names if found.is_numeric else model.fitted.phenotype_order[found.key].classes
    return Head(found.key, names, phenotype, not found.is_numeric, n_domains, order)


def training_arguments(model: DomainVI) -> dict[str, Any]:
    """Arguments with which the training can be repeated; refuse a model that was pretrained."""
    if model.fitted.pretraining is not None:
        msg = (
            "stability= trains the model anew, and cannot repeat its pretraining. Pretrain and "
            "train models with other seeds, and compare what they explain."
        )
        raise InputError(msg)
    return model.fitted.training
