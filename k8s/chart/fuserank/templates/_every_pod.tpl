{{/* What every pod of the release has. */}}

{{- define "fuserank.podLabels" -}}
{{- with .Values.podLabels }}
{{- toYaml . }}
{{- end }}
{{- end -}}

{{- define "fuserank.podSpec" -}}
serviceAccountName: {{ include "fuserank.name" . | quote }}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  {{- include "fuserank.podSecurity" . | nindent 2 }}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
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
{{- with .Values.seccompProfile }}
seccompProfile: {type: Localhost, localhostProfile: {{ . | quote }}}
{{- else }}
seccompProfile: {type: RuntimeDefault}
{{- end }}
{{- end -}}

{{/* Where pods beside the servers may run: on the nodes that the release was given, none of which must be tainted. */}}
{{- define "fuserank.nodes" -}}
{{- $s := .Values.scheduling -}}
{{- with $s.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $s.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* Variables of a container. NVIDIA's images ask for all GPUs of the node, where its runtime is the default one:
without a GPU of its own a container asks for none. */}}
{{- define "fuserank.noGPU" -}}
- {name: NVIDIA_VISIBLE_DEVICES, value: void}
{{- end -}}

{{- define "fuserank.extraEnv" -}}
{{- with .Values.extraEnv }}
{{- toYaml . }}
{{- end }}
{{- end -}}

{{- define "fuserank.extraMounts" -}}
{{- with .Values.extraVolumeMounts }}
{{- toYaml . }}
{{- end }}
{{- end -}}

{{/* Requests and limits of a container that has the GPU. */}}
{{- define "fuserank.gpuResources" -}}
{{- $gpu := .root.Values.gpu -}}
requests:
  {{- toYaml .resources.requests | nindent 2 }}
limits:
  {{- toYaml .resources.limits | nindent 2 }}
  {{- if $gpu.count }}
  {{ $gpu.resource | quote }}: {{ $gpu.count }}
  {{- end }}
{{- if $gpu.claimTemplateName }}
claims: [{name: gpu}]
{{- end }}
{{- end -}}
