"""``http2_protocol_options`` in their compiled form: what is not set has Envoy's default."""

from proxyd.codec.http2 import Http2Options
from proxyd.config.core import Http2ProtocolOptions


def compile_http2(config: Http2ProtocolOptions | None, stream_errors: bool = False) -> Http2Options:
    """``stream_errors``: what the connection manager says of malformed messages, unless this overrides it."""
    options = Http2Options()
    options.stream_errors = stream_errors
    if config is None:
        return options
    options.hpack_table_size = _or(config.hpack_table_size, options.hpack_table_size)
    options.max_concurrent_streams = _or(config.max_concurrent_streams, options.max_concurrent_streams)
    options.initial_stream_window_size = _or(
        config.initial_stream_window_size, options.initial_stream_window_size
    )
    options.initial_connection_window_size = _or(
        config.initial_connection_window_size, options.initial_connection_window_size
    )
    options.max_outbound_frames = _or(config.max_outbound_frames, options.max_outbound_frames)
    options.max_outbound_control_frames = _or(
        config.max_outbound_control_frames, options.max_outbound_control_frames
    )
    options.max_empty_frames = _or(
        config.max_consecutive_inbound_frames_with_empty_payload, options.max_empty_frames
    )
    options.max_priority_frames_per_stream = _or(
        config.max_inbound_priority_frames_per_stream, options.max_priority_frames_per_stream
    )
    options.max_window_updates_per_data_frame = _or(
        config.max_inbound_window_update_frames_per_data_frame_sent, options.max_window_updates_per_data_frame
    )
    options.allow_connect = config.allow_connect
    if config.override_stream_error_on_invalid_http_message is not None:
        options.stream_errors = config.override_stream_error_on_invalid_http_message
    elif config.stream_error_on_invalid_http_messaging:
        options.stream_errors = True
    options.custom_settings = {each.identifier: each.value for each in config.custom_settings_parameters}
    keepalive = config.connection_keepalive
    if keepalive is not None:
        options.keepalive_interval = keepalive.interval or 0.0
        options.keepalive_timeout = keepalive.timeout
        options.keepalive_idle_interval = keepalive.connection_idle_interval or 0.0
        if keepalive.interval_jitter is not None:
            options.keepalive_jitter = keepalive.interval_jitter.value / 100
    return options


def _or(value: int | None, default: int) -> int:
    return default if value is None else value
