{{/* The parts of Triton's pod. */}}

{{- define "fuserank.arguments" -}}
{{- $v := .Values -}}
- --model-repository=/models
- --model-config-name={{ $v.profile }}
- --disable-auto-complete-config
- --model-control-mode=none
- --exit-timeout-secs={{ $v.drain.exitSeconds }}
- --http-port=8000
- --grpc-port=8001
- --metrics-port=8002
- --allow-gpu-metrics={{ not (empty (include "fuserank.onGPU" .)) }}
- --log-format=ISO8601
{{- if $v.grpc.maxConnectionAgeSeconds }}
- --grpc-max-connection-age={{ mul $v.grpc.maxConnectionAgeSeconds 1000 }}
- --grpc-max-connection-age-grace={{ mul $v.grpc.maxConnectionAgeGraceSeconds 1000 }}
{{- end }}
{{- $admin := "shared-memory,model-config,model-repository,statistics,trace,logging" }}
- --http-restricted-api={{ $admin }}:{{ $v.admin.header }}=$(ADMIN_KEY)
- --grpc-restricted-protocol={{ $admin }}:{{ $v.admin.header }}=$(ADMIN_KEY)
{{- if $v.tls.enabled }}
- --grpc-use-ssl=true
- --grpc-use-ssl-mutual={{ $v.tls.mutual }}
- --grpc-server-cert=/tls/tls.crt
- --grpc-server-key=/tls/tls.key
- --grpc-root-cert=/tls/ca.crt
{{- end }}
{{- if $v.tracing.enabled }}
- --trace-config=mode=opentelemetry
- --trace-config=level=TIMESTAMPS
- --trace-config=rate={{ $v.tracing.rate }}
- --trace-config=opentelemetry,url={{ $v.tracing.endpoint }}
- --trace-config=opentelemetry,resource=service.name={{ include "fuserank.name" . }}
{{- end }}
{{- end -}}

{{- define "fuserank.environment" -}}
{{- $v := .Values -}}
- name: ADMIN_KEY
  valueFrom: {secretKeyRef: {name: {{ include "fuserank.adminSecret" . }}, key: key}}
{{- if $v.tracing.enabled }}
- {name: OTEL_EXPORTER_OTLP_TRACES_ENDPOINT, value: {{ $v.tracing.endpoint | quote }}}
- {name: OTEL_SERVICE_NAME, value: {{ include "fuserank.name" . }}}
{{- end }}
{{- if $v.milvus.uri }}
- {name: FUSERANK_MILVUS_URI, value: {{ $v.milvus.uri | quote }}}
{{- end }}
{{- if $v.milvus.secretName }}
- name: FUSERANK_MILVUS_TOKEN
  valueFrom: {secretKeyRef: {name: {{ $v.milvus.secretName }}, key: token}}
{{- end }}
{{- include "fuserank.stateEnvironment" . }}
{{- if $v.state.featureShare }}
- {name: FUSERANK_STATE_FEATURE_SHARE, value: {{ $v.state.featureShare | quote }}}
{{- end }}
{{- if $v.experiment.name }}
- {name: FUSERANK_EXPERIMENT, value: /experiment/experiment.toml}
{{- end }}
{{- if $v.refresh.enabled }}
- {name: FUSERANK_SWITCH, value: {{ include "fuserank.switch" . }}}
{{- end }}
{{- end -}}

{{/* Where a replica finds the bundle. One that goes to others, or answers from several, sees all of the claim. */}}
{{- define "fuserank.bundlePath" -}}
{{- if or .Values.refresh.enabled (include "fuserank.armBundles" .) }}/bundles/{{ trimAll "/" .Values.bundle.path }}{{ else }}/bundle{{ end -}}
{{- end -}}

{{- define "fuserank.bundleMount" -}}
{{- if or .Values.refresh.enabled (include "fuserank.armBundles" .) -}}
- {name: bundle, mountPath: /bundles, readOnly: true}
{{- else -}}
- name: bundle
  mountPath: /bundle
  readOnly: true
  {{- if and (eq .Values.bundle.source "pvc") .Values.bundle.path }}
  subPath: {{ .Values.bundle.path }}
  {{- end }}
{{- end -}}
{{- end -}}

{{/* The folder by which a replica's processes are brought to another bundle, and what brings them there. */}}
{{- define "fuserank.switch" -}}
/switch/own/8001
{{- end -}}

