"""Data beside the configuration."""

import pytest

from proxyd.config import data_source
from proxyd.config.canonical import to_yaml
from proxyd.config.core import DataSource
from proxyd.config.encoding import decode, encode
from proxyd.config.load import ConfigErrors, load_text
from proxyd.config.sources import Text

CONFIGURATION = """
admin:
  access_log:
  - typed_config:
      "@type": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog
      path: log
      log_format: {text_format_source: %s}
"""


def format_of(bootstrap):
    return bootstrap.admin.access_log[0].typed_config.log_format.text_format_source


def test_file_is_read_once_and_travels_with_the_configuration(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "format").write_bytes(b"%RESPONSE_CODE%")
    bootstrap = load_text(Text("text", CONFIGURATION % "{filename: format}"), environment={})
    (tmp_path / "format").unlink()
    assert format_of(decode(encode(bootstrap))).contents == b"%RESPONSE_CODE%"
    assert "loaded" not in to_yaml(bootstrap)


def test_variable_is_read():
    text = Text("text", CONFIGURATION % "{environment_variable: FORMAT}")
    assert format_of(load_text(text, environment={"FORMAT": "x"})).contents == b"x"


def test_what_stands_inline_needs_no_reading():
    assert DataSource(inline_string="é").contents == "é".encode()
    assert DataSource(inline_bytes=b"").contents == b""


def test_file_without_end_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(data_source, "MAX_BYTES", 1 << 20)
    with open(tmp_path / "large", "wb") as file:
        file.truncate((1 << 20) + 1)
    with pytest.raises(data_source.UnreadableError, match="it is larger than 1 MiB"):
        data_source.read_file(str(tmp_path / "large"))


def test_format_has_to_be_text():
    with pytest.raises(ConfigErrors) as caught:
        load_text(Text("text", CONFIGURATION % "{inline_bytes: /w==}"), environment={})
    assert str(caught.value) == (
        "text:7:40: admin.access_log[0].typed_config.log_format.text_format_source: not UTF-8"
    )
