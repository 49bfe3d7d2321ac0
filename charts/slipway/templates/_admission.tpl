{{/* Who the operator is, as the API server spells it. */}}
{{- define "slipway.operatorUser" -}}
system:serviceaccount:{{ .Release.Namespace }}:{{ include "slipway.serviceAccount" . }}
{{- end }}

{{/* CEL: a list of strings. */}}
{{- define "slipway.celList" -}}
[{{- range $index, $word := . }}{{ if $index }}, {{ end }}'{{ $word }}'{{ end }}]
{{- end }}

{{/* CEL: whether the namespace of the request is one that the operator serves. */}}
{{- define "slipway.celServed" -}}
{{- if .Values.watch.namespaces -}}
request.namespace in {{ include "slipway.celList" .Values.watch.namespaces }}
{{- else -}}
namespaceObject.metadata.?labels.orValue({})[?'slipway.dev/models'].orValue('') == 'true'
{{- end }}
{{- end }}

{{/* CEL: whether the user may write what Slipway makes: the operator, the control plane's controllers, and the tools
     that the chart's values name. */}}
{{- define "slipway.celWriter" -}}
request.userInfo.username == '{{ include "slipway.operatorUser" . }}' ||
request.userInfo.username.startsWith('system:serviceaccount:kube-system:') ||
request.userInfo.username == 'system:kube-controller-manager'
{{- with .Values.admission.writers }} ||
request.userInfo.username in {{ include "slipway.celList" . }} ||
request.userInfo.groups.exists(group, group in {{ include "slipway.celList" . }})
{{- end }}
{{- end }}

{{/* A policy in force: `root`, `name`, `namespaces` (empty: everywhere) and, if it only warns, `warn`. */}}
{{- define "slipway.policyBinding" -}}
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata:
  name: {{ .name }}
  labels: {{- include "slipway.labels" .root | nindent 4 }}
spec:
  policyName: {{ .name }}
  validationActions: [{{ ternary "Warn" "Deny" (default false .warn) }}]
  {{- with .namespaces }}
  matchResources:
    namespaceSelector:
      matchExpressions:
        - key: kubernetes.io/metadata.name
          operator: In
          values: {{- toYaml . | nindent 12 }}
  {{- end }}
{{- end }}
