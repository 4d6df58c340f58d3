"""Values of the chart that several tests render."""

from __future__ import annotations

from support.charts import Manifest, merged

CLIENTS = {"networkPolicy": {"clients": [{"namespaceSelector": {"matchLabels": {"team": "edge"}}}]}}
GATEWAY = merged(CLIENTS, {"route": {"kind": "grpcroute", "host": "a.example", "grpcroute": {"gateway": "edge"}}})
INGRESS = merged(CLIENTS, {"route": {"kind": "ingress", "host": "a.example", "ingress": {"tlsSecretName": "a"}}})
TLS = {"tls": {"enabled": True, "secretName": "cert"}}
MUTUAL = {"tls": {"enabled": True, "mutual": True, "secretName": "cert", "clientSecretName": "client"}}
AUTHORITY = {"route": {"grpcroute": {"backendAuthority": "authority"}}}

# What a cluster asks of pods.
PROXY = {"name": "HTTPS_PROXY", "value": "http://proxy:3128"}
MOUNT = {"name": "ca", "mountPath": "/etc/ssl/shop", "readOnly": True}
NEAR = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [{"matchExpressions": []}]}}
SPOT = {"key": "spot", "operator": "Exists"}
SETTINGS: Manifest = {
    "podLabels": {"team": "shop"},
    "podAnnotations": {"note": "1"},
    "extraEnv": [PROXY],
    "extraVolumes": [{"name": "ca", "configMap": {"name": "ca"}}],
    "extraVolumeMounts": [MOUNT],
    "image": {"pullSecrets": [{"name": "pull"}]},
    "scheduling": {
        "runtimeClassName": "nvidia",
        "nodeSelector": {"pool": "shop"},
        "tolerations": [SPOT],
        "affinity": {"nodeAffinity": NEAR},
    },
}
# Every pod that the chart can make.
ALL: Manifest = {
    "bundle": {"path": "shop", "pvc": {"accessMode": "ReadWriteMany"}},
    "state": {"kind": "redis", "redis": {"url": "redis://redis:6379/0"}},
    "refresh": {"enabled": True},
    "ingest": {"enabled": True, "bootstrapServers": "k:9092", "topics": {"t": "events"}, "deadLetterTopic": "dead"},
}
STORAGE: Manifest = {"bundle": {"source": "objectStorage", "objectStorage": {"remote": "s3:shop"}}}
TENSORRT: Manifest = {
    "profile": "ensemble_tensorrt",
    "gpu": {"count": 1, "product": "NVIDIA-L4"},
    "engines": {"build": True, "claimName": "engines"},
}

# Between them they use every string.
BASES: dict[str, Manifest] = {
    "a gateway, events from Kafka, the next bundle": merged(
        SETTINGS, ALL, GATEWAY, MUTUAL, AUTHORITY,
        {
            "route": {"grpcroute": {"gatewayNamespace": "edge", "gatewayHasCertificate": True}},
            "tls": {"certManager": {"enabled": True, "issuerName": "ca"}},
            "image": {"tag": "next", "digest": "sha256:" + "0" * 64},
            "admin": {"secretName": "admin"},
            "service": {"annotations": {"a": "b"}},
            "serviceAccount": {"annotations": {"a": "b"}},
            "scheduling": {"priorityClassName": "high"},
            "autoscaling": {"kind": "keda"},
            "milvus": {"uri": "http://milvus:19530", "secretName": "milvus"},
            "state": {"keySecretName": "people", "featureShare": 0.01},
            "experiment": {"name": "e", "arms": [{"name": "a", "share": 0.5}, {"name": "b", "share": 0.5}]},
            "bundle": {"trustedKey": "keys"},
            "refresh": {"image": "registry.example/engines:1", "signingKeySecretName": "signing"},
            "ingest": {
                "image": "registry.example/ingest:1", "group": "g", "secretName": "kafka", "tlsSecretName": "kafka",
                "kafka": {"a": "b"}, "consumer": {"a": "b"}, "formats": {"own": {"extends": "segment", "events": "e"}},
            },
            "tracing": {"enabled": True},
            "monitoring": {"podMonitor": True, "rules": True, "labels": {"a": "b"}},
            "test": {"image": "registry.example/ingest:1"},
            "seccompProfile": "fuserank.json",
        },
    ),
    "engines, object storage, an ingress": merged(
        TENSORRT, INGRESS, MUTUAL,
        {
            "fullnameOverride": "shop",
            "bundle": {"source": "objectStorage", "path": "today"},
            "engines": {"image": "registry.example/engines:1"},
            "route": {"ingress": {"proxySecretName": "proxy"}},
            "state": {"kind": "redis", "redis": {"secretName": "redis"}},
        },
        {"bundle": {"objectStorage": {"remote": "s3:shop", "secretName": "store"}}},
    ),
    "an image, a GPU by a claim, SQLite": {
        "profile": "ensemble_cuda", "gpu": {"claimTemplateName": "l4"}, "rollout": {"maxSurge": 0},
        "bundle": {"source": "image", "path": "shop", "image": {"reference": "registry.example/bundle:1"}},
        "state": {"kind": "sqlite", "sqlite": {"claimName": "log"}},
    },
}  # fmt: skip
