"""Hostile and hardware signatures, made by hand from the wire format up."""

import base64
import hashlib
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA1, SHA256, SHA384, SHA512, HashAlgorithm

from itmp.signing import PublicKey, SignatureError, SignedBy, WeakKeyError, verify_sshsig
from itmp.signing.points import L, P
from itmp.signing.signatures import _EC_ORDERS
from itmp.signing.sshsig import armor_of, signed_bytes, to_armor, unarmor
from itmp.signing.wire import mpint, string
from itmp.testing.people import Person

TEXT, SPACE = b"the text\n", "itmp-approve@example.com"
ALICE = Person("alice@example.com", 1)
GOOD = ALICE.sign(TEXT, SPACE)
BLOB = unarmor(GOOD)
ED = Ed25519PrivateKey.from_private_bytes(b"e" * 32)
ED_RAW = ED.public_key().public_bytes_raw()
ED_BLOB = string(b"ssh-ed25519") + string(ED_RAW)
RSA_KEY = rsa.generate_private_key(65537, 3072)
SK_ED, SK_EC = b"sk-ssh-ed25519@openssh.com", b"sk-ecdsa-sha2-nistp256@openssh.com"


def check(armor: str) -> SignedBy:
    return verify_sshsig(armor, TEXT, SPACE)


def refused(armor: str, reason: str) -> None:
    with pytest.raises(SignatureError, match=reason):
        check(armor)


def envelope(
    key: bytes = ED_BLOB,
    signature: bytes | None = None,
    *,
    magic: bytes = b"SSHSIG",
    version: int = 1,
    space: bytes = SPACE.encode(),
    reserved: bytes = b"",
    hash_name: bytes = b"sha512",
    tail: bytes = b"",
) -> str:
    """Sign truthfully whatever the fields say, so that only the rule in question can refuse."""
    digest = hashlib.new(
        hash_name.decode() if hash_name.decode() in hashlib.algorithms_available else "sha512", TEXT
    ).digest()
    data = magic + string(space) + string(reserved) + string(hash_name) + string(digest)
    if signature is None:
        signature = string(b"ssh-ed25519") + string(ED.sign(data))
    parts = string(key) + string(space) + string(reserved) + string(hash_name) + string(signature)
    return armor_of(magic + version.to_bytes(4) + parts + tail)


def test_the_honest_envelope_is_accepted() -> None:
    assert check(envelope()).key.blob == ED_BLOB
    assert check(envelope(hash_name=b"sha256")).hash == "sha256"
    assert check(GOOD).key == ALICE.public


@pytest.mark.parametrize(
    ("armor", "reason"),
    [
        (envelope(space=b"itmp-reject@example.com"), "namespace"),
        (envelope(space=b"itmp-approve@example.com\0"), "namespace"),
        (envelope(space=b"ITMP-approve@example.com"), "namespace"),
        (envelope(space=b""), "namespace"),
        (envelope(reserved=b"x"), "reserved"),
        (envelope(hash_name=b"md5"), "hash 'md5'"),
        (envelope(hash_name=b"sha1"), "hash 'sha1'"),
        (envelope(hash_name=b"sha384"), "hash 'sha384'"),
        (envelope(hash_name=b"SHA512"), "hash 'SHA512'"),
        (envelope(version=0), "version 1"),
        (envelope(version=2), "version 1"),
        (envelope(magic=b"SSHSIX"), "version 1"),
        (envelope(tail=b"\0"), "trailing"),
        (envelope(key=ED_BLOB + b"\0"), "trailing"),
        (envelope(key=b""), "too early"),
        (envelope(signature=b""), "too early"),
        (
            envelope(signature=string(b"ssh-ed25519") + string(ED.sign(signed_bytes(TEXT, SPACE))) + b"\0"),
            "trailing",
        ),
        (
            envelope(signature=string(b"ssh-ed25519") + string(ED.sign(signed_bytes(TEXT, SPACE)) + b"\0")),
            "65 bytes",
        ),
        (envelope(signature=string(b"ssh-ed448") + string(ED.sign(signed_bytes(TEXT, SPACE)))), "method"),
        (envelope(signature=string(b"ssh-ed25519") + string(ED.sign(TEXT))), "over this text"),
    ],
)
def test_every_field_of_the_envelope_is_exact(armor: str, reason: str) -> None:
    refused(armor, reason)