{{- define "fuserank.switchContainer" -}}
# Goes to whatever bundle `promote` of the job has named on the claim. It sees Triton's processes, and writes the claim
# for `rollback` alone.
- name: switch
  image: {{ include "fuserank.image" . }}
  imagePullPolicy: {{ .Values.image.pullPolicy }}
  command:
    - python3
    - -m
    - fuserank_ensemble.serving.switch.fleet
    - follow
    - --bundle={{ include "fuserank.bundlePath" . }}
    - --switch={{ include "fuserank.switch" . }}
    - --target={{ .Values.profile }}
    - --http-port=8000
  env:
    {{- include "fuserank.stateEnvironment" . | trim | nindent 4 }}
  volumeMounts:
    - {name: bundle, mountPath: /bundles}
    - {name: switch, mountPath: /switch}
    {{- include "fuserank.stateMounts" . | trim | nindent 4 }}
    - {name: tmp, mountPath: /tmp}
  securityContext:
    {{- include "fuserank.containerSecurity" . | nindent 4 }}
  resources:
    {{- toYaml .Values.resources.switch | nindent 4 }}
{{- end -}}

{{/* The container that copies the bundle onto the node. */}}
{{- define "fuserank.fetch" -}}
{{- $b := .Values.bundle -}}
{{- if eq $b.source "image" -}}
image: {{ $b.image.reference }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
command: [cp, -R, /{{ default "bundle" (trimAll "/" $b.path) }}/., /copy]
volumeMounts:
  - {name: bundle, mountPath: /copy}
{{- else -}}
image: {{ $b.objectStorage.image }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
args: [copy, --config=/tmp/rclone.conf, --checksum, {{ printf "%s/%s" $b.objectStorage.remote (trimAll "/" $b.path) | trimSuffix "/" | quote }}, /copy]
{{- with $b.objectStorage.secretName }}
envFrom:
  - secretRef: {name: {{ . }}}
{{- end }}
volumeMounts:
  - {name: bundle, mountPath: /copy}
  - {name: tmp, mountPath: /tmp}
{{- end -}}
{{- end -}}

{{/* The bundle with engines that a revision of the release serves, within the claim. */}}
{{- define "fuserank.built" -}}
bundles/r{{ .Release.Revision }}
{{- end -}}

{{/* The container that builds TensorRT engines. Another replica may be at it too: only one can finish, the others find
its bundle there when the kubelet starts them again. */}}
{{- define "fuserank.engines" -}}
{{- $built := printf "/engines/%s" (include "fuserank.built" .) -}}
image: {{ default (printf "%s-engines:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag)) .Values.engines.image }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
command:
  - sh
  - -c
  - test -e {{ $built }} || exec "$@"
  - engines
  - python3
  - -m
  - fuserank_export
  - engines
  - --bundle=/bundle
  - --out={{ $built }}
  - --target=ensemble_tensorrt
  - --precision={{ .Values.engines.precision }}
  - --cache=/engines/cache
  - --report=/tmp/parity.json
volumeMounts:
  {{- include "fuserank.bundleMount" . | nindent 2 }}
  - {name: engines, mountPath: /engines}
  - {name: tmp, mountPath: /tmp}
{{- end -}}

{{/* What Triton serves from: the bundle, or the one that was made of it with engines. */}}
{{- define "fuserank.servedMount" -}}
{{- if .Values.engines.build -}}
- {name: engines, mountPath: /bundle, subPath: {{ include "fuserank.built" . }}, readOnly: true}
{{- else -}}
{{- include "fuserank.bundleMount" . }}
{{- end -}}
{{- end -}}

{{- define "fuserank.scheduling" -}}
{{- $s := .Values.scheduling -}}
{{- $gpu := .Values.gpu -}}
{{- with $s.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- if or $s.nodeSelector (and $gpu.count $gpu.product) }}
nodeSelector:
  {{- with $s.nodeSelector }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
  {{- if and $gpu.count $gpu.product }}
  nvidia.com/gpu.product: {{ $gpu.product }}
  {{- end }}
{{- end }}
{{- if or $s.tolerations $gpu.count }}
tolerations:
  {{- if $gpu.count }}
  - {key: nvidia.com/gpu, operator: Exists, effect: NoSchedule}
  {{- end }}
  {{- with $s.tolerations }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}
{{- with $s.topologyKey }}
topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: {{ . }}
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "fuserank.server" $ | nindent 8 }}
    # Old and new replicas of a rollout are spread each by themselves.
    matchLabelKeys: [pod-template-hash]
{{- end }}
{{- if eq $s.antiAffinity "required" }}
affinity:
  podAntiAffinity:
    requiredDuringSchedulingIgnoredDuringExecution:
      - topologyKey: kubernetes.io/hostname
        labelSelector:
          matchLabels:
            {{- include "fuserank.server" . | nindent 12 }}
        # A rollout's new replica may stand beside an old one, on a GPU of its own.
        matchLabelKeys: [pod-template-hash]
{{- else if eq $s.antiAffinity "preferred" }}
affinity:
  podAntiAffinity:
    preferredDuringSchedulingIgnoredDuringExecution:
      - weight: 100
        podAffinityTerm:
          topologyKey: kubernetes.io/hostname
          labelSelector:
            matchLabels:
              {{- include "fuserank.server" . | nindent 14 }}
{{- end }}
{{- end -}}
