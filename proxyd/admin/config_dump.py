"""/config_dump: the running configuration, as Envoy's *ConfigDump messages, without its secrets."""

import base64
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from proxyd.admin.context import AdminContext
from proxyd.admin.endpoint import BadParameterError
from proxyd.admin.messages import AdminReply, AdminRequest, json_document, text
from proxyd.stats.selection import PatternError, compile_pattern

_TYPES: Final = "type.googleapis.com/envoy."
_REDACTED: Final = "[redacted]"

# Fields that Envoy marks as sensitive: whatever text is below them is not shown.
_SENSITIVE: Final = frozenset(
    {"private_key", "password", "session_ticket_keys", "generic_secret", "hmac_secret", "token_secret"}
)

# The fields of each dump: a repeated one with the message of its elements, any other with an empty text.
_FIELDS: Final[dict[str, dict[str, str]]] = {
    "BootstrapConfigDump": {"bootstrap": "", "last_updated": ""},
    "ClustersConfigDump": {
        "version_info": "",
        "static_clusters": "StaticCluster",
        "dynamic_active_clusters": "DynamicCluster",
        "dynamic_warming_clusters": "DynamicCluster",
    },
    "ListenersConfigDump": {
        "version_info": "",
        "static_listeners": "StaticListener",
        "dynamic_listeners": "DynamicListener",
    },
    "ScopedRoutesConfigDump": {
        "inline_scoped_route_configs": "InlineScopedRouteConfigs",
        "dynamic_scoped_route_configs": "DynamicScopedRouteConfigs",
    },
    "RoutesConfigDump": {
        "static_route_configs": "StaticRouteConfig",
        "dynamic_route_configs": "DynamicRouteConfig",
    },
    "SecretsConfigDump": {
        "static_secrets": "StaticSecret",
        "dynamic_active_secrets": "DynamicSecret",
        "dynamic_warming_secrets": "DynamicSecret",
    },
}
# In the elements of the repeated fields above: where the configured message is.
_ELEMENT_KEYS: Final = ("cluster", "listener", "route_config")


async def config_dump(context: AdminContext, request: AdminRequest) -> AdminReply:
    """Everything, or the field ``resource``, or the fields of ``mask``; ``name_regex`` picks by name."""
    parameters = request.parameters()
    dumps = _dumps(context.bootstrap(), context.config_loaded_at())
    _keep_named(dumps, parameters.get("name_regex", ""))
    resource = parameters.get("resource", "")
    mask = [path for path in parameters.get("mask", "").split(",") if path]
    if resource:
        return _one_resource(dumps, resource, mask)
    if mask:
        chosen = [
            _masked(dump, mask) for name, dump in dumps.items() if all(_valid(name, path) for path in mask)
        ]
        if not chosen:
            raise BadParameterError(
                f"FieldMask {','.join(mask)} could not be successfully applied to any configs."
            )
        return json_document({"configs": chosen})
    return json_document({"configs": list(dumps.values())})


def redact(value: Any, hide: bool = False) -> Any:
    """A copy of proto JSON in which no text below a sensitive field is left."""
    if isinstance(value, Mapping):
        return {
            key: base64.b64encode(_REDACTED.encode()).decode()
            if key == "inline_bytes" and hide
            else redact(inner, hide or key in _SENSITIVE)
            for key, inner in value.items()
        }
    if isinstance(value, (list, tuple)):
        return [redact(inner, hide) for inner in value]
    return _REDACTED if hide and isinstance(value, str) else value