def test_an_empty_namespace_is_never_expected() -> None:
    with pytest.raises(SignatureError, match="namespace"):
        verify_sshsig(envelope(space=b""), TEXT, "")


@pytest.mark.parametrize("at", range(len(BLOB)))
def test_any_flipped_byte_is_refused(at: int) -> None:
    refused(armor_of(BLOB[:at] + bytes([BLOB[at] ^ 1]) + BLOB[at + 1 :]), ".")


@pytest.mark.parametrize("cut", range(1, len(BLOB), 7))
def test_any_cut_is_refused(cut: int) -> None:
    refused(armor_of(BLOB[:-cut]), ".")


def rewrapped(columns: int) -> str:
    text = base64.b64encode(BLOB).decode()
    lines = "\n".join(text[at : at + columns] for at in range(0, len(text), columns))
    return f"-----BEGIN SSH SIGNATURE-----\n{lines}\n-----END SSH SIGNATURE-----\n"


@pytest.mark.parametrize(
    "armor",
    [
        "",
        GOOD[:-1],
        GOOD + "\n",
        "\n" + GOOD,
        GOOD + GOOD,
        GOOD.replace("\n", "\r\n"),
        GOOD.replace("\n", "\r"),
        GOOD.replace("U1NI", "U1NI\n", 1),
        GOOD.replace("U1NI", " U1NI", 1),
        GOOD.replace("U1NI", "U1NI ", 1),
        GOOD.replace("\n-----END", "\n\n-----END"),
        GOOD.replace("-----END", "----END"),
        GOOD.replace("SSH SIGNATURE", "SSH  SIGNATURE"),
        GOOD.replace("=\n-----END", "\n-----END"),
        GOOD.replace("U1NI", "U1\u200bNI", 1),
        GOOD.replace("U1NI", "\ud800U1NI", 1),
        rewrapped(76),
        rewrapped(64),
    ],
)
def test_armor_has_one_form(armor: str) -> None:
    assert rewrapped(70) == GOOD
    refused(armor, "armor|base64")


def test_a_long_armor_is_refused_before_it_is_read() -> None:
    refused(armor_of(BLOB + bytes(40_000)), "limit")


def test_unused_base64_bits_are_refused() -> None:
    body = GOOD.splitlines()
    assert body[-2].endswith("=")
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    last = body[-2].rstrip("=")
    body[-2] = last[:-1] + alphabet[alphabet.index(last[-1]) + 1] + body[-2][len(last) :]
    assert base64.b64decode("".join(body[1:-1])) == BLOB
    refused("\n".join(body) + "\n", "another form")


# Ed25519: a small-order key makes one signature valid for every text; stock ssh-keygen accepts it.

IDENTITY = b"\x01" + bytes(31)


def ed_armor(point: bytes, raw: bytes) -> str:
    return to_armor(string(b"ssh-ed25519") + string(point), string(b"ssh-ed25519") + string(raw), SPACE)


@pytest.mark.parametrize(
    ("point", "reason"),
    [
        (IDENTITY, "small order"),
        (bytes(32), "small order"),
        ((P - 1).to_bytes(32, "little"), "small order"),
        (IDENTITY[:31] + b"\x80", "small order"),
        ((P + 1).to_bytes(32, "little"), "canonical"),
        (P.to_bytes(32, "little"), "canonical"),
        (b"\xff" * 32, "canonical"),
        (b"\x02" + bytes(31), "no point"),
        (ED_RAW[:31], "31 bytes"),
        (ED_RAW + b"\0", "33 bytes"),
    ],
)
def test_bad_ed25519_points_are_refused_as_keys(point: bytes, reason: str) -> None:
    refused(ed_armor(point, IDENTITY + bytes(32)), reason)
    line = "ssh-ed25519 " + base64.b64encode(string(b"ssh-ed25519") + string(point)).decode()
    with pytest.raises(WeakKeyError, match=reason):
        PublicKey.parse(line)


def test_s_not_below_the_order_is_refused() -> None:
    raw = ED.sign(signed_bytes(TEXT, SPACE))
    assert check(ed_armor(ED_RAW, raw)).key.blob == ED_BLOB
    s = int.from_bytes(raw[32:], "little") + L
    refused(ed_armor(ED_RAW, raw[:32] + s.to_bytes(32, "little")), "scalar")


