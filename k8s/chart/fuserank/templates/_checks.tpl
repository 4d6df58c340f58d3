{{/* What no schema can see: settings that are each right and cannot work together. Each message names the value and
the remedy. */}}
{{- define "fuserank.checks" -}}
{{- $v := .Values -}}
{{- $gpus := int $v.gpu.count -}}
{{- with get (dict "cpu" "ensemble_cpu" "cuda" "ensemble_cuda" "tensorrt" "ensemble_tensorrt") $v.profile -}}
{{- fail (printf "profile: %s was renamed to %s; on a CPU, single_process is the default" $v.profile .) -}}
{{- end -}}
{{- $profiles := list "single_process" "ensemble_cpu" "ensemble_cuda" "ensemble_tensorrt" -}}
{{- if not (has $v.profile $profiles) -}}
{{- fail (printf "profile: found %q; set it to one of %s" $v.profile (join ", " $profiles)) -}}
{{- end -}}
{{- $name := include "fuserank.name" . -}}
{{- if not (regexMatch "^[a-z]" $name) -}}
{{- fail (printf "fullnameOverride: the name of a Service begins with a letter, and the release's is %s; set it to one that does" $name) -}}
{{- end -}}
{{- include "fuserank.checkPods" . -}}
{{- $onGPU := include "fuserank.onGPU" . -}}
{{- $claimed := $v.gpu.claimTemplateName -}}
{{- if and $claimed (gt $gpus 0) -}}
{{- fail (printf "gpu.count: %d, and gpu.claimTemplateName claims GPUs, too; set one of the two" $gpus) -}}
{{- end -}}
{{- if and $claimed (not $onGPU) -}}
{{- fail (printf "gpu.claimTemplateName: the GPU of %s would lie idle under profile %s; set profile to ensemble_cuda or ensemble_tensorrt" $claimed $v.profile) -}}
{{- end -}}
{{- if and $onGPU (lt $gpus 1) (not $claimed) -}}
{{- fail (printf "profile: %s runs on a GPU and gpu.count is %d; set gpu.count to 1, or profile to single_process" $v.profile $gpus) -}}
{{- end -}}
{{- if and (not $onGPU) (gt $gpus 0) -}}
{{- fail (printf "gpu.count: %d GPUs would lie idle under profile %s; set profile to ensemble_cuda or ensemble_tensorrt, or gpu.count to 0" $gpus $v.profile) -}}
{{- end -}}
{{- $whole := eq $v.profile "single_process" -}}
{{- range $v.autoscaling.models -}}
{{- if and $whole (has . (list "preprocess" "text_tower" "ranker" "finalize")) -}}
{{- fail (printf "autoscaling.models: %s is no model of its own under profile single_process; requests wait before search" .) -}}
{{- end -}}
{{- if and (not $whole) (eq . "search") -}}
{{- fail (printf "autoscaling.models: search never waits under profile %s; requests wait before its stages, such as retrieve" $v.profile) -}}
{{- end -}}
{{- end -}}
{{- $most := int $v.replicas -}}
{{- if ne $v.autoscaling.kind "none" -}}
{{- $most = int $v.autoscaling.maxReplicas -}}
{{- if gt (int $v.autoscaling.minReplicas) $most -}}
{{- fail (printf "autoscaling.minReplicas: %d is more than autoscaling.maxReplicas, %d; raise the one or lower the other" (int $v.autoscaling.minReplicas) $most) -}}
{{- end -}}
{{- if and (eq $v.autoscaling.kind "keda") (gt (int $v.autoscaling.keda.fallbackReplicas) $most) -}}
{{- fail (printf "autoscaling.keda.fallbackReplicas: %d is more than autoscaling.maxReplicas, %d; lower it" (int $v.autoscaling.keda.fallbackReplicas) $most) -}}
{{- end -}}
{{- end -}}
{{- $b := $v.bundle -}}
{{- if eq $b.source "pvc" -}}
{{- if not $b.pvc.claimName -}}
{{- fail "bundle.pvc.claimName: empty; name a PersistentVolumeClaim that holds a bundle, or set bundle.source to image or objectStorage" -}}
{{- end -}}
{{- if and (gt $most 1) (hasPrefix "ReadWriteOnce" $b.pvc.accessMode) -}}
{{- fail (printf "bundle.pvc.accessMode: %s cannot be shared by %d replicas; use a claim that is ReadOnlyMany or ReadWriteMany, or set bundle.source to image or objectStorage" $b.pvc.accessMode $most) -}}
{{- end -}}
{{- include "fuserank.checkSurge" (dict "surge" $v.rollout.maxSurge "mode" $b.pvc.accessMode "of" "bundle.pvc") -}}
{{- end -}}
{{- if and (eq $b.source "image") (not $b.image.reference) -}}
{{- fail "bundle.image.reference: empty; name an OCI image that holds a bundle, or set bundle.source to pvc or objectStorage" -}}
{{- end -}}
{{- if and (eq $b.source "objectStorage") (not $b.objectStorage.remote) -}}
{{- fail "bundle.objectStorage.remote: empty; name the bucket as rclone does, <remote>:<bucket>, or set bundle.source to pvc or image" -}}
{{- end -}}
{{- $e := $v.engines -}}
{{- if and $b.trustedKey $e.build -}}
{{- fail "engines.build: true, and bundle.trustedKey is set; a replica cannot sign what it builds: build the engines once with `fuserank export engines`, sign that bundle, and set engines.build to false" -}}
{{- end -}}
{{- if and $b.trustedKey $v.refresh.enabled (not $v.refresh.signingKeySecretName) -}}
{{- fail "refresh.signingKeySecretName: empty, and bundle.trustedKey is set; no replica would go to what the job makes: name a Secret whose signing.pem signs it, or set refresh.enabled to false" -}}
{{- end -}}
{{- if and $v.refresh.signingKeySecretName (not $b.trustedKey) -}}
{{- fail "bundle.trustedKey: empty, and refresh.signingKeySecretName is set; nobody would look at the signature: name the ConfigMap of the public key" -}}
{{- end -}}
{{- if $e.build -}}
{{- if ne $v.profile "ensemble_tensorrt" -}}
{{- fail (printf "engines.build: true, and profile %s runs no TensorRT engines; set profile to ensemble_tensorrt, or engines.build to false" $v.profile) -}}
{{- end -}}
{{- if not $e.claimName -}}
{{- fail "engines.claimName: empty, and engines.build is true; name a PersistentVolumeClaim that keeps what is built" -}}
{{- end -}}
{{- if eq $e.precision "auto" -}}
{{- fail "engines.precision: auto measures with ONNX Runtime on CUDA, which the image that builds does not have; set it to fp16 or fp32" -}}
{{- end -}}
{{- if not (or $v.gpu.product $claimed) -}}
{{- fail "gpu.product: empty, and engines.build is true; engines fit one GPU type: name it, such as NVIDIA-L4" -}}
{{- end -}}
{{- if eq $e.accessMode "ReadOnlyMany" -}}
{{- fail "engines.accessMode: ReadOnlyMany, and the first replica writes what it builds; use a claim that is ReadWriteMany, or ReadWriteOnce for one replica" -}}
{{- end -}}
{{- if and (gt $most 1) (ne $e.accessMode "ReadWriteMany") -}}
{{- fail (printf "engines.accessMode: %s cannot be filled and shared by %d replicas; use a claim that is ReadWriteMany" $e.accessMode $most) -}}
{{- end -}}
{{- include "fuserank.checkSurge" (dict "surge" $v.rollout.maxSurge "mode" $e.accessMode "of" "engines") -}}
{{- end -}}
{{- if and $v.tls.enabled (not $v.tls.secretName) -}}
{{- fail "tls.secretName: empty, and tls.enabled is true; name a Secret with tls.crt, tls.key and ca.crt (tls.certManager.enabled lets cert-manager fill it), or set tls.enabled to false" -}}
{{- end -}}
{{- if and $v.tls.mutual (not $v.tls.enabled) -}}
{{- fail "tls.mutual: true, and tls.enabled is false; set tls.enabled to true" -}}
{{- end -}}
{{- if and $v.tls.mutual (not $v.tls.clientSecretName) -}}
{{- fail "tls.clientSecretName: empty, and tls.mutual is true; name a Secret with the certificate that helm test shows the server" -}}
{{- end -}}
{{- if and $v.tls.certManager.enabled (not $v.tls.enabled) -}}
{{- fail "tls.certManager.enabled: true, and tls.enabled is false; set tls.enabled to true" -}}
{{- end -}}
{{- if and $v.tls.certManager.enabled (not $v.tls.certManager.issuerName) -}}
{{- fail "tls.certManager.issuerName: empty; name an Issuer or ClusterIssuer of cert-manager" -}}
{{- end -}}
{{- if and (ne $v.route.kind "none") (not $v.route.host) -}}
{{- fail (printf "route.host: empty, and route.kind is %s; name the host that clients ask, or set route.kind to none" $v.route.kind) -}}
{{- end -}}
{{- if and (eq $v.route.kind "grpcroute") (not $v.route.grpcroute.gateway) -}}
{{- fail "route.grpcroute.gateway: empty; name the Gateway that the route joins" -}}
{{- end -}}
{{- if and $v.tls.enabled (eq $v.route.kind "grpcroute") (not $v.route.grpcroute.backendAuthority) -}}
{{- fail "route.grpcroute.backendAuthority: empty, and tls.enabled is true; name a ConfigMap whose ca.crt the Gateway holds the replicas' certificate to, or set tls.enabled to false (the Gateway ends TLS)" -}}
{{- end -}}
{{- if and $v.tls.mutual (eq $v.route.kind "grpcroute") (not $v.route.grpcroute.gatewayHasCertificate) -}}
{{- fail "route.grpcroute.gatewayHasCertificate: false, and tls.mutual asks the Gateway for a certificate; name one in its spec.tls.backend.clientCertificateRef and set this to true, or tls.mutual to false" -}}
{{- end -}}
{{- if and $v.tls.mutual (eq $v.route.kind "ingress") (not $v.route.ingress.proxySecretName) -}}
{{- fail "route.ingress.proxySecretName: empty, and tls.mutual asks nginx for a certificate; name a Secret with tls.crt, tls.key and ca.crt, or set tls.mutual to false" -}}
{{- end -}}
{{- if and $v.route.ingress.proxySecretName (not $v.tls.enabled) -}}
{{- fail "route.ingress.proxySecretName: set, and tls.enabled is false; set tls.enabled to true" -}}
{{- end -}}
{{- if and (ne $v.route.kind "none") $v.networkPolicy.enabled (not $v.networkPolicy.clients) -}}
{{- fail (printf "networkPolicy.clients: empty lets in this namespace alone, and route.kind is %s; name the pods or the namespace of what the route goes through, such as namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: gateway}}" $v.route.kind) -}}
{{- end -}}
{{- if and (eq $v.route.kind "ingress") (not $v.route.ingress.tlsSecretName) -}}
{{- fail "route.ingress.tlsSecretName: empty; ingress-nginx speaks gRPC only over TLS: name a Secret with the host's certificate" -}}
{{- end -}}
{{- $d := $v.drain -}}
{{- if gt (int (add $d.minSeconds $d.quietSeconds)) (int $d.maxSeconds) -}}
{{- fail (printf "drain.maxSeconds: %d is less than drain.minSeconds and drain.quietSeconds together, %d; raise it" (int $d.maxSeconds) (int (add $d.minSeconds $d.quietSeconds))) -}}
{{- end -}}
{{- if and $v.milvus.secretName (not $v.milvus.uri) -}}
{{- fail "milvus.uri: empty, and milvus.secretName names a token for it; set the cluster's address, or milvus.secretName to the empty string" -}}
{{- end -}}
{{- $st := $v.state -}}
{{- if and (eq $st.kind "redis") (not (or $st.redis.url $st.redis.secretName)) -}}
{{- fail "state.redis.url: empty, and state.kind is redis; set the address, or state.redis.secretName to a Secret that holds it" -}}
{{- end -}}
{{- if and $st.redis.url $st.redis.secretName -}}
{{- fail "state.redis.secretName: set beside state.redis.url; set one of the two to the empty string" -}}
{{- end -}}
{{- if eq $st.kind "sqlite" -}}
{{- if not $st.sqlite.claimName -}}
{{- fail "state.sqlite.claimName: empty, and state.kind is sqlite; name a PersistentVolumeClaim that keeps the log" -}}
{{- end -}}
{{- if gt $most 1 -}}
{{- fail (printf "state.kind: sqlite cannot be shared by %d replicas; set it to redis" $most) -}}
{{- end -}}
{{- if $v.rollout.maxSurge -}}
{{- fail (printf "rollout.maxSurge: %d would put a second replica beside the one that has the claim of state.sqlite; set it to 0" (int $v.rollout.maxSurge)) -}}
{{- end -}}
{{- end -}}
{{- if and $st.keySecretName (eq $st.kind "none") -}}
{{- fail "state.keySecretName: names a key, and state.kind is none; set state.kind to redis or sqlite" -}}
{{- end -}}
{{- if and $st.featureShare (eq $st.kind "none") -}}
{{- fail (printf "state.featureShare: %v, and state.kind is none; what the ranker reads is kept in the log: set state.kind to redis or sqlite, or state.featureShare to 0" $st.featureShare) -}}
{{- end -}}
{{- $i := $v.ingest -}}
{{- if $i.enabled -}}
{{- range list "record" "catalog" -}}
{{- if has . $v.without -}}
{{- fail (printf "without: names %s, and ingest.enabled is true; the reader of Kafka calls it: leave it out of without, or let another release read" .) -}}
{{- end -}}
{{- end -}}
{{- if eq $st.kind "none" -}}
{{- fail "ingest.enabled: true, and state.kind is none; set state.kind to redis or sqlite, or ingest.enabled to false" -}}
{{- end -}}
{{- range $name := list "bootstrapServers" "topics" "deadLetterTopic" -}}
{{- if not (get $i $name) -}}
{{- fail (printf "ingest.%s: empty, and ingest.enabled is true; set it, or ingest.enabled to false" $name) -}}
{{- end -}}
{{- end -}}
{{- if hasKey $i.topics $i.deadLetterTopic -}}
{{- fail (printf "ingest.deadLetterTopic: %s is read, too; name a topic of its own" $i.deadLetterTopic) -}}
{{- end -}}
{{- $known := concat (list "events" "items" "ga4" "ga4_bigquery" "segment") (keys $i.formats) -}}
{{- range $topic, $format := $i.topics -}}
{{- if not (has $format $known) -}}
{{- fail (printf "ingest.topics.%s: found %q; set it to one of %s" $topic $format (join ", " $known)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $x := $v.experiment -}}
{{- if and $x.arms (not $x.name) -}}
{{- fail "experiment.name: empty, and experiment.arms names some; set it, or experiment.arms to an empty list" -}}
{{- end -}}
{{- if $x.name -}}
{{- if eq $st.kind "none" -}}
{{- fail "experiment.name: set, and state.kind is none; people are dealt by the key of the state: set state.kind to redis or sqlite" -}}
{{- end -}}
{{- if lt (len $x.arms) 2 -}}
{{- fail (printf "experiment.arms: found %d; name two at least, the control first" (len $x.arms)) -}}
{{- end -}}
{{- $names := list -}}
{{- $shares := 0.0 -}}
{{- range $x.arms -}}
{{- $names = append $names .name -}}
{{- $shares = addf $shares .share -}}
{{- end -}}
{{- if lt (len (uniq $names)) (len $names) -}}
{{- fail (printf "experiment.arms: found the names %s; each name once" (join ", " $names)) -}}
{{- end -}}
{{- if gt $shares 1.000001 -}}
{{- fail (printf "experiment.arms: found shares that sum up to %v; lower them to 1 at most" $shares) -}}
{{- end -}}
{{- if include "fuserank.armBundles" . -}}
{{- if (index $x.arms 0).bundle -}}
{{- fail "experiment.arms[0].bundle: the bundle of the release answers the control; leave it out" -}}
{{- end -}}
{{- if $x.shadow -}}
{{- fail "experiment.shadow: an arm with a bundle has other candidates; set it to 0" -}}
{{- end -}}
{{- if ne $b.source "pvc" -}}
{{- fail (printf "bundle.source: %s, and an arm of the experiment has a bundle; both lie in one claim: set it to pvc" $b.source) -}}
{{- end -}}
{{- if not $b.path -}}
{{- fail "bundle.path: empty, and an arm of the experiment has a bundle; name the folder of each within the claim" -}}
{{- end -}}
{{- if $v.refresh.enabled -}}
{{- fail "refresh.enabled: true, and an arm of the experiment has a bundle; the control stays what it is: set it to false until the experiment ends" -}}
{{- end -}}
{{- if $e.build -}}
{{- fail "engines.build: true, and an arm of the experiment has a bundle; engines are built for one: serve bundles that have theirs" -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if $v.refresh.enabled -}}
{{- if ne $b.source "pvc" -}}
{{- fail (printf "bundle.source: %s, and refresh.enabled is true; the next bundle is written beside the served one: set it to pvc" $b.source) -}}
{{- end -}}
{{- if not $b.path -}}
{{- fail "bundle.path: empty, and refresh.enabled is true; name the bundle's folder within the claim: the next ones are written beside it" -}}
{{- end -}}
{{- if ne $b.pvc.accessMode "ReadWriteMany" -}}
{{- fail (printf "bundle.pvc.accessMode: %s, and refresh.enabled is true; a job writes what the replicas read: use a claim that is ReadWriteMany" $b.pvc.accessMode) -}}
{{- end -}}
{{- if ne $st.kind "redis" -}}
{{- fail (printf "state.kind: %s, and refresh.enabled is true; the job reads the log from another node: set it to redis" $st.kind) -}}
{{- end -}}
{{- if eq $v.profile "ensemble_tensorrt" -}}
{{- fail "refresh.enabled: true, and profile ensemble_tensorrt serves engines that were built for one bundle; set profile to ensemble_cuda, or refresh.enabled to false" -}}
{{- end -}}
{{- end -}}
{{- end -}}
