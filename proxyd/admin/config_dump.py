"""/config_dump: the running configuration, as Envoy's *ConfigDump messages, without its secrets."""

import base64
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from proxyd.admin.context import AdminContext, DynamicView
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
_DYNAMIC_KEYS: Final = ("active_state", "error_state", "client_status")


async def config_dump(context: AdminContext, request: AdminRequest) -> AdminReply:
    """Everything, or the field ``resource``, or the fields of ``mask``; ``name_regex`` picks by name."""
    parameters = request.parameters()
    dumps = _dumps(context)
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


def _dumps(context: AdminContext) -> dict[str, dict[str, Any]]:
    """The dumps by the name of their message, in Envoy's order."""
    shown: dict[str, Any] = redact(context.bootstrap())
    updated = _time(context.config_loaded_at())
    static = shown.get("static_resources") or {}
    clusters = static.get("clusters") or []
    listeners = static.get("listeners") or []

    def elements(key: str, kind: str, messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [{key: {"@type": _TYPES + kind, **message}, "last_updated": updated} for message in messages]

    dynamic = context.dynamic()
    versions = context.dynamic_versions()
    dynamic_listeners = [each for each in dynamic if each.kind == "lds"]
    written = [*listeners, *(redact(each.message) for each in dynamic_listeners if each.message is not None)]
    contents: dict[str, dict[str, Any]] = {
        "BootstrapConfigDump": {"bootstrap": shown, "last_updated": updated},
        "ClustersConfigDump": {
            "version_info": versions.get("cds", ""),
            "static_clusters": elements("cluster", "config.cluster.v3.Cluster", clusters),
            "dynamic_active_clusters": _dynamic(dynamic, "cds", "cluster", "config.cluster.v3.Cluster"),
        },
        "ListenersConfigDump": {
            "version_info": versions.get("lds", ""),
            "static_listeners": elements("listener", "config.listener.v3.Listener", listeners),
            "dynamic_listeners": [_dynamic_listener(each) for each in dynamic_listeners],
        },
        "ScopedRoutesConfigDump": {},
        "RoutesConfigDump": {
            "static_route_configs": elements(
                "route_config", "config.route.v3.RouteConfiguration", _route_configs(written)
            ),
            "dynamic_route_configs": _dynamic(
                dynamic, "rds", "route_config", "config.route.v3.RouteConfiguration"
            ),
        },
        "SecretsConfigDump": {"dynamic_active_secrets": _dynamic_secrets(dynamic)},
    }
    return {
        name: {"@type": f"{_TYPES}admin.v3.{name}", **{key: value for key, value in fields.items() if value}}
        for name, fields in contents.items()
    }


def _time(seconds: float) -> str:
    text = datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


def _dynamic(dynamic: Sequence[DynamicView], kind: str, key: str, message: str) -> list[dict[str, Any]]:
    """The resources of one kind; of one that was never in force the error alone."""
    return [{**_state(each, key, message), **_error(each, message)} for each in dynamic if each.kind == kind]


def _dynamic_listener(view: DynamicView) -> dict[str, Any]:
    message = "config.listener.v3.Listener"
    state = _state(view, "listener", message)
    return {
        "name": view.name,
        **({"active_state": state} if view.message is not None else {}),
        **_error(view, message),
    }


def _dynamic_secrets(dynamic: Sequence[DynamicView]) -> list[dict[str, Any]]:
    message = "extensions.transport_sockets.tls.v3.Secret"
    return [
        {"name": each.name, **_state(each, "secret", message), **_error(each, message)}
        for each in dynamic
        if each.kind == "sds"
    ]


def _state(view: DynamicView, key: str, message: str) -> dict[str, Any]:
    if view.message is None:
        return {}
    version = {"version_info": view.version_info} if view.version_info else {}
    shown = {"@type": _TYPES + message, **redact(view.message)}
    return {**version, key: shown, "last_updated": _time(view.updated)}


def _error(view: DynamicView, message: str) -> dict[str, Any]:
    """Envoy's UpdateFailureState."""
    error = view.error
    if error is None:
        return {}
    state: dict[str, Any] = {}
    if error.message is not None:
        state["failed_configuration"] = {"@type": _TYPES + message, **redact(error.message)}
    state["last_update_attempt"] = _time(error.when)
    state["details"] = error.details
    if error.version_info:
        state["version_info"] = error.version_info
    return {"error_state": state}


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
    named = (element[key].get("name", "") for key in _ELEMENT_KEYS if key in element)
    return str(element.get("name") or next(named, ""))


def _one_resource(dumps: Mapping[str, dict[str, Any]], resource: str, mask: list[str]) -> AdminReply:
    for name, dump in dumps.items():
        element = _FIELDS[name].get(resource)
        if element is None:
            continue
        if not element:
            raise BadParameterError(
                f"{resource} is not a repeated field. Use ?mask={resource} to get only this field"
            )
        allowed = (*_ELEMENT_KEYS, *_DYNAMIC_KEYS, "name", "version_info", "last_updated")
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