def test_small_order_r_is_refused() -> None:
    """The key's owner can make R the identity: S = h·a holds in the equation, so only our own rule refuses it."""
    digest = hashlib.sha512(b"e" * 32).digest()
    a = int.from_bytes(bytes([digest[0] & 248]) + digest[1:31] + bytes([digest[31] & 63 | 64]), "little")
    h = int.from_bytes(hashlib.sha512(IDENTITY + ED_RAW + signed_bytes(TEXT, SPACE)).digest(), "little")
    raw = IDENTITY + (h * a % L).to_bytes(32, "little")
    ED.public_key().verify(raw, signed_bytes(TEXT, SPACE))  # the plain equation accepts it
    refused(ed_armor(ED_RAW, raw), "small order")


# RSA


def rsa_blob(key: rsa.RSAPrivateKey, exponent: bytes | None = None) -> bytes:
    numbers = key.public_key().public_numbers()
    return string(b"ssh-rsa") + (exponent or mpint(numbers.e)) + mpint(numbers.n)


def rsa_armor(
    key: rsa.RSAPrivateKey, method: bytes, algorithm: HashAlgorithm, *, blob: bytes = b"", lead: bytes = b""
) -> str:
    raw = key.sign(signed_bytes(TEXT, SPACE), PKCS1v15(), algorithm)
    return to_armor(blob or rsa_blob(key), string(method) + string(lead + raw), SPACE)


def test_rsa_with_sha2_is_accepted() -> None:
    assert check(rsa_armor(RSA_KEY, b"rsa-sha2-256", SHA256())).key.type == "ssh-rsa"
    assert check(rsa_armor(RSA_KEY, b"rsa-sha2-512", SHA512())).key.type == "ssh-rsa"


@pytest.mark.parametrize(
    ("method", "algorithm", "reason"),
    [
        (b"ssh-rsa", SHA1(), "method 'ssh-rsa'"),  # noqa: S303 - the refused case
        (b"rsa-sha2-384", SHA384(), "method"),
        (b"rsa-sha2-256", SHA512(), "over this text"),
    ],
)
def test_rsa_with_other_hashes_is_refused(method: bytes, algorithm: HashAlgorithm, reason: str) -> None:
    refused(rsa_armor(RSA_KEY, method, algorithm), reason)


def test_short_rsa_keys_are_refused() -> None:
    for bits in (1024, 2048):
        refused(rsa_armor(rsa.generate_private_key(65537, bits), b"rsa-sha2-512", SHA512()), f"{bits} bits")


def test_rsa_numbers_have_one_encoding_and_sane_values() -> None:
    sign = b"rsa-sha2-512", SHA512()
    n = RSA_KEY.public_key().public_numbers().n
    cases = {
        "leading zeros": rsa_blob(RSA_KEY, string(b"\x00\x01\x00\x01")),
        "negative": string(b"ssh-rsa") + mpint(65537) + string(n.to_bytes(384)),
        "exponent": rsa_blob(RSA_KEY, mpint(3)),
        "exponent ": rsa_blob(RSA_KEY, mpint(65538)),
        "exponent  ": rsa_blob(RSA_KEY, mpint(2**64 + 1)),
        "even": string(b"ssh-rsa") + mpint(65537) + mpint(n - 1),
        "20000 bits; accepted are": string(b"ssh-rsa") + mpint(65537) + mpint(2**19999 + 1),
        "trailing": rsa_blob(RSA_KEY) + b"\0",
    }
    for reason, blob in cases.items():
        refused(rsa_armor(RSA_KEY, *sign, blob=blob), reason.strip())
    refused(rsa_armor(RSA_KEY, *sign, lead=b"\0"), "385 bytes")


# ECDSA

CURVES: dict[bytes, tuple[bytes, ec.EllipticCurve, HashAlgorithm]] = {
    b"ecdsa-sha2-nistp256": (b"nistp256", ec.SECP256R1(), SHA256()),
    b"ecdsa-sha2-nistp384": (b"nistp384", ec.SECP384R1(), SHA384()),
    b"ecdsa-sha2-nistp521": (b"nistp521", ec.SECP521R1(), SHA512()),
}


