"""The few private scvi-tools names that DomainVI needs; each is held by a contract test.

They exist under these names in scvi-tools 1.4.2 and 1.5. ``BaseModelClass`` hooks with a leading
underscore that every scvi-tools model overrides or calls (``_get_setup_method_args``,
``_get_init_params``, ``_validate_anndata``, ``_make_data_loader``,
``_get_most_recent_anndata_manager``, ``_register_manager_for_instance``) are used on the model
classes and are named in the same contract test.
"""

# scvi-tools prints registries with rich.pretty, and leaves importing it to others.
import rich.pretty  # noqa: F401
from scvi.data._constants import _FIELD_REGISTRIES_KEY as FIELD_REGISTRIES_KEY
from scvi.data._constants import _SETUP_ARGS_KEY as SETUP_ARGS_KEY
from scvi.data._constants import _SETUP_METHOD_NAME as SETUP_METHOD_KEY
from scvi.data._constants import _STATE_REGISTRY_KEY as STATE_REGISTRY_KEY
from scvi.model._utils import parse_device_args
from scvi.model.base._de_core import _de_core as de_core
from scvi.module._constants import MODULE_KEYS
from scvi.train._logger import SimpleLogger

__all__ = [
    "FIELD_REGISTRIES_KEY",
    "MODULE_KEYS",
    "SETUP_ARGS_KEY",
    "SETUP_METHOD_KEY",
    "STATE_REGISTRY_KEY",
    "SimpleLogger",
    "de_core",
    "parse_device_args",
]
