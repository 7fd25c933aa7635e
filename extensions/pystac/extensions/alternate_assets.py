"""Implements the Alternate Assets extension.

https://github.com/stac-extensions/alternate-assets
"""
# ruff: noqa: FBT001, FBT002 - every extension of pystac takes add_if_missing so

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar, overload

import pystac
from pystac import ItemAssetDefinition
from pystac.extensions.base import ExtensionManagementMixin, PropertiesExtension
from pystac.extensions.hooks import ExtensionHooks
from pystac.utils import get_required

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pystac.serialization.identify import STACJSONDescription, STACVersionID

SCHEMA_URI_PATTERN: str = (
    "https://stac-extensions.github.io/alternate-assets/v{version}/schema.json"
)
DEFAULT_VERSION: str = "1.2.0"
SUPPORTED_VERSIONS: list[str] = ["1.2.0", "1.1.0", "1.0.0"]

ALTERNATE_PROP: str = "alternate"
NAME_PROP: str = "alternate:name"

_LOCATION_FIELDS = ("alternate", "auth:", "storage:", "table:storage_", "xarray:storage_")
"""Prefixes of the fields that say where and how a single copy is read."""

#: What has alternates: an :class:`~pystac.Asset` or an :class:`~pystac.ItemAssetDefinition`
T = TypeVar("T", pystac.Asset, ItemAssetDefinition)


class Alternate:
    """Another location of an asset: the Alternate Asset Object."""

    properties: dict[str, Any]
    """All its fields, including those of other extensions."""

    def __init__(self, properties: dict[str, Any]) -> None:
        self.properties = properties

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Alternate) and self.properties == other.properties

    __hash__ = None  # type: ignore[assignment]  # its fields can change

    def __repr__(self) -> str:
        return f"<Alternate name={self.name}>"  # an href can hold a secret

    @classmethod
    def create(
        cls,
        href: str | None = None,
        name: str | None = None,
        title: str | None = None,
        description: str | None = None,
        extra_fields: Mapping[str, Any] | None = None,
    ) -> Alternate:
        """Return a new alternate.

        Args:
            href: Link to the asset at this location; absolute, or relative to the
                item or collection. Required in an asset, and not allowed in an
                item asset definition.
            name: Short name that distinguishes the alternates of an asset.
            title: Title for clients and users.
            description: What users should know about this location.
            extra_fields: Further fields, for example of the Storage extension.
        """
        fields = {"href": href, NAME_PROP: name, "title": title, "description": description}
        given = {field: value for field, value in fields.items() if value is not None}
        return cls({**(extra_fields or {}), **given})

    @property
    def href(self) -> str:
        """Get or set the link to the asset at this location.

        Raises:
            pystac.RequiredPropertyMissing: It has none, as in an item asset definition.
        """
        href: str = get_required(self.properties.get("href"), self, "href")
        return href

    @href.setter
    def href(self, v: str) -> None:
        self.properties["href"] = v

    @property
    def name(self) -> str | None:
        """Get or set the short name, the field `alternate:name`."""
        return self.properties.get(NAME_PROP)

    @name.setter
    def name(self, v: str | None) -> None:
        self._set(NAME_PROP, v)

    @property
    def title(self) -> str | None:
        """Get or set the title."""
        return self.properties.get("title")

    @title.setter
    def title(self, v: str | None) -> None:
        self._set("title", v)

    @property
    def description(self) -> str | None:
        """Get or set the description."""
        return self.properties.get("description")

    @description.setter
    def description(self, v: str | None) -> None:
        self._set("description", v)

    def to_dict(self) -> dict[str, Any]:
        """Return a copy of its fields."""
        return deepcopy(self.properties)

    def _set(self, field: str, v: str | None) -> None:
        if v is None:
            self.properties.pop(field, None)
        else:
            self.properties[field] = v


