{{/* The parts of Triton's pod. */}}

{{- define "fuserank.arguments" -}}
{{- $v := .Values -}}
- tritonserver
- --model-repository=/models
- {{ printf "--model-config-name=%s" $v.profile | quote }}
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
{{- $admin := printf "shared-memory,model-config,model-repository,statistics,trace,logging:%s=$(ADMIN_KEY)" $v.admin.header }}
- {{ printf "--http-restricted-api=%s" $admin | quote }}
- {{ printf "--grpc-restricted-protocol=%s" $admin | quote }}
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
- {{ printf "--trace-config=opentelemetry,url=%s" $v.tracing.endpoint | quote }}
- {{ printf "--trace-config=opentelemetry,resource=service.name=%s" (include "fuserank.name" .) | quote }}
{{- end }}
{{- end -}}

{{- define "fuserank.environment" -}}
{{- $v := .Values -}}
- name: ADMIN_KEY
  valueFrom: {secretKeyRef: {name: {{ include "fuserank.adminSecret" . | quote }}, key: key}}
{{- if not (include "fuserank.onGPU" .) }}
{{ include "fuserank.noGPU" . }}
{{- end }}
{{- if $v.tracing.enabled }}
- {name: OTEL_EXPORTER_OTLP_TRACES_ENDPOINT, value: {{ $v.tracing.endpoint | quote }}}
- {name: OTEL_SERVICE_NAME, value: {{ include "fuserank.name" . | quote }}}
{{- end }}
{{- if $v.milvus.uri }}
- {name: FUSERANK_MILVUS_URI, value: {{ $v.milvus.uri | quote }}}
{{- end }}
{{- if $v.milvus.secretName }}
- name: FUSERANK_MILVUS_TOKEN
  valueFrom: {secretKeyRef: {name: {{ $v.milvus.secretName | quote }}, key: token}}
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
{{ include "fuserank.extraEnv" . }}
{{- end -}}

{{/* Models that change the state are served where one is kept, so the check is told. */}}
{{- define "fuserank.verifyEnvironment" -}}
{{- if ne .Values.profile "ensemble_tensorrt" }}
{{- include "fuserank.noGPU" . }}
{{- end }}
{{- include "fuserank.stateEnvironment" . }}
{{- include "fuserank.trustedKeyEnvironment" . }}
{{- if .Values.experiment.name }}
- {name: FUSERANK_EXPERIMENT, value: /experiment/experiment.toml}
{{- end }}
{{ include "fuserank.extraEnv" . }}
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
  subPath: {{ .Values.bundle.path | quote }}
  {{- end }}
{{- end -}}
{{- end -}}

{{/* Whose signature a bundle must have. */}}
{{- define "fuserank.trustedKeyEnvironment" -}}
{{- if .Values.bundle.trustedKey }}
- {name: FUSERANK_TRUSTED_KEY, value: /trusted-key/trusted.pem}
{{- end }}
{{- end -}}

{{- define "fuserank.trustedKeyMount" -}}
{{- if .Values.bundle.trustedKey }}
- {name: trusted-key, mountPath: /trusted-key, readOnly: true}
{{- end }}
{{- end -}}

{{- define "fuserank.trustedKeyVolume" -}}
{{- with .Values.bundle.trustedKey }}
- name: trusted-key
  configMap: {name: {{ . | quote }}}
{{- end }}
{{- end -}}

{{/* The folder by which a replica's processes are brought to another bundle, and what brings them there. */}}
{{- define "fuserank.switch" -}}
/switch/own/8001
{{- end -}}

