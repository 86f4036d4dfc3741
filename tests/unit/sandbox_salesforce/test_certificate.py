from __future__ import annotations

import ssl
from pathlib import Path

from cryptography import x509

from stream.sandbox.salesforce import certificate


def test_it_is_made_once_for_the_same_names(tmp_path: Path) -> None:
    files = certificate.ensure(tmp_path / "new")
    first = files.certificate.read_bytes()
    assert certificate.ensure(tmp_path / "new").certificate.read_bytes() == first
    assert (
        certificate.ensure(tmp_path / "new", (*certificate.LOOPBACK, "box")).certificate.read_bytes() != first
    )
    assert files.key.stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == [
        "ca.pem",
        "server.key",
        "server.pem",
    ]


def test_the_ca_signs_for_these_names_alone(tmp_path: Path) -> None:
    files = certificate.ensure(tmp_path)
    ca = x509.load_pem_x509_certificate(files.ca.read_bytes())
    names = ca.extensions.get_extension_for_class(x509.NameConstraints)
    assert names.critical
    assert [str(name.value) for name in names.value.permitted_subtrees or []] == [
        "localhost",
        "127.0.0.1/32",
        "::1/128",
    ]
    ssl.create_default_context(cafile=str(files.ca))
