{{/* The experiment on users: the file that every process of a replica reads. */}}

{{/* Not empty where an arm is answered by a bundle of its own. */}}
{{- define "fuserank.armBundles" -}}
{{- range .Values.experiment.arms }}{{ if .bundle }}true{{ end }}{{ end -}}
{{- end -}}

{{- define "fuserank.experimentConfig" -}}
{{- $arms := list -}}
{{- range .Values.experiment.arms -}}
{{- $arm := deepCopy . -}}
{{- if $arm.bundle -}}
{{- $_ := set $arm "bundle" (printf "/bundles/%s" (trimAll "/" $arm.bundle)) -}}
{{- end -}}
{{/* Helm reads each number as a float, and places are integers. */}}
{{- range $arm.rules -}}
{{- if hasKey . "pin" -}}{{- $_ := set . "pin" (int .pin) -}}{{- end -}}
{{- end -}}
{{- with $arm.explore -}}
{{- if hasKey . "max_events" -}}{{- $_ := set . "max_events" (int .max_events) -}}{{- end -}}
{{- if hasKey . "slots" -}}
{{- $slots := list -}}
{{- range .slots -}}{{- $slots = append $slots (int .) -}}{{- end -}}
{{- $_ := set . "slots" $slots -}}
{{- end -}}
{{- end -}}
{{- $arms = append $arms $arm -}}
{{- end -}}
{{ dict "name" .Values.experiment.name "shadow" .Values.experiment.shadow "arms" $arms | toToml }}
{{- end -}}