{{- define "fuserank.switchContainer" -}}
# Goes to whatever bundle `promote` of the job has named on the claim. It sees Triton's processes, and writes the claim
# for `rollback` alone.
- name: switch
  image: {{ include "fuserank.image" . | quote }}
  imagePullPolicy: {{ .Values.image.pullPolicy }}
  command:
    - python3
    - -m
    - fuserank_ensemble.serving.switch.fleet
    - follow
    - {{ printf "--bundle=%s" (include "fuserank.bundlePath" .) | quote }}
    - --switch={{ include "fuserank.switch" . }}
    - --target={{ .Values.profile }}
    - --http-port=8000
  env:
    {{- include "fuserank.noGPU" . | nindent 4 }}
    {{- include "fuserank.stateEnvironment" . | trim | nindent 4 }}
    {{- include "fuserank.trustedKeyEnvironment" . | nindent 4 }}
    {{- include "fuserank.extraEnv" . | nindent 4 }}
  volumeMounts:
    - {name: bundle, mountPath: /bundles}
    - {name: switch, mountPath: /switch}
    {{- include "fuserank.stateMounts" . | trim | nindent 4 }}
    {{- include "fuserank.trustedKeyMount" . | nindent 4 }}
    - {name: tmp, mountPath: /tmp}
    {{- include "fuserank.extraMounts" . | nindent 4 }}
  securityContext:
    {{- include "fuserank.containerSecurity" . | nindent 4 }}
  resources:
    {{- toYaml .Values.resources.switch | nindent 4 }}
{{- end -}}

{{/* The container that copies the bundle onto the node. */}}
{{- define "fuserank.fetch" -}}
{{- $b := .Values.bundle -}}
{{- if eq $b.source "image" -}}
image: {{ $b.image.reference | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
command: [cp, -R, {{ printf "/%s/." (default "bundle" (trimAll "/" $b.path)) | quote }}, /copy]
{{- else -}}
image: {{ $b.objectStorage.image | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
args:
  - copy
  - --config=/tmp/rclone.conf
  - --checksum
  - {{ printf "%s/%s" $b.objectStorage.remote (trimAll "/" $b.path) | trimSuffix "/" | quote }}
  - /copy
{{- with $b.objectStorage.secretName }}
envFrom:
  - secretRef: {name: {{ . | quote }}}
{{- end }}
{{- end }}
{{- with include "fuserank.extraEnv" . }}
env:
  {{- . | nindent 2 }}
{{- end }}
volumeMounts:
  - {name: bundle, mountPath: /copy}
  {{- if ne $b.source "image" }}
  - {name: tmp, mountPath: /tmp}
  {{- end }}
  {{- include "fuserank.extraMounts" . | nindent 2 }}
{{- end -}}

{{/* The container that builds TensorRT engines, or finds those of this bundle and this GPU. Its image's entry point looks
after the driver's compatibility, so it is kept; nobody's home is there, and nothing but /tmp can be written. */}}
{{- define "fuserank.engines" -}}
image: {{ default (include "fuserank.exportImage" .) .Values.engines.image | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
args:
  - python3
  - -m
  - fuserank_export.engines.fleet
  - --bundle=/bundle
  - --shared=/engines
  - --link={{ include "fuserank.builtLink" . }}
  - --precision={{ .Values.engines.precision }}
  - --keep={{ .Values.engines.keep }}
env:
  - {name: HOME, value: /tmp}
  {{- include "fuserank.extraEnv" . | nindent 2 }}
volumeMounts:
  {{- include "fuserank.bundleMount" . | nindent 2 }}
  - {name: engines, mountPath: /engines}
  - {name: served, mountPath: /served}
  - {name: tmp, mountPath: /tmp}
  {{- include "fuserank.extraMounts" . | nindent 2 }}
{{- end -}}

{{/* A link to the bundle with engines, which only the builder knows by name. */}}
{{- define "fuserank.builtLink" -}}
/served/bundle
{{- end -}}

{{/* What Triton serves, and from which mounts: the bundle, or the one that was made of it with engines. */}}
{{- define "fuserank.servedPath" -}}
{{- if .Values.engines.build }}{{ include "fuserank.builtLink" . }}{{ else }}{{ include "fuserank.bundlePath" . }}{{ end -}}
{{- end -}}

{{- define "fuserank.servedMount" -}}
{{- if .Values.engines.build -}}
- {name: engines, mountPath: /engines, readOnly: true}
- {name: served, mountPath: /served, readOnly: true}
{{- else -}}
{{- include "fuserank.bundleMount" . }}
{{- end -}}
{{- end -}}
