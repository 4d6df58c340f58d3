"""Encryption, the certificates behind it, and the ways in. That a server speaks it: `test_k8s_rendered_commands.py`."""

from __future__ import annotations

from support.charts import LEAST, files, kinds, merged, only, pod, triton

TLS = {"tls": {"enabled": True, "secretName": "cert"}}
MUTUAL = {"tls": {"enabled": True, "mutual": True, "secretName": "cert", "clientSecretName": "client"}}
ISSUED = {"tls": {"enabled": True, "secretName": "cert", "certManager": {"enabled": True, "issuerName": "ca"}}}


def test_plain_text_has_no_certificate():
    assert not any("ssl" in word for word in triton()["args"])
    assert "Certificate" not in kinds()
    ports = only("Service")["spec"]["ports"]
    assert ports == [{"name": "grpc", "port": 8001, "targetPort": "grpc", "appProtocol": "kubernetes.io/h2c"}]


def test_triton_takes_the_secrets_files():
    arguments = triton(TLS)["args"]
    assert "--grpc-use-ssl=true" in arguments
    assert "--grpc-use-ssl-mutual=false" in arguments
    (mount,) = [m for m in triton(TLS)["volumeMounts"] if m["name"] == "tls"]
    (volume,) = [v for v in pod(TLS)["volumes"] if v["name"] == "tls"]
    assert mount["readOnly"] is True
    assert volume["secret"]["secretName"] == "cert"
    paths = [word.partition("=")[2] for word in arguments if word.startswith(("--grpc-server-", "--grpc-root-"))]
    assert paths == [f"{mount['mountPath']}/{name}" for name in ("tls.crt", "tls.key", "ca.crt")]


def test_mutual_tls_asks_for_the_clients_certificate_and_helm_test_has_one():
    assert "--grpc-use-ssl-mutual=true" in triton(MUTUAL)["args"]
    test = only("Pod", MUTUAL, name="shop-test")["spec"]
    assert test["containers"][0]["command"][-2:] == ["--tls=/tls", "--mutual"]
    assert [v["secret"]["secretName"] for v in test["volumes"] if v["name"] == "tls"] == ["client"]


def test_cert_manager_fills_the_secret_for_every_name_of_the_service():
    spec = only("Certificate", ISSUED)["spec"]
    assert spec["secretName"] == "cert"
    assert spec["issuerRef"]["name"] == "ca"
    assert {"shop.shops.svc", "shop-headless.shops.svc"} <= set(spec["dnsNames"])
    asked = only("Pod", ISSUED, name="shop-test")["spec"]["containers"][0]["command"][2]
    assert asked.partition(":")[0] in spec["dnsNames"]


def test_the_headless_service_names_every_replica():
    spec = only("Service", name="shop-headless")["spec"]
    assert spec["clusterIP"] == "None"
    assert spec["selector"] == only("Service")["spec"]["selector"]
    labels = only("Deployment")["spec"]["template"]["metadata"]["labels"]
    assert spec["selector"].items() <= labels.items()
    # The pod of `helm test` must get no traffic.
    assert not spec["selector"].items() <= only("Pod", name="shop-test")["metadata"]["labels"].items()


def test_old_connections_are_asked_to_come_anew():
    assert "--grpc-max-connection-age=300000" in triton()["args"]
    assert not any("connection-age" in word for word in triton({"grpc": {"maxConnectionAgeSeconds": 0}})["args"])


def test_the_notes_print_the_first_query():
    notes = files(merged(LEAST, {"service": {"port": 9001}}))["NOTES.txt"]
    assert 'fuserank search "milk" --user 900 --url 127.0.0.1:8001' in notes
    assert "port-forward service/shop 8001:9001" in notes
