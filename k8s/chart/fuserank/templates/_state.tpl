{{/* Where the state is, for every container that needs it. */}}

{{- define "fuserank.stateEnvironment" -}}
{{- $s := .Values.state -}}
{{- if eq $s.kind "sqlite" }}
- {name: FUSERANK_STATE, value: "sqlite:/state/log.sqlite"}
{{- else if and (eq $s.kind "redis") $s.redis.secretName }}
- name: FUSERANK_STATE
  valueFrom: {secretKeyRef: {name: {{ $s.redis.secretName | quote }}, key: url}}
{{- else if eq $s.kind "redis" }}
- {name: FUSERANK_STATE, value: {{ $s.redis.url | quote }}}
{{- end }}
{{- if eq $s.kind "redis" }}
- {name: FUSERANK_STATE_SPOOL, value: /state/spool.sqlite}
{{- end }}
{{- if $s.keySecretName }}
- {name: FUSERANK_STATE_KEY_FILE, value: /state-key/key}
{{- end }}
{{- end -}}

{{- define "fuserank.stateMounts" -}}
{{- $s := .Values.state -}}
{{- if ne $s.kind "none" }}
- {name: state, mountPath: /state}
{{- end }}
{{- include "fuserank.keyMount" . }}
{{- end -}}

{{- define "fuserank.keyMount" -}}
{{- if .Values.state.keySecretName }}
- {name: state-key, mountPath: /state-key, readOnly: true}
{{- end }}
{{- end -}}

{{- define "fuserank.stateVolumes" -}}
{{- $s := .Values.state -}}
{{- if eq $s.kind "sqlite" }}
- name: state
  persistentVolumeClaim: {claimName: {{ $s.sqlite.claimName | quote }}}
{{- else if eq $s.kind "redis" }}
- name: state
  emptyDir: {sizeLimit: {{ $s.redis.spoolSize | quote }}}
{{- end }}
{{- if $s.keySecretName }}
- name: state-key
  secret: {secretName: {{ $s.keySecretName | quote }}, defaultMode: 0440}
{{- end }}
{{- end -}}
