"""Who asks over REST: people by tokens that the shop's sign-in issues, the shop's own programs by a scope of theirs.

A gRPC request names its user, and whoever reaches the port is believed. Here a JSON Web Token (RFC 7519) says who asks,
and nobody reads or writes what is another's.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from starlette.exceptions import HTTPException
from starlette.requests import Request

from fuserank.errors import ConfigurationError

# By kind of key: a token's own word for its algorithm is not believed. Asymmetric ones alone, so that who checks tokens
# cannot make any.
ALGORITHMS: Mapping[type, tuple[str, ...]] = {
    Ed25519PublicKey: ("EdDSA",),
    EllipticCurvePublicKey: ("ES256", "ES384", "ES512"),
    RSAPublicKey: ("PS256", "PS384", "PS512", "RS256", "RS384", "RS512"),
}
SHOP_SCOPE = "shop"  # of the shop's own programs, which act for everybody and change items
LEEWAY_SECONDS = 10.0  # between the clocks of the sign-in and of this machine
MOST_HEADER_BYTES = 8_192


@dataclass(frozen=True)
class Caller:
    """Who asks.

    Attributes:
        user: The user; None for who has not signed in, and for the shop's own programs.
        is_shop: Whether it is one of these.
    """

    user: str | None = None
    is_shop: bool = False

    def acting_as(self, named: str) -> str:
        """Returns the user whom a request is for: who asks, whom the shop's own programs name, or nobody.

        Raises:
            HTTPException: 401 where somebody is named by who has not signed in, 403 where it is somebody else.
        """
        if self.is_shop or named == (self.user or ""):
            return named
        if not named:
            return self.user or ""
        if self.user is None:
            raise _unauthorised("a user is named without a token: send Authorization: Bearer and the user's token")
        raise HTTPException(403, "the user is not the one whom the token names")

    def recording(self, events: Sequence[Mapping[str, Any]]) -> list[Any]:
        """Returns events with their users; errors as of `acting_as`, for all of them."""
        recorded: list[Any] = []
        for event in events:
            named = event.get("user_id") or ""
            user = self.acting_as(named if isinstance(named, str) else str(named))
            recorded.append({**event, "user_id": user} if user else dict(event))
        return recorded

    def check_shop(self) -> None:
        """Refuses all but the shop's own programs.

        Raises:
            HTTPException: 401 or 403.
        """
        if not self.is_shop:
            what = f"items are changed with a token whose scope has {SHOP_SCOPE!r}"
            raise HTTPException(403, what) if self.user is not None else _unauthorised(what)


ANYBODY = Caller(is_shop=True)  # where no tokens are asked for, whoever reaches the port is believed


class UserTokens:
    """Checks the tokens of requests.

    Args:
        keys: A PEM file of one public key, or a JSON Web Key Set (RFC 7517) of several.
        issuer: What `iss` must be; None takes any.
        audience: What `aud` must have; None takes tokens without one.

    Raises:
        ConfigurationError: The file holds no public key.
    """

    def __init__(self, keys: Path, issuer: str | None = None, audience: str | None = None) -> None:
        self._issuer, self._audience = issuer, audience
        self._set: jwt.PyJWKSet | None = None
        self._key: PublicKeyTypes | None = None
        try:
            content = keys.read_bytes()
            if content.lstrip().startswith(b"{"):
                self._set = jwt.PyJWKSet.from_dict(_public(json.loads(content)))
            else:
                self._key = load_pem_public_key(content)
            for key in (self._key,) if self._set is None else (known.key for known in self._set.keys):
                _algorithms_of(key)
        except (OSError, ValueError, jwt.PyJWTError) as error:
            raise ConfigurationError(
                f"user tokens: {keys}: {error}; allowed: a public key as PEM, or a JSON Web Key Set of public keys"
            ) from None

    def caller(self, request: Request) -> Caller:
        """Returns who asks: nobody where no token was sent.

        Raises:
            HTTPException: 401 where the token is not one that holds.
        """
        header = request.headers.get("authorization", "")
        if not header:
            return Caller()
        scheme, _, token = header.partition(" ")
        if scheme.lower() != "bearer" or len(header) > MOST_HEADER_BYTES:
            raise _unauthorised("Authorization is no bearer token", "invalid_request")
        try:
            claims = self._claims(token.strip())
        except jwt.PyJWTError as error:
            raise _unauthorised(f"the token does not hold: {error}", "invalid_token") from None
        scope = claims.get("scope", "")
        return Caller(None, True) if SHOP_SCOPE in str(scope).split() else Caller(claims["sub"])

    def _claims(self, token: str) -> dict[str, Any]:
        key: Any = self._key
        if self._set is not None:
            names = jwt.get_unverified_header(token).get("kid")
            known = [known for known in self._set.keys if known.key_id == names or len(self._set.keys) == 1]
            if not known:
                raise jwt.InvalidKeyError("no key of that name (kid)")
            key = known[0].key
        claims: dict[str, Any] = jwt.decode(
            token,
            key,
            algorithms=_algorithms_of(key),
            issuer=self._issuer,
            audience=self._audience,
            leeway=LEEWAY_SECONDS,
            options={"require": ["exp", "sub"]},
        )
        if not claims["sub"]:
            raise jwt.InvalidTokenError("its sub is empty")
        return claims


def _algorithms_of(key: object) -> list[str]:
    """The algorithms that a public key is for; a token that claims another one is refused.

    Raises:
        ValueError: It is for none that tokens are signed by.
    """
    for kind, names in ALGORITHMS.items():
        if isinstance(key, kind):
            return list(names)
    raise ValueError(f"it holds a key of the kind {type(key).__name__}")


def _public(keys: Any) -> dict[str, Any]:
    """A key set, which must have no private or shared keys: they are no business of who checks."""
    if any(name in key for key in keys.get("keys", ()) for name in ("d", "k")):
        raise ValueError("it holds private or shared keys")
    return dict(keys)


def _unauthorised(detail: str, error: str = "") -> HTTPException:
    challenge = ['Bearer realm="fuserank"', *([f'error="{error}"'] if error else [])]
    return HTTPException(401, detail, {"WWW-Authenticate": ", ".join(challenge)})
