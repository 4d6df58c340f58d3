{{/* Names and labels that several objects share. */}}

{{/* 44 characters: with `-refresh` a CronJob's name has the 52 that Kubernetes allows it. */}}
{{- define "fuserank.name" -}}
{{- default .Release.Name .Values.fullnameOverride | replace "." "-" | trunc 44 | trimSuffix "-" -}}
{{- end -}}

{{- define "fuserank.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end -}}

{{- define "fuserank.labels" -}}
{{ include "fuserank.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service | quote }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | quote }}
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

{{/* The image that holds the export, and TensorRT where it is NVIDIA's. */}}
{{- define "fuserank.exportImage" -}}
{{- printf "%s-engines:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) -}}
{{- end -}}

{{/* Not empty where the profile runs on a GPU. */}}
{{- define "fuserank.onGPU" -}}
{{- if not (has .Values.profile (list "single_process" "ensemble_cpu")) -}}true{{- end -}}
{{- end -}}

{{- define "fuserank.adminSecret" -}}
{{- default (printf "%s-admin" (include "fuserank.name" .)) .Values.admin.secretName -}}
{{- end -}}