def ec_armor(
    kind: bytes,
    change: Callable[[int, int, int], bytes] = lambda r, s, _: mpint(r) + mpint(s),
    *,
    name: bytes = b"",
    encode: Callable[[bytes], bytes] = lambda point: point,
) -> str:
    curve_name, curve, algorithm = CURVES[kind]
    key = ec.derive_private_key(0x1234567, curve)
    numbers = key.public_key().public_numbers()
    size = (curve.key_size + 7) // 8
    point = encode(b"\x04" + numbers.x.to_bytes(size) + numbers.y.to_bytes(size))
    r, s = decode_dss_signature(key.sign(signed_bytes(TEXT, SPACE), ec.ECDSA(algorithm)))
    raw = change(r, s, _EC_ORDERS[curve.key_size])
    return to_armor(
        string(kind) + string(name or curve_name) + string(point), string(kind) + string(raw), SPACE
    )


@pytest.mark.parametrize("kind", CURVES)
def test_ecdsa(kind: bytes) -> None:
    assert check(ec_armor(kind)).key.type == kind.decode()
    refused(ec_armor(kind, lambda r, s, n: mpint(r + n) + mpint(s)), "1..n-1")
    refused(ec_armor(kind, lambda r, s, n: mpint(r) + mpint(s + n)), "1..n-1")
    refused(ec_armor(kind, lambda _r, s, _n: mpint(0) + mpint(s)), "1..n-1")
    refused(ec_armor(kind, lambda r, _s, _n: mpint(r) + mpint(0)), "1..n-1")
    refused(ec_armor(kind, lambda r, s, _: string(b"\0\0" + mpint(r)[4:]) + mpint(s)), "leading zeros")
    refused(ec_armor(kind, lambda r, s, _: mpint(r) + mpint(s) + b"\0"), "trailing")
    refused(ec_armor(kind, lambda r, s, _: mpint(s) + mpint(r)), "over this text")
    refused(ec_armor(kind, encode=lambda point: point[:-1] + bytes([point[-1] ^ 1])), "not on its curve")
    refused(
        ec_armor(kind, encode=lambda point: bytes([2 | point[-1] & 1]) + point[1 : 1 + len(point) // 2]),
        "uncompressed",
    )
    refused(ec_armor(kind, encode=lambda _: b"\0"), "uncompressed")
    refused(ec_armor(kind, encode=lambda point: point + b"\0"), "not on its curve")
    refused(ec_armor(kind, name=b"nistp999"), "on curve 'nistp999'")


@pytest.mark.parametrize(
    ("bits", "curve"), [(256, ec.SECP256R1()), (384, ec.SECP384R1()), (521, ec.SECP521R1())]
)
def test_the_orders_are_the_curves_own(bits: int, curve: ec.EllipticCurve) -> None:
    """(n - 1)·G = -G: same x as G, and the private number n is out of range."""
    base = ec.derive_private_key(1, curve).public_key().public_numbers()
    last = ec.derive_private_key(_EC_ORDERS[bits] - 1, curve).public_key().public_numbers()
    assert last.x == base.x
    assert last.y != base.y


def test_dsa_is_refused() -> None:
    public = dsa.generate_private_key(1024).public_key()  # noqa: S505 - the refused case
    key = public.public_numbers()
    numbers = key.parameter_numbers
    blob = string(b"ssh-dss") + mpint(numbers.p) + mpint(numbers.q) + mpint(numbers.g) + mpint(key.y)
    refused(to_armor(blob, string(b"ssh-dss") + string(bytes(40)), SPACE), "ssh-dss")
    with pytest.raises(WeakKeyError, match="ssh-dss"):
        PublicKey.parse("ssh-dss " + base64.b64encode(blob).decode())


# Hardware keys


def sk_armor(
    kind: bytes,
    flags: int,
    *,
    application: bytes = b"ssh:",
    signed_for: bytes = b"",
    tail: bytes = b"",
    said: int = -1,
) -> str:
    counter = (7).to_bytes(4)
    data = (
        hashlib.sha256(signed_for or application).digest()
        + bytes([flags])
        + counter
        + hashlib.sha256(signed_bytes(TEXT, SPACE)).digest()
    )
    if kind == SK_ED:
        blob, raw = string(ED_RAW), ED.sign(data)
    else:
        key = ec.derive_private_key(0x7654321, ec.SECP256R1())
        numbers = key.public_key().public_numbers()
        point = b"\x04" + numbers.x.to_bytes(32) + numbers.y.to_bytes(32)
        r, s = decode_dss_signature(key.sign(data, ec.ECDSA(SHA256())))
        blob, raw = string(b"nistp256") + string(point), mpint(r) + mpint(s)
    signature = string(kind) + string(raw) + bytes([flags if said < 0 else said]) + counter + tail
    return to_armor(string(kind) + blob + string(application), signature, SPACE)


@pytest.mark.parametrize("kind", [SK_ED, SK_EC])
def test_hardware_keys_need_touch_and_report_the_pin(kind: bytes) -> None:
    touched = check(sk_armor(kind, 1))
    assert (touched.key.hardware, touched.key.application, touched.touched, touched.pin) == (
        True,
        "ssh:",
        True,
        False,
    )
    assert check(sk_armor(kind, 5)).pin is True
    assert check(sk_armor(kind, 1, application=b"ssh:example.com")).key.application == "ssh:example.com"
    refused(sk_armor(kind, 0), "without touch")
    refused(sk_armor(kind, 4), "without touch")
    refused(sk_armor(kind, 0, said=1), "over this text")
    refused(sk_armor(kind, 1, said=5), "over this text")
    refused(sk_armor(kind, 1, signed_for=b"https://example.com"), "over this text")
    assert not check(sk_armor(kind, 1, application=b"https://example.com")).key.for_ssh
    refused(sk_armor(kind, 1, tail=b"\0"), "trailing")


def test_a_hardware_key_is_another_key_than_its_number() -> None:
    """The same Ed25519 number as a plain key must not satisfy a policy that lists the hardware key."""
    hardware, plain = check(sk_armor(SK_ED, 1)).key, check(envelope()).key
    assert hardware != plain
    assert hardware.fingerprint != plain.fingerprint
    assert not plain.hardware
    swapped = to_armor(
        ED_BLOB, string(SK_ED) + string(ED.sign(signed_bytes(TEXT, SPACE))) + b"\x01" + bytes(4), SPACE
    )
    refused(swapped, "trailing|method")


# Certificates, made by hand: what `ssh-keygen -s` would not sign.

CA = Ed25519PrivateKey.from_private_bytes(b"c" * 32)


def certificate(
    *,
    kind: bytes = b"ssh-ed25519-cert-v01@openssh.com",
    fields: bytes = b"",
    role: int = 1,
    principals: bytes = string(b"alice@example.com"),
    critical: bytes = b"",
    reserved: bytes = b"",
    until: int = 2**64 - 1,
    ca_blob: bytes = b"",
    forge: bytes = b"",
    tail: bytes = b"",
) -> bytes:
    body = string(kind) + string(b"n" * 32) + (fields or string(ED_RAW))
    body += (
        (1).to_bytes(8)
        + role.to_bytes(4)
        + string(b"id")
        + string(principals)
        + (0).to_bytes(8)
        + until.to_bytes(8)
    )
    body += string(critical) + string(b"") + string(reserved)
    body += string(ca_blob or string(b"ssh-ed25519") + string(CA.public_key().public_bytes_raw()))
    return body + string(string(b"ssh-ed25519") + string(CA.sign(forge or body))) + tail


def test_a_certificate_made_by_hand_is_read() -> None:
    by = check(envelope(certificate()))
    assert by.key.blob == ED_BLOB
    assert by.certificate is not None
    assert by.certificate.principals == ("alice@example.com",)
    assert by.certificate.valid_before.year == 9999
    sk = certificate(kind=b"sk-ssh-ed25519-cert-v01@openssh.com", fields=string(ED_RAW) + string(b"ssh:"))
    refused(envelope(sk), "method|too early")


@pytest.mark.parametrize(
    ("blob", "reason"),
    [
        (certificate(role=2), "for hosts"),
        (certificate(role=0), "for hosts"),
        (certificate(principals=b""), "without principals"),
        (certificate(principals=string(b"")), "without principals"),
        (certificate(principals=string(b"a") * 300), "principals"),
        (certificate(principals=b"\0\0\0\x05a"), "too early"),
        (certificate(critical=string(b"verify-required") + string(b"")), "verify-required"),
        (certificate(reserved=b"x"), "reserved"),
        (certificate(forge=b"x"), "over this text"),
        (certificate(tail=b"\0"), "trailing"),
        (certificate(fields=string(IDENTITY)), "small order"),
        (certificate(kind=b"ssh-dss-cert-v01@openssh.com"), "ssh-dss"),
        (certificate(ca_blob=string(b"ssh-ed25519") + string(IDENTITY)), "small order"),
        (certificate(ca_blob=certificate()), "cert-v01"),
    ],
)
def test_hostile_certificates_are_refused(blob: bytes, reason: str) -> None:
    refused(envelope(blob), reason)