class AlternateAssetsExtension(
    PropertiesExtension,
    ExtensionManagementMixin[pystac.Item | pystac.Collection],
    Generic[T],
):
    """Alternates of an :class:`~pystac.Asset` or :class:`~pystac.ItemAssetDefinition`.

    Use :meth:`ext` to get one:

        >>> AlternateAssetsExtension.ext(item.assets["red"]).alternates["s3"].href
        >>> AlternateAssetsExtension.ext(item).get_asset("red", "s3").href

    The extension has no fields in the properties of items, and so no summaries.
    """

    name: Literal["alternate"] = "alternate"

    def apply(self, alternates: Mapping[str, Alternate], alternate_name: str | None = None) -> None:
        """Set the fields of this extension.

        Args:
            alternates: The alternates by key. Use the same keys in all assets and
                items of a source.
            alternate_name: Short name that distinguishes the asset from its alternates.
        """
        self.alternates = dict(alternates)
        self.alternate_name = alternate_name

    @property
    def alternates(self) -> dict[str, Alternate]:
        """Get or set the alternates by key; without any, the field `alternate` is removed.

        The dictionary returned is new; changes of the alternates in it change the asset.
        """
        found = self._get_property(ALTERNATE_PROP, dict[str, dict[str, Any]]) or {}
        return {key: Alternate(properties) for key, properties in found.items()}

    @alternates.setter
    def alternates(self, v: Mapping[str, Alternate] | None) -> None:
        fields = {key: alternate.properties for key, alternate in (v or {}).items()}
        self._set_property(ALTERNATE_PROP, fields or None)

    @property
    def alternate_name(self) -> str | None:
        """Get or set the short name of the asset itself, the field `alternate:name`."""
        return self._get_property(NAME_PROP, str)

    @alternate_name.setter
    def alternate_name(self, v: str | None) -> None:
        self._set_property(NAME_PROP, v)

    def add_alternate(self, key: str, alternate: Alternate) -> None:
        """Add an alternate, replacing any with the same key."""
        self.alternates = {**self.alternates, key: alternate}

    @classmethod
    def get_schema_uri(cls) -> str:
        """Return the URI of the schema of the newest version."""
        return SCHEMA_URI_PATTERN.format(version=DEFAULT_VERSION)

    @overload
    @classmethod
    def ext(
        cls, obj: pystac.Asset, add_if_missing: bool = ...
    ) -> AssetAlternateAssetsExtension: ...
    @overload
    @classmethod
    def ext(
        cls, obj: ItemAssetDefinition, add_if_missing: bool = ...
    ) -> ItemAssetsAlternateAssetsExtension: ...
    @overload
    @classmethod
    def ext(
        cls, obj: pystac.Item | pystac.Collection, add_if_missing: bool = ...
    ) -> OwnerAlternateAssetsExtension: ...
    @classmethod
    def ext(cls, obj: object, add_if_missing: bool = False) -> object:
        """Extend an object with the fields of this extension.

        Args:
            obj: An asset or item asset definition, for its alternates; an item or
                collection, for those of its assets.
            add_if_missing: Whether to add the extension to the item or collection if
                it does not list it yet.

        Returns:
            The object's alternates, as the class for its type.

        Raises:
            pystac.ExtensionNotImplemented: The item or collection does not list the
                extension.
            pystac.ExtensionTypeError: The object cannot have alternates.
        """
        if isinstance(obj, pystac.Asset):
            cls.ensure_owner_has_extension(obj, add_if_missing)
            return AssetAlternateAssetsExtension(obj)
        if isinstance(obj, ItemAssetDefinition):
            cls.ensure_owner_has_extension(obj, add_if_missing)
            return ItemAssetsAlternateAssetsExtension(obj)
        if isinstance(obj, (pystac.Item, pystac.Collection)):
            cls.ensure_has_extension(obj, add_if_missing)
            return OwnerAlternateAssetsExtension(obj)
        raise pystac.ExtensionTypeError(cls._ext_error_message(obj))


class AssetAlternateAssetsExtension(AlternateAssetsExtension[pystac.Asset]):
    """The alternates of an asset; returned by :meth:`AlternateAssetsExtension.ext`."""

    asset: pystac.Asset
    """The asset that is extended."""

    properties: dict[str, Any]
    """Its fields."""

    def __init__(self, asset: pystac.Asset) -> None:
        self.asset = asset
        self.properties = asset.extra_fields

    def __repr__(self) -> str:
        return f"<AssetAlternateAssetsExtension alternates={', '.join(self.alternates)}>"

    def get_asset(self, alternate: str) -> pystac.Asset:
        """Return the asset at another location.

        Args:
            alternate: Key of the alternate, or the asset's own `alternate:name`.

        Returns:
            A copy of the asset with the fields of the alternate in place of its own,
            and without alternates. Fields of the asset's own location (storage and
            authentication) are left out. It has the same owner, so that relative
            links resolve.

        Raises:
            KeyError: It has no such alternate.
        """
        fields = self.asset.to_dict()
        alternates = fields.pop(ALTERNATE_PROP, {})
        if alternate in alternates:
            fields = {
                field: value
                for field, value in fields.items()
                if not field.startswith(_LOCATION_FIELDS)
            }
            fields.update(alternates[alternate])
        elif alternate != self.alternate_name:
            raise KeyError(
                f"the asset has no alternate {alternate!r}; "
                f"it has {', '.join(map(repr, alternates)) or 'none'}"
            )
        asset = type(self.asset).from_dict(deepcopy(fields))
        if self.asset.owner is not None:
            asset.set_owner(self.asset.owner)
        return asset


