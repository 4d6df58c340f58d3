{{/* Names and labels that several objects share. */}}

{{- define "fuserank.name" -}}
{{- default .Release.Name .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- end -}}

{{- define "fuserank.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "fuserank.labels" -}}
{{ include "fuserank.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{/* The labels of Triton's pods alone: the pod of `helm test` must not stand behind the Service. */}}
{{- define "fuserank.server" -}}
{{ include "fuserank.selector" . }}
app.kubernetes.io/component: server
{{- end -}}

{{/* Those of the pods that read Kafka. */}}
{{- define "fuserank.ingest" -}}
{{ include "fuserank.selector" . }}
app.kubernetes.io/component: ingest
{{- end -}}

{{- define "fuserank.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}{{ .repository }}@{{ .digest }}{{- else -}}{{ .repository }}:{{ default $.Chart.AppVersion .tag }}{{- end -}}
{{- end -}}
{{- end -}}

{{/* Not empty where the profile runs on a GPU. */}}
{{- define "fuserank.onGPU" -}}
{{- if not (has .Values.profile (list "single_process" "ensemble_cpu")) -}}true{{- end -}}
{{- end -}}

{{- define "fuserank.adminSecret" -}}
{{- default (printf "%s-admin" (include "fuserank.name" .)) .Values.admin.secretName -}}
{{- end -}}

{{/* What a container may do: nothing that it need not. */}}
{{- define "fuserank.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}

{{- define "fuserank.podSecurity" -}}
runAsNonRoot: true
runAsUser: 1000
runAsGroup: 1000
fsGroup: 1000
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end -}}
