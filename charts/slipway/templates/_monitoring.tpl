{{/* A duration such as 1h30m, in seconds. */}}
{{- define "slipway.seconds" -}}
{{- $hours := regexFind "[0-9]+h" . | trimSuffix "h" | int }}
{{- $minutes := regexFind "[0-9]+m" . | trimSuffix "m" | int }}
{{- $seconds := regexFind "[0-9]+s" . | trimSuffix "s" | int }}
{{- add (mul $hours 3600) (mul $minutes 60) $seconds }}
{{- end }}

{{/* Where an alert is explained: a section of docs/runbooks.md. Given as (list $ "SlipwayOperatorDown"). */}}
{{- define "slipway.runbookUrl" -}}
{{- with (index . 0).Values.metrics.rules.runbookUrl -}}
runbook_url: {{ printf "%s#%s" . (lower (index $ 1)) }}
{{- end }}
{{- end }}

{{/* An expression about objects, whose namespace is that of the object again and not that of the operator. */}}
{{- define "slipway.ofObjects" -}}
label_replace({{ . }}, "namespace", "$1", "exported_namespace", "(.+)")
{{- end }}
