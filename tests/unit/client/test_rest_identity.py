"""With tokens of the shop's sign-in nobody reads or writes over REST what is another's."""

from __future__ import annotations

import json
import time

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from fuserank.errors import ConfigurationError
from fuserank.rest.app import create_app
from fuserank.rest.identity import ALGORITHMS, UserTokens
from support import asgi
from support.rest_client import FakeClient

OURS, OTHERS = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
EVENT = {"event_id": "e", "item_id": "1", "event": "click"}
SEARCH = ("POST", "/v1/search", {"query": "milk"})


def public_pem(private):
    return private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def token(sub="ann", key=OURS, algorithm="EdDSA", seconds=60, headers=None, **claims):
    given = {"sub": sub, "exp": time.time() + seconds} | claims
    return jwt.encode({name: v for name, v in given.items() if v is not None}, key, algorithm, headers)


@pytest.fixture
def keys(tmp_path):
    path = tmp_path / "keys.pem"
    path.write_bytes(public_pem(OURS))
    return path


@pytest.fixture
def client():
    return FakeClient()


@pytest.fixture
def send(client, keys):
    def send(method, path, body=None, bearer=None, tokens=None, **headers):
        given = {"content-type": "application/json", "host": "127.0.0.1", **headers}
        if bearer is not None:
            given["authorization"] = f"Bearer {bearer}"
        content = b"" if body is None else json.dumps(body).encode()
        return asgi.send(create_app(client, tokens=tokens or UserTokens(keys)), method, path, content, given)

    return send


def test_a_request_is_for_the_user_of_its_token(send, client):
    assert send(*SEARCH, token()).status == 200
    assert send("POST", "/v1/search", {"query": "milk", "user": "ann"}, token()).status == 200
    assert send("GET", "/v1/suggest?prefix=mi", None, token()).status == 200
    assert send("POST", "/v1/similar", {"item_id": "1"}, token()).status == 200
    assert send("POST", "/v1/events", {"events": [EVENT]}, token()).status == 200
    assert send("DELETE", "/v1/users/ann", None, token()).status == 200
    assert client.calls == [
        ("search", "milk", "ann", {}), ("search", "milk", "ann", {}), ("suggest", "mi", None, "ann"),
        ("similar", "1", "", {"user": "ann"}), ("record", [{**EVENT, "user_id": "ann"}]), ("forget", "ann"),
    ]  # fmt: skip


ANOTHERS = {
    "answers": ("POST", "/v1/search", {"query": "milk", "user": "bob"}),
    "similar items": ("POST", "/v1/similar", {"item_id": "1", "user": "bob"}),
    "completions": ("GET", "/v1/suggest?prefix=mi&user=bob", None),
    "profile": ("GET", "/v1/users/bob", None),
    "history": ("DELETE", "/v1/users/bob", None),
    "events": ("POST", "/v1/events", {"events": [EVENT, {**EVENT, "user_id": "bob"}]}),
    "visits": ("POST", "/v1/users/ann/merge", {"from_user": "bob"}),
    "place": ("POST", "/v1/users/bob/merge", {"from_session": "s"}),
    "items": ("POST", "/v1/items", {"changes": []}),
}


@pytest.mark.parametrize("asked", ANOTHERS.values(), ids=ANOTHERS)
def test_what_is_anothers_is_neither_read_nor_written(send, client, asked):
    assert send(*asked, token()).status == 403
    without = send(*asked)
    assert without.status == 401
    assert dict(without.headers)["www-authenticate"] == 'Bearer realm="fuserank"'
    assert client.calls == []


def test_who_has_not_signed_in_is_answered_as_nobody(send, client):
    assert send(*SEARCH).status == 200
    assert send("POST", "/v1/events", {"events": [{**EVENT, "session_id": "s"}]}).status == 200
    assert client.calls == [("search", "milk", "", {}), ("record", [{**EVENT, "session_id": "s"}])]


def test_the_shops_own_programs_act_for_everybody(send, client):
    own = token("importer", scope="read shop")
    assert send("POST", "/v1/search", {"query": "milk", "user": "bob"}, own).status == 200
    assert send("POST", "/v1/events", {"events": [{**EVENT, "user_id": "bob"}]}, own).status == 200
    assert client.calls == [("search", "milk", "bob", {}), ("record", [{**EVENT, "user_id": "bob"}])]
    assert send("POST", "/v1/items", {"changes": []}, token(scope="shopping")).status == 403


def unsigned():
    return jwt.encode({"sub": "ann", "exp": time.time() + 60}, None, "none")


