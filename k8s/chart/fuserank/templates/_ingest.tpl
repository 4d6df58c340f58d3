{{/* The configuration of the ingest: TOML, whose strings and lists are written as JSON's. */}}

{{- define "fuserank.ingestConfig" -}}
{{- $i := .Values.ingest -}}
{{- $kafka := merge (dict "bootstrap.servers" $i.bootstrapServers) $i.kafka -}}
{{- if $i.tlsSecretName -}}
{{- $kafka = merge $kafka (dict "ssl.ca.location" "/kafka-tls/ca.crt") -}}
{{- end -}}
dead_letter_topic = {{ $i.deadLetterTopic | toJson }}
group = {{ default (include "fuserank.name" .) $i.group | toJson }}
max_messages = {{ int $i.maxMessages }}
{{- range $table, $texts := dict "topics" $i.topics "kafka" $kafka "consumer" $i.consumer }}

[{{ $table }}]
{{- range $name, $text := $texts }}
{{ $name | toJson }} = {{ $text | toJson }}
{{- end }}
{{- end }}

[server]
# Every replica is asked by turns.
url = {{ printf "%s-headless.%s.svc:8001" (include "fuserank.name" .) .Release.Namespace | toJson }}
{{- if .Values.tls.enabled }}
root_ca = "/tls/ca.crt"
{{- if .Values.tls.mutual }}
client_cert = "/tls/tls.crt"
client_key = "/tls/tls.key"
{{- end }}
{{- end }}
{{- range $format, $settings := $i.formats }}

[formats.{{ $format | toJson }}]
{{- range $name, $setting := $settings }}
{{- if kindIs "float64" $setting }}
{{ $name }} = {{ int $setting }}
{{- else if not (kindIs "map" $setting) }}
{{ $name }} = {{ $setting | toJson }}
{{- end }}
{{- end }}
{{- range $name, $texts := $settings }}
{{- if kindIs "map" $texts }}

[formats.{{ $format | toJson }}.{{ $name }}]
{{- range $key, $text := $texts }}
{{ $key | toJson }} = {{ $text | toJson }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{ end -}}
