"""The ways in from outside the cluster: what they let in, and how they speak to the replicas."""

from __future__ import annotations

import pytest

from support.chart_values import AUTHORITY, GATEWAY, INGRESS, MUTUAL, TLS
from support.charts import Manifest, kinds, merged, only, refusal

NGINX = "nginx.ingress.kubernetes.io/"


def test_from_outside_only_searches_come_in():
    (path,) = only("Ingress", INGRESS)["spec"]["rules"][0]["http"]["paths"]
    assert (path["path"], path["pathType"]) == ("/inference.GRPCInferenceService/ModelInfer", "Exact")
    (match,) = only("GRPCRoute", GATEWAY)["spec"]["rules"][0]["matches"]
    assert match["method"] == {"type": "Exact", "service": "inference.GRPCInferenceService", "method": "ModelInfer"}


def test_a_gateway_holds_the_replicas_to_their_authority_and_name():
    policy = only("BackendTLSPolicy", GATEWAY, TLS, AUTHORITY)["spec"]
    (target,) = policy["targetRefs"]
    service = only("Service")
    assert (target["kind"], target["name"]) == ("Service", service["metadata"]["name"])
    assert target["sectionName"] in {port["name"] for port in service["spec"]["ports"]}
    (authority,) = policy["validation"]["caCertificateRefs"]
    assert (authority["kind"], authority["name"]) == ("ConfigMap", "authority")
    certificate = merged(TLS, {"tls": {"certManager": {"enabled": True, "issuerName": "ca"}}})
    assert policy["validation"]["hostname"] in only("Certificate", certificate)["spec"]["dnsNames"]
    assert "BackendTLSPolicy" not in kinds(GATEWAY)


def test_nginx_shows_its_certificate_where_both_sides_must():
    plain = only("Ingress", INGRESS, TLS)["metadata"]["annotations"]
    assert plain == {f"{NGINX}backend-protocol": "GRPCS"}
    found = only("Ingress", INGRESS, MUTUAL, {"route": {"ingress": {"proxySecretName": "proxy"}}})
    annotations = found["metadata"]["annotations"]
    assert annotations[f"{NGINX}proxy-ssl-secret"] == "shops/proxy"
    assert annotations[f"{NGINX}proxy-ssl-verify"] == "on"
    assert annotations[f"{NGINX}proxy-ssl-name"] == "shop.shops.svc"


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"route": {"host": ""}}, "route.host: empty, and route.kind is grpcroute; name the host"),
        ({"route": {"grpcroute": {"gateway": ""}}}, "route.grpcroute.gateway: empty; name the Gateway"),
        (TLS, "route.grpcroute.backendAuthority: empty, and tls.enabled is true; name a ConfigMap whose ca.crt"),
        (merged(MUTUAL, AUTHORITY), "route.grpcroute.gatewayHasCertificate: false, and tls.mutual asks the Gateway"),
        (
            {"networkPolicy": {"clients": []}},
            "networkPolicy.clients: empty lets in this namespace alone, and route.kind is grpcroute; name the pods",
        ),
    ],
)
def test_a_gateway_that_could_not_reach_the_replicas_is_refused(values: Manifest, sentence: str):
    assert sentence in refusal(GATEWAY, values)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"route": {"ingress": {"tlsSecretName": ""}}}, "route.ingress.tlsSecretName: empty; ingress-nginx speaks"),
        (MUTUAL, "route.ingress.proxySecretName: empty, and tls.mutual asks nginx for a certificate; name a Secret"),
        ({"route": {"ingress": {"proxySecretName": "p"}}}, "route.ingress.proxySecretName: set, and tls.enabled is"),
        ({"networkPolicy": {"clients": []}}, "networkPolicy.clients: empty lets in this namespace alone"),
    ],
)
def test_an_ingress_that_could_not_reach_the_replicas_is_refused(values: Manifest, sentence: str):
    assert sentence in refusal(INGRESS, values)


def test_where_no_policy_holds_a_route_needs_no_clients():
    assert "GRPCRoute" in kinds(GATEWAY, {"networkPolicy": {"enabled": False, "clients": []}})
