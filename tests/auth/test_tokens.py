"""Bearer tokens: valid tokens are accepted, and every forgery is refused."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from datetime import timedelta
from typing import Any

import jwt
import pytest
from starlette.datastructures import Headers

from tallied.auth import tokens
from tallied.auth.tokens import (
    MAX_LIFETIME,
    TOKEN_SIZE,
    authenticate,
    decode_token,
    encode_token,
    read_bearer_token,
)
from tallied.auth.viewer import Viewer
from tallied.errors import ConfigurationError, Unauthenticated
from tallied.settings import Settings

SECRET = "3q8vRkzTf0W1xUeYcJ5mHn7LpAsDgB2i"
OTHER = "Zy7wKd2NqV9rTb4MxG6sHf1JcP8uLe3a"
HOUR = timedelta(hours=1)

UNREADABLE = "The token cannot be read; send it as it was given out."
FOREIGN = "The token is not one that this server accepts; get a new one."
EXPIRED = "The token has expired; get a new one."
TOO_LONG = "The token is longer than 8192 bytes; get a shorter one."
TOO_EARLY = "The token is not valid yet; wait, or set the clock where it was made."


def claims(**changes: Any) -> dict[str, Any]:
    """Return valid claims with these changes; one that is None is left out."""
    now = int(time.time())
    all_of_them = {"iss": "tallied", "aud": "tallied", "sub": "42", "exp": now + 600, **changes}
    return {name: value for name, value in all_of_them.items() if value is not None}


def encoded(part: object) -> str:
    raw = part if isinstance(part, bytes) else json.dumps(part).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def hand_made(
    payload: object, header: object = None, *, secret: str = SECRET, digest: str = "sha256"
) -> str:
    """Return a token signed as PyJWT would not."""
    header = {"alg": "HS256", "typ": "JWT"} if header is None else header
    signed = f"{encoded(header)}.{encoded(payload)}"
    return f"{signed}.{encoded(hmac.digest(secret.encode(), signed.encode(), digest))}"


def refusal(token: str, secret: str = SECRET) -> str:
    """Return the reason for which a token is refused."""
    with pytest.raises(Unauthenticated) as refused:
        decode_token(secret, token)
    assert refused.value.code == "UNAUTHENTICATED"
    assert secret not in refused.value.message or not secret
    return refused.value.message


@pytest.mark.parametrize(
    "viewer",
    [
        Viewer("42"),
        Viewer("auth0|5f7c", "Zoë 字"),
        Viewer("7", "Ada", is_moderator=True),
        Viewer("\N{GRINNING FACE}" * 255, "\N{GRINNING FACE}" * 100, is_moderator=True),
    ],
)
def test_token_stands_for_its_viewer(viewer: Viewer) -> None:
    assert decode_token(SECRET, encode_token(SECRET, viewer, HOUR)) == viewer


def test_pyjwt_reads_and_writes_tokens() -> None:
    token = encode_token(SECRET, Viewer("42", "Ada"), HOUR)
    decoded = jwt.decode(token, SECRET, ["HS256"], audience="tallied", issuer="tallied")
    assert (decoded["sub"], decoded["name"], decoded["exp"] - decoded["iat"]) == ("42", "Ada", 3600)
    assert "is_moderator" not in decoded
    assert decode_token(SECRET, jwt.encode(claims(), SECRET)) == Viewer("42")
    assert decode_token(SECRET, hand_made(claims(is_moderator=True, scope="x"))).is_moderator


def signed_by(**changes: Any) -> str:
    return jwt.encode(claims(**changes), SECRET)


def forgeries() -> dict[str, tuple[str, str]]:
    """Return invalid tokens and the reasons, by what is wrong with them."""
    now = int(time.time())
    good = signed_by()
    head, body, signature = good.split(".")
    unsigned = f"{encoded({'alg': 'none'})}.{body}."
    their_key = encoded(OTHER.encode())
    hs512 = hand_made(claims(), {"alg": "HS512"}, secret=SECRET * 2, digest="sha512")
    return {
        "empty": ("", UNREADABLE),
        "a word": ("token", UNREADABLE),
        "two parts": (f"{head}.{body}", UNREADABLE),
        "four parts": (f"{good}.{signature}", UNREADABLE),
        "encrypted, by its form": (".".join([head, "", body, body, signature]), UNREADABLE),
        "not base64": ("!!!.???.***", UNREADABLE),
        "not ASCII": (f"{good}é", UNREADABLE),
        "half a surrogate pair": (f"{good}\ud800", UNREADABLE),
        "white space": (f"{head}. {body}.{signature}", UNREADABLE),
        "a header that is not JSON": (hand_made(claims(), b"{"), UNREADABLE),
        "a header that is a list": (hand_made(claims(), ["HS256"]), UNREADABLE),
        "a header nested deeply": (hand_made(claims(), b"[" * 2500), UNREADABLE),
        "a payload that is not JSON": (hand_made(b"{"), UNREADABLE),
        "a payload that is a list": (hand_made([claims()]), UNREADABLE),
        "a payload nested deeply": (hand_made(b"[" * 5000), UNREADABLE),
        "a payload that is not UTF-8": (hand_made(b'{"sub": "\xff"}'), UNREADABLE),
        "an endless expiry": (hand_made(b'{"iss":"tallied","aud":"tallied","sub":"4","exp":1e999}'),
                              UNREADABLE),
        "an expiry in words": (signed_by(exp="tomorrow"), UNREADABLE),
        "another secret": (jwt.encode(claims(), OTHER), FOREIGN),
        "no signature": (f"{head}.{body}.", FOREIGN),
        "a changed signature": (f"{head}.{body}.{encoded(hashlib.sha256(b'x').digest())}", FOREIGN),
        "a changed payload": (f"{head}.{encoded(claims(sub='1'))}.{signature}", FOREIGN),
        "half the signature": (f"{head}.{body}.{signature[:20]}", FOREIGN),
        "alg none": (unsigned, FOREIGN),
        "alg none, signed": (hand_made(claims(), {"alg": "none"}), FOREIGN),
        "alg nOnE": (hand_made(claims(), {"alg": "nOnE"}), FOREIGN),
        "alg null": (hand_made(claims(), {"alg": None}), FOREIGN),
        "alg of a list": (hand_made(claims(), {"alg": ["HS256"]}), FOREIGN),
        "no alg": (hand_made(claims(), {"typ": "JWT"}), FOREIGN),
        "alg in lower case": (hand_made(claims(), {"alg": "hs256"}), FOREIGN),
        "RS256 with the secret as its key": (hand_made(claims(), {"alg": "RS256"}), FOREIGN),
        "ES256 with the secret as its key": (hand_made(claims(), {"alg": "ES256"}), FOREIGN),
        "HS512 by a long secret": (hs512, FOREIGN),
        "HS384": (hand_made(claims(), {"alg": "HS384"}, digest="sha384"), FOREIGN),
        "an extension that must be understood": (
            hand_made(claims(), {"alg": "HS256", "crit": ["exp"], "exp": 1}), FOREIGN),
        "a key of its own": (
            hand_made(claims(), {"alg": "HS256", "jwk": {"kty": "oct", "k": their_key}},
                      secret=OTHER), FOREIGN),
        "a key file of its own": (
            hand_made(claims(), {"alg": "HS256", "kid": "../../dev/null"}, secret=OTHER), FOREIGN),
        "no expiry": (signed_by(exp=None), FOREIGN),
        "no subject": (signed_by(sub=None), FOREIGN),
        "a subject of null": (hand_made({**claims(), "sub": None}), FOREIGN),
        "a number for a subject": (hand_made(claims(sub=42)), FOREIGN),
        "an empty subject": (signed_by(sub=""), FOREIGN),
        "a long subject": (signed_by(sub="x" * 256), FOREIGN),
        "a subject with a NUL": (signed_by(sub="4\x002"), FOREIGN),
        "a number for a name": (signed_by(name=7), FOREIGN),
        "a word for a moderator": (signed_by(is_moderator="false"), FOREIGN),
        "a number for a moderator": (signed_by(is_moderator=1), FOREIGN),
        "no audience": (signed_by(aud=None), FOREIGN),
        "another audience": (signed_by(aud="shop"), FOREIGN),
        "many audiences": (signed_by(aud=["tallied", "shop"]), FOREIGN),
        "no issuer": (signed_by(iss=None), FOREIGN),
        "another issuer": (signed_by(iss="shop"), FOREIGN),
        "expired": (signed_by(exp=now - 60), EXPIRED),
        "expired long ago": (signed_by(exp=0), EXPIRED),
        "expired, by another secret": (jwt.encode(claims(exp=now - 60), OTHER), FOREIGN),
        "not valid yet": (signed_by(nbf=now + 300), TOO_EARLY),
        "made in the future": (signed_by(iat=now + 300), TOO_EARLY),
        "large": ("x" * (TOKEN_SIZE + 1), TOO_LONG),
        "large, and signed": (signed_by(fill="x" * TOKEN_SIZE),
                              TOO_LONG),
    }  # fmt: skip


@pytest.mark.parametrize("wrong", list(forgeries()))
def test_forgery_is_refused_in_one_sentence(wrong: str) -> None:
    token, sentence = forgeries()[wrong]
    assert refusal(token) == sentence


def test_forgeries_differ_in_one_point_alone() -> None:
    # or each would be refused for being made badly
    assert decode_token(SECRET, hand_made(claims())) == Viewer("42")
    assert decode_token(SECRET, signed_by()) == Viewer("42")
    fill = "x" * 5000
    assert len(signed_by(fill=fill)) < TOKEN_SIZE
    assert decode_token(SECRET, signed_by(fill=fill)) == Viewer("42")


def test_clocks_may_differ_by_few_seconds() -> None:
    now = int(time.time())
    assert decode_token(SECRET, signed_by(exp=now - 3, iat=now + 3, nbf=now + 3)) == Viewer("42")
    assert refusal(signed_by(exp=now - 11)) == EXPIRED


def test_verified_token_is_verified_again_once_it_has_expired() -> None:
    token = signed_by(exp=int(time.time()) + 2)
    assert decode_token(SECRET, token) == Viewer("42")
    key = (token, SECRET, "")
    tokens._verified[key] = tokens._verified[key][0], Viewer("remembered")
    assert decode_token(SECRET, token) == Viewer("remembered")
    assert refusal(token, OTHER) == FOREIGN
    time.sleep(2.1)
    assert decode_token(SECRET, token) == Viewer("42")  # by the leeway


def test_verified_tokens_are_bounded() -> None:
    for number in range(tokens.MAX_VERIFIED + 5):
        decode_token(SECRET, encode_token(SECRET, Viewer(f"reader-{number}"), HOUR))
    assert len(tokens._verified) == tokens.MAX_VERIFIED


def test_previous_secret_is_accepted_while_configured() -> None:
    old, new = (encode_token(secret, Viewer("42"), HOUR) for secret in (OTHER, SECRET))
    for token in (old, new):
        assert decode_token(SECRET, token, previous_secret=OTHER) == Viewer("42")
    assert refusal(old) == FOREIGN
    with pytest.raises(Unauthenticated, match="has expired"):
        decode_token(SECRET, jwt.encode(claims(exp=1), OTHER), previous_secret=OTHER)
    with pytest.raises(Unauthenticated, match="not one that this server accepts"):
        decode_token(
            SECRET, jwt.encode(claims(), "neither of them, but long enough"), previous_secret=OTHER
        )


def test_without_secret_no_token_is_accepted() -> None:
    sentence = "This server accepts no tokens; send the request without one."
    assert refusal(encode_token(SECRET, Viewer("42"), HOUR), secret="") == sentence
    assert refusal(hand_made(claims(), secret=""), secret="") == sentence


@pytest.mark.parametrize(
    ("secret", "part"),
    [
        ("", "TALLIED_SECRET is not set"),
        (SECRET[:31], "TALLIED_SECRET must be a text of at least 32 random bytes"),
        ("password" * 8, "TALLIED_SECRET must be a text of at least 32 random bytes"),
        (f"-----BEGIN PUBLIC KEY-----\n{SECRET}\n-----END PUBLIC KEY-----", "no public key"),
        (f"ssh-ed25519 {SECRET}{OTHER}", "no public key"),
        (json.dumps({"kty": "oct", "k": SECRET}), "no public key"),
        (json.dumps([{"kty": "oct", "k": SECRET}]), "no public key"),
    ],
)
def test_unusable_secret_signs_nothing(secret: str, part: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        encode_token(secret, Viewer("42"), HOUR)
    assert part in str(refused.value)
    assert SECRET[:31] not in str(refused.value)
    if secret:
        with pytest.raises(ConfigurationError, match="TALLIED_SECRET"):
            decode_token(secret, signed_by())


@pytest.mark.parametrize(
    "lifetime", [timedelta(0), -HOUR, timedelta(milliseconds=5), MAX_LIFETIME + timedelta(1)]
)
def test_token_lives_for_second_to_year(lifetime: timedelta) -> None:
    with pytest.raises(ConfigurationError, match="expires after 1 second to 366 days, not after"):
        encode_token(SECRET, Viewer("42"), lifetime)


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "bEaReR"])
@pytest.mark.parametrize("name", ["Authorization", "authorization", "AUTHORIZATION"])
def test_token_is_read_from_header(name: str, scheme: str) -> None:
    assert read_bearer_token({name: f"{scheme} a.b-c_d~e+f/g=="}) == "a.b-c_d~e+f/g=="
    assert read_bearer_token(Headers({name: f"{scheme}   abc "})) == "abc"


def test_without_header_there_is_no_token() -> None:
    assert read_bearer_token({}) is None
    assert read_bearer_token(Headers({"cookie": "authorization=Bearer x"})) is None


@pytest.mark.parametrize(
    "value",
    ["", "Bearer", "Bearer ", "Bearerabc", "abc", "Basic YTpi", "Bearer a b", "Bearer a,b",
     'Bearer "a"', "Bearer =", "Bearer a=b", "Bearer é", "Bearer\tabc", "Bearer a\n",
     "Bearer a\nX: y", "Token abc", "Bearer Bearer abc", None, 7, ["Bearer abc"]],
)  # fmt: skip
def test_header_that_cannot_be_read_is_refused(value: Any) -> None:
    with pytest.raises(Unauthenticated) as refused:
        read_bearer_token({"Authorization": value})
    assert refused.value.message == (
        "The Authorization header cannot be read; send it once, as `Authorization: Bearer TOKEN`."
    )


def test_repeated_header_is_refused() -> None:
    raw = [(b"authorization", b"Bearer abc"), (b"authorization", b"Bearer def")]
    with pytest.raises(Unauthenticated, match="send it once"):
        read_bearer_token(Headers(raw=raw))


def test_request_is_its_tokens_or_guests() -> None:
    settings = Settings(secret=SECRET, previous_secret=OTHER)
    for secret in (SECRET, OTHER):
        token = encode_token(secret, Viewer("42", "Ada"), HOUR)
        headers = Headers({"Authorization": f"Bearer {token}"})
        assert authenticate(settings, headers) == Viewer("42", "Ada")
        with pytest.raises(Unauthenticated, match="accepts no tokens"):
            authenticate(Settings(), headers)
    assert authenticate(settings, Headers({"accept": "*/*"})) is None
    with pytest.raises(Unauthenticated, match="cannot be read"):
        authenticate(settings, {"authorization": "Bearer abc"})