def _dumps(bootstrap: Mapping[str, Any], loaded_at: float) -> dict[str, dict[str, Any]]:
    """The dumps by the name of their message, in Envoy's order."""
    shown: dict[str, Any] = redact(bootstrap)
    updated = datetime.fromtimestamp(loaded_at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    static = shown.get("static_resources") or {}
    clusters = static.get("clusters") or []
    listeners = static.get("listeners") or []

    def elements(key: str, kind: str, messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [{key: {"@type": _TYPES + kind, **message}, "last_updated": updated} for message in messages]

    contents: dict[str, dict[str, Any]] = {
        "BootstrapConfigDump": {"bootstrap": shown, "last_updated": updated},
        "ClustersConfigDump": {
            "static_clusters": elements("cluster", "config.cluster.v3.Cluster", clusters),
        },
        "ListenersConfigDump": {
            "static_listeners": elements("listener", "config.listener.v3.Listener", listeners),
        },
        "ScopedRoutesConfigDump": {},
        "RoutesConfigDump": {
            "static_route_configs": elements(
                "route_config", "config.route.v3.RouteConfiguration", _route_configs(listeners)
            ),
        },
        "SecretsConfigDump": {},
    }
    return {
        name: {"@type": f"{_TYPES}admin.v3.{name}", **{key: value for key, value in fields.items() if value}}
        for name, fields in contents.items()
    }


def _route_configs(listeners: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The routes that stand inside the connection managers."""
    found: list[dict[str, Any]] = []
    for listener in listeners:
        for chain in listener.get("filter_chains") or []:
            for network_filter in chain.get("filters") or []:
                route_config = (network_filter.get("typed_config") or {}).get("route_config")
                if route_config:
                    found.append(route_config)
    return found


def _keep_named(dumps: dict[str, dict[str, Any]], expression: str) -> None:
    """Drop the elements whose configured name the expression does not match from end to end."""
    if not expression:
        return
    try:
        pattern = compile_pattern(expression)
    except PatternError as error:
        raise BadParameterError(f"Error while parsing name_regex from {expression}: {error}") from None
    for name, dump in dumps.items():
        for field, element in _FIELDS[name].items():
            if element and field in dump:
                dump[field] = [item for item in dump[field] if pattern.fullmatch(_name_of(item))]
                if not dump[field]:
                    del dump[field]


def _name_of(element: Mapping[str, Any]) -> str:
    return str(next((element[key].get("name", "") for key in _ELEMENT_KEYS if key in element), ""))


def _one_resource(dumps: Mapping[str, dict[str, Any]], resource: str, mask: list[str]) -> AdminReply:
    for name, dump in dumps.items():
        element = _FIELDS[name].get(resource)
        if element is None:
            continue
        if not element:
            raise BadParameterError(
                f"{resource} is not a repeated field. Use ?mask={resource} to get only this field"
            )
        allowed = (*_ELEMENT_KEYS, "name", "version_info", "last_updated")
        if any(path.partition(".")[0] not in allowed for path in mask):
            raise BadParameterError(f"FieldMask {','.join(mask)} could not be successfully used.")
        kind = f"{_TYPES}admin.v3.{name}.{element}"
        items = [{"@type": kind, **item} for item in dump.get(resource, [])]
        items = [_masked(item, mask) for item in items] if mask else items
        return json_document({"configs": items} if items else {})
    return text(f"{resource} not found in config dump", 404)


def _valid(dump: str, path: str) -> bool:
    """Whether a path of a mask is one of this message; it may not go through a repeated field."""
    field, _, rest = path.partition(".")
    element = _FIELDS[dump].get(field)
    return element is not None and not (element and rest)


def _masked(message: Mapping[str, Any], mask: list[str]) -> dict[str, Any]:
    """A copy of the message with only the fields of the mask, and its type."""
    result: dict[str, Any] = {key: value for key, value in message.items() if key == "@type"}
    for path in mask:
        source: Any = message
        target = result
        *parents, last = path.split(".")
        for parent in parents:
            source = source.get(parent) if isinstance(source, Mapping) else None
            if not isinstance(source, Mapping):
                break
            inner = target.setdefault(parent, {key: source[key] for key in ("@type",) if key in source})
            target = inner
        if isinstance(source, Mapping) and last in source:
            target[last] = source[last]
    return result