def by_shared_secret():
    """The public key taken for a secret: a checker that lets the token choose would take it."""
    import base64
    import hashlib
    import hmac

    def part(value):
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=")

    signed = part({"alg": "HS256", "typ": "JWT"}) + b"." + part({"sub": "ann", "exp": time.time() + 60})
    mac = hmac.new(public_pem(OURS), signed, hashlib.sha256).digest()
    return (signed + b"." + base64.urlsafe_b64encode(mac).rstrip(b"=")).decode()


BAD = {
    "of another key": lambda: token(key=OTHERS),
    "expired": lambda: token(seconds=-60),
    "without an end": lambda: token(exp=None),
    "without a user": lambda: token(sub=None),
    "of an empty user": lambda: token(sub=""),
    "not valid yet": lambda: token(nbf=time.time() + 60),
    "changed": lambda: token()[:-4] + "AAAA",
    "not signed": unsigned,
    "signed with the public key as a secret": by_shared_secret,
    "none": lambda: "x.y",
    "empty": lambda: "",
    "very long": lambda: "x" * 10_000,
}


@pytest.mark.parametrize("make", BAD.values(), ids=BAD)
def test_a_token_that_does_not_hold_is_refused(send, client, make):
    answer = send(*SEARCH, make())
    assert answer.status == 401
    assert "error=" in dict(answer.headers)["www-authenticate"]
    assert client.calls == []


def test_another_scheme_is_refused(send):
    assert send(*SEARCH, authorization="Basic YW5uOnB3").status == 401


def test_issuer_and_audience_are_checked_where_they_are_named(send, keys):
    tokens = UserTokens(keys, issuer="https://shop", audience="search")
    right = {"iss": "https://shop", "aud": ["search", "mail"]}
    assert send(*SEARCH, token(**right), tokens).status == 200
    for wrong in ({"iss": "https://other"}, {"aud": "mail"}, {"iss": None}, {"aud": None}):
        assert send(*SEARCH, token(**(right | wrong)), tokens).status == 401


def test_of_a_key_set_the_key_is_taken_that_the_token_names(send, tmp_path):
    elliptic = generate_private_key(SECP256R1())
    entries = [
        {**json.loads(jwt.algorithms.OKPAlgorithm.to_jwk(OURS.public_key())), "kid": "old", "alg": "EdDSA"},
        {**json.loads(jwt.algorithms.ECAlgorithm.to_jwk(elliptic.public_key())), "kid": "new", "alg": "ES256"},
    ]
    path = tmp_path / "keys.json"
    path.write_text(json.dumps({"keys": entries}))
    tokens = UserTokens(path)
    assert send(*SEARCH, token(headers={"kid": "old"}), tokens).status == 200
    assert send(*SEARCH, token(key=elliptic, algorithm="ES256", headers={"kid": "new"}), tokens).status == 200
    assert send(*SEARCH, token(headers={"kid": "new"}), tokens).status == 401
    assert send(*SEARCH, token(headers={"kid": "gone"}), tokens).status == 401


@pytest.mark.parametrize(
    "content",
    [b"", b"secret", b"{}", b'{"keys": []}', b'{"keys": [{"kty": "oct", "k": "c2VjcmV0"}]}',
     json.dumps({"keys": [json.loads(jwt.algorithms.OKPAlgorithm.to_jwk(OURS))]}).encode(),
     public_pem(X25519PrivateKey.generate())],
    ids=["empty", "a secret", "no set", "an empty set", "a shared key", "a private key", "a key that signs nothing"],
)  # fmt: skip
def test_a_file_without_public_keys_is_refused_with_what_is_allowed(tmp_path, content):
    path = tmp_path / "keys"
    path.write_bytes(content)
    with pytest.raises(ConfigurationError, match=r"user tokens: .*allowed: a public key as PEM, or a JSON Web Key Set"):
        UserTokens(path)


def test_the_description_says_that_tokens_are_taken(send):
    described = json.loads(send("GET", "/openapi.json").body)
    assert described["components"]["securitySchemes"]["token"]["scheme"] == "bearer"


@pytest.mark.parametrize("algorithm", [*(name for names in ALGORITHMS.values() for name in names), "HS256", "made up"])
def test_a_token_of_another_kind_than_the_key_is_refused(send, algorithm):
    """Whatever algorithm its header claims; of its own kind, the signature is of another header."""
    _, claims, signature = token().split(".")
    claimed = jwt.utils.base64url_encode(json.dumps({"alg": algorithm, "typ": "JWT"}).encode()).decode()
    assert send(*SEARCH, ".".join((claimed, claims, signature))).status == 401
