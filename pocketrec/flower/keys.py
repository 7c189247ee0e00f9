# SPDX-License-Identifier: Apache-2.0
"""Certificates and keys for a federation on this machine: an authority, the SuperLink's certificate, keys of nodes.

For nodes on the loopback only; a fleet of boards has certificates of its own. They hold for as long as the authority's
private key, which is never written, could have signed others: a month.
"""

from __future__ import annotations

import datetime
import ipaddress
from dataclasses import dataclass
from pathlib import Path

from pocketrec.device.base.files import write_atomic

_DAYS = 30


@dataclass(frozen=True)
class Certificates:
    """Files in a folder, PEM."""

    authority: Path
    certificate: Path
    key: Path


def make_certificates(folder: Path) -> Certificates:
    """An authority, and a certificate for 127.0.0.1 and localhost that it has signed."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    now = datetime.datetime.now(datetime.UTC)
    made = Certificates(folder / "authority.pem", folder / "server.pem", folder / "server.key")
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(2)]
    names = [x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)]) for name in ("PocketRec run", "localhost")]

    def builder(which: int) -> x509.CertificateBuilder:
        begun = x509.CertificateBuilder().subject_name(names[which]).issuer_name(names[0])
        begun = begun.public_key(keys[which].public_key()).serial_number(x509.random_serial_number())
        begun = begun.not_valid_before(now - datetime.timedelta(minutes=5))
        return begun.not_valid_after(now + datetime.timedelta(days=_DAYS))

    constraints = x509.BasicConstraints(ca=True, path_length=0)
    own = x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    # What RFC 5280 wants of both, and Python 3.13 of every connection (ssl.VERIFY_X509_STRICT).
    signs = x509.KeyUsage(digital_signature=False, content_commitment=False, key_encipherment=False,
                          data_encipherment=False, key_agreement=False, key_cert_sign=True, crl_sign=True,
                          encipher_only=False, decipher_only=False)  # fmt: skip
    of_authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(keys[0].public_key())
    itself = x509.SubjectKeyIdentifier.from_public_key(keys[0].public_key())
    first = builder(0).add_extension(constraints, critical=True).add_extension(signs, critical=True)
    authority = first.add_extension(itself, critical=False).sign(keys[0], hashes.SHA256())
    second = builder(1).add_extension(own, critical=False).add_extension(of_authority, critical=False)
    certificate = second.sign(keys[0], hashes.SHA256())
    form = serialization
    write_atomic(made.authority, authority.public_bytes(form.Encoding.PEM))
    write_atomic(made.certificate, certificate.public_bytes(form.Encoding.PEM))
    private = keys[1].private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption())
    write_atomic(made.key, private, mode=0o600)
    return made


def make_node_key(path: Path) -> Path:
    """A node's private key in OpenSSH's form (P-384, as Flower wants it), and the public one beside it as ``.pub``."""
    from cryptography.hazmat.primitives import serialization as form
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP384R1())
    private = key.private_bytes(form.Encoding.PEM, form.PrivateFormat.OpenSSH, form.NoEncryption())
    write_atomic(path, private, mode=0o600)
    public = path.with_suffix(".pub")
    write_atomic(public, key.public_key().public_bytes(form.Encoding.OpenSSH, form.PublicFormat.OpenSSH))
    return public
