{{/* What no schema can see of the pods: names that the chart itself gives, and claims that two pods cannot have at once. */}}

{{- define "fuserank.checkPods" -}}
{{- $v := .Values -}}
{{- range $label := list "app.kubernetes.io/name" "app.kubernetes.io/instance" "app.kubernetes.io/component" -}}
{{- if hasKey $v.podLabels $label -}}
{{- fail (printf "podLabels: %s tells the release's pods apart; leave it out" $label) -}}
{{- end -}}
{{- end -}}
{{- $own := list "ADMIN_KEY" "HOME" "NVIDIA_VISIBLE_DEVICES" "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT" "OTEL_SERVICE_NAME" -}}
{{- $own = concat $own (list "FUSERANK_EXPERIMENT" "FUSERANK_MILVUS_TOKEN" "FUSERANK_MILVUS_URI" "FUSERANK_STATE") -}}
{{- $own = concat $own (list "FUSERANK_STATE_FEATURE_SHARE" "FUSERANK_STATE_KEY_FILE" "FUSERANK_STATE_SPOOL" "FUSERANK_SWITCH" "FUSERANK_TRUSTED_KEY") -}}
{{- range $v.extraEnv -}}
{{- if has .name $own -}}
{{- fail (printf "extraEnv: %s is set by the chart; leave it out, and use the value that it comes from" .name) -}}
{{- end -}}
{{- if and .value .valueFrom -}}
{{- fail (printf "extraEnv: %s has a value and a valueFrom; leave one out" .name) -}}
{{- end -}}
{{- end -}}
{{- $taken := list "bundle" "config" "engines" "experiment" "kafka-tls" "models" "served" "shm" "signing-key" "state" "state-key" "switch" "test" "tls" "tmp" "trusted-key" -}}
{{- $volumes := list -}}
{{- range $v.extraVolumes -}}
{{- if has .name $taken -}}
{{- fail (printf "extraVolumes: the chart has a volume %s; give it another name" .name) -}}
{{- end -}}
{{- $volumes = append $volumes .name -}}
{{- end -}}
{{- range $v.extraVolumeMounts -}}
{{- if not (has .name $volumes) -}}
{{- fail (printf "extraVolumeMounts: found %s; set it to one of extraVolumes: %s" .name (default "there is none" (join ", " $volumes))) -}}
{{- end -}}
{{- if has (clean .mountPath) (list "/" "/bundle" "/bundles" "/copy" "/dev/shm" "/engines" "/experiment" "/models" "/served" "/signing-key" "/state" "/state-key" "/switch" "/tls" "/tmp" "/trusted-key") -}}
{{- fail (printf "extraVolumeMounts: found the path %s, which the chart uses; mount it elsewhere" .mountPath) -}}
{{- end -}}
{{- end -}}
{{- if and $v.scheduling.affinity.podAntiAffinity (ne $v.scheduling.antiAffinity "none") -}}
{{- fail (printf "scheduling.affinity: has a podAntiAffinity, and scheduling.antiAffinity is %s; set that to none" $v.scheduling.antiAffinity) -}}
{{- end -}}
{{- include "fuserank.checkFolder" (dict "of" "bundle.path" "path" $v.bundle.path) -}}
{{- range $number, $arm := $v.experiment.arms -}}
{{- include "fuserank.checkFolder" (dict "of" (printf "experiment.arms[%d].bundle" $number) "path" (default "" $arm.bundle)) -}}
{{- end -}}
{{- end -}}

{{/* A folder within a volume, a bucket or an image. */}}
{{- define "fuserank.checkFolder" -}}
{{- if has ".." (splitList "/" .path) -}}
{{- fail (printf "%s: found %q, which leads out; name a folder within" .of .path) -}}
{{- end -}}
{{- end -}}

{{/* A claim for one node or one pod: a rollout's new replica would wait for it, and the old one for the new one. */}}
{{- define "fuserank.checkSurge" -}}
{{- if and .surge (hasPrefix "ReadWriteOnce" .mode) -}}
{{- fail (printf "rollout.maxSurge: %d puts a new replica beside an old one, and %s.accessMode is %s; set it to 0, or use a claim that both can have" (int .surge) .of .mode) -}}
{{- end -}}
{{- end -}}
