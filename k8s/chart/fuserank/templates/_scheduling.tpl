{{/* Where the servers run. */}}

{{- define "fuserank.scheduling" -}}
{{- $s := .Values.scheduling -}}
{{- $gpu := .Values.gpu -}}
{{- with $s.priorityClassName }}
priorityClassName: {{ . | quote }}
{{- end }}
{{- with $s.runtimeClassName }}
runtimeClassName: {{ . | quote }}
{{- end }}
{{- if or $s.nodeSelector (and $gpu.count $gpu.product) }}
nodeSelector:
  {{- with $s.nodeSelector }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
  {{- if and $gpu.count $gpu.product }}
  nvidia.com/gpu.product: {{ $gpu.product | quote }}
  {{- end }}
{{- end }}
{{- include "fuserank.serverTolerations" . }}
{{- with $s.topologyKey }}
topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: {{ . | quote }}
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "fuserank.server" $ | nindent 8 }}
    # Old and new replicas of a rollout are spread each by themselves.
    matchLabelKeys: [pod-template-hash]
{{- end }}
{{- if $gpu.claimTemplateName }}
resourceClaims:
  - {name: gpu, resourceClaimTemplateName: {{ $gpu.claimTemplateName | quote }}}
{{- end }}
{{- if or $s.affinity (ne $s.antiAffinity "none") }}
affinity:
  {{- with $s.affinity }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
  {{- if eq $s.antiAffinity "required" }}
  podAntiAffinity:
    requiredDuringSchedulingIgnoredDuringExecution:
      - topologyKey: kubernetes.io/hostname
        labelSelector:
          matchLabels:
            {{- include "fuserank.server" . | nindent 12 }}
        # A rollout's new replica may stand beside an old one, on a GPU of its own.
        matchLabelKeys: [pod-template-hash]
  {{- else if eq $s.antiAffinity "preferred" }}
  podAntiAffinity:
    preferredDuringSchedulingIgnoredDuringExecution:
      - weight: 100
        podAffinityTerm:
          topologyKey: kubernetes.io/hostname
          labelSelector:
            matchLabels:
              {{- include "fuserank.server" . | nindent 14 }}
  {{- end }}
{{- end }}
{{- end -}}

{{/* Those of the release, and of GPU nodes, which are tainted by custom. */}}
{{- define "fuserank.serverTolerations" -}}
{{- $onGPU := include "fuserank.onGPU" . -}}
{{- $own := .Values.scheduling.tolerations -}}
{{- if or $own $onGPU }}
tolerations:
  {{- if $onGPU }}
  - {key: nvidia.com/gpu, operator: Exists, effect: NoSchedule}
  {{- end }}
  {{- with $own }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}
{{- end -}}
