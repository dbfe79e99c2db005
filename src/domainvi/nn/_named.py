"""Modules under names that users choose."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import unquote

from torch import nn

if TYPE_CHECKING:
    from collections.abc import ItemsView, Iterator, KeysView

_TAKEN = nn.ModuleDict()


class NamedModules(nn.ModuleDict):
    """A dict of modules whose names may be any text.

    PyTorch takes neither names with a dot nor those of its own attributes, such as "type" and
    "keys". These are spelled otherwise inside, and all others are as they are, so that the names
    of the weights do not change.

    Examples
    --------
    >>> from torch import nn
    >>> parts = NamedModules({"rna": nn.Identity(), "rna.v1": nn.Identity(), "type": nn.Identity()})
    >>> list(parts), "type" in parts, parts["rna.v1"]
    (['rna', 'rna.v1', 'type'], True, Identity())
    >>> [inside for inside, _ in parts.named_children()]
    ['rna', 'rna%2Ev1', '%74ype']
    """

    def __getitem__(self, key: str) -> nn.Module:
        return super().__getitem__(inner_name(key))

    def __setitem__(self, key: str, module: nn.Module) -> None:
        super().__setitem__(inner_name(key), module)

    def __delitem__(self, key: str) -> None:
        super().__delitem__(inner_name(key))

    def __contains__(self, key: str) -> bool:
        return super().__contains__(inner_name(key))

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())

    def keys(self) -> KeysView[str]:
        """Names, as they were given."""
        return {unquote(name): None for name in self._modules}.keys()

    def items(self) -> ItemsView[str, nn.Module]:
        """Names, as they were given, and modules."""
        return {unquote(name): module for name, module in self._modules.items()}.items()


def inner_name(name: str) -> str:
    """Spell a name so that PyTorch takes it.

    Examples
    --------
    >>> inner_name("rna"), inner_name("rna.v1"), inner_name("type"), inner_name("50%")
    ('rna', 'rna%2Ev1', '%74ype', '50%25')
    """
    if hasattr(_TAKEN, name):
        return f"%{ord(name[0]):02X}{name[1:]}"
    return name.replace("%", "%25").replace(".", "%2E")