class ItemAssetsAlternateAssetsExtension(AlternateAssetsExtension[ItemAssetDefinition]):
    """The alternates that a collection announces for an asset of its items.

    They have no href. Returned by :meth:`AlternateAssetsExtension.ext`.
    """

    asset_defn: ItemAssetDefinition
    """The item asset definition that is extended."""

    properties: dict[str, Any]
    """Its fields."""

    def __init__(self, item_asset: ItemAssetDefinition) -> None:
        self.asset_defn = item_asset
        self.properties = item_asset.properties

    def __repr__(self) -> str:
        return f"<ItemAssetsAlternateAssetsExtension title={self.asset_defn.title}>"


class OwnerAlternateAssetsExtension:
    """The alternates of all assets of an item or a collection.

    Returned by :meth:`AlternateAssetsExtension.ext`.
    """

    owner: pystac.Item | pystac.Collection
    """The item or collection that is extended."""

    def __init__(self, owner: pystac.Item | pystac.Collection) -> None:
        self.owner = owner

    def __repr__(self) -> str:
        return f"<OwnerAlternateAssetsExtension {type(self.owner).__name__} id={self.owner.id}>"

    def get_asset(self, key: str, alternate: str) -> pystac.Asset:
        """Return an asset at another location.

        Args:
            key: Key of the asset.
            alternate: Key of the alternate, or the asset's own `alternate:name`.

        Returns:
            The asset, as of :meth:`AssetAlternateAssetsExtension.get_asset`.

        Raises:
            KeyError: There is no such asset, or it has no such alternate.
        """
        extended = AssetAlternateAssetsExtension(self.owner.assets[key])
        try:
            return extended.get_asset(alternate)
        except KeyError as error:
            raise KeyError(f"{self.owner.id}, asset {key}: {error.args[0]}") from None

    def get_assets(self, alternate: str) -> dict[str, pystac.Asset]:
        """Return all assets that have a copy at a location.

        Args:
            alternate: Key of the alternate, or the assets' own `alternate:name`.

        Returns:
            The assets at that location, by key.
        """
        extended = {
            key: AssetAlternateAssetsExtension(asset) for key, asset in self.owner.assets.items()
        }
        return {
            key: each.get_asset(alternate)
            for key, each in extended.items()
            if alternate in each.alternates or alternate == each.alternate_name
        }


class AlternateAssetsExtensionHooks(ExtensionHooks):
    """Migrates objects of older versions of the extension."""

    schema_uri: str = SCHEMA_URI_PATTERN.format(version=DEFAULT_VERSION)
    prev_extension_ids = {  # noqa: RUF012 - as pystac's
        SCHEMA_URI_PATTERN.format(version=version)
        for version in SUPPORTED_VERSIONS
        if version != DEFAULT_VERSION
    }
    stac_object_types = {pystac.STACObjectType.COLLECTION, pystac.STACObjectType.ITEM}  # noqa: RUF012 - as pystac's

    def migrate(
        self, obj: dict[str, Any], version: STACVersionID, info: STACJSONDescription
    ) -> None:
        """Migrate an object to the newest version.

        Version 1.2.0 forbids an `alternate` without entries, an empty `description`,
        and an `href` in an item asset definition: these are removed.
        """
        uris = obj["stac_extensions"]
        if self.prev_extension_ids.isdisjoint(uris):
            return
        super().migrate(obj, version, info)  # replaces one URI, and others can be there
        newest = (self.schema_uri if uri in self.prev_extension_ids else uri for uri in uris)
        obj["stac_extensions"] = list(dict.fromkeys(newest))
        for asset in _members(obj.get("assets")):
            _migrate_asset(asset)
        for definition in _members(obj.get("item_assets")):
            _migrate_asset(definition)
            for alternate in _members(definition.get(ALTERNATE_PROP)):
                alternate.pop("href", None)


def _migrate_asset(asset: dict[str, Any]) -> None:
    if asset.get(ALTERNATE_PROP) == {}:
        del asset[ALTERNATE_PROP]
    for alternate in _members(asset.get(ALTERNATE_PROP)):
        if alternate.get("description") == "":
            del alternate["description"]


def _members(objects: object) -> list[dict[str, Any]]:
    """Return the objects in a field of objects by key, ignoring anything malformed."""
    members = objects.values() if isinstance(objects, dict) else ()
    return [member for member in members if isinstance(member, dict)]


ALTERNATE_ASSETS_EXTENSION_HOOKS: ExtensionHooks = AlternateAssetsExtensionHooks()

# pystac 1.15 loads them by the entry point, older releases do not.
if ALTERNATE_ASSETS_EXTENSION_HOOKS.schema_uri not in pystac.EXTENSION_HOOKS.hooks:
    pystac.EXTENSION_HOOKS.add_extension_hooks(ALTERNATE_ASSETS_EXTENSION_HOOKS)
