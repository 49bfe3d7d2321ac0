{{- define "slipway.name" -}}
{{- .Values.nameOverride | default .Chart.Name | trunc 40 | trimSuffix "-" }}
{{- end }}

{{- define "slipway.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" }}
{{- else if contains (include "slipway.name" .) .Release.Name }}
{{- .Release.Name | trunc 40 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "slipway.name" .) | trunc 40 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "slipway.selector" -}}
app.kubernetes.io/name: {{ include "slipway.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "slipway.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{ include "slipway.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "slipway.serviceAccount" -}}
{{- .Values.serviceAccount.name | default (include "slipway.fullname" .) }}
{{- end }}

{{/* Policies are cluster-wide: releases that are each confined to their namespaces need names of their own. */}}
{{- define "slipway.policyName" -}}
{{- include "slipway.fullname" . }}{{ if .Values.watch.namespaces }}-{{ .Release.Namespace }}{{ end }}
{{- end }}

{{- define "slipway.runnerImage" -}}
{{- printf "%s:%s" .Values.runner.image.repository (.Values.runner.image.tag | default .Chart.AppVersion) }}
{{- end }}

{{- define "slipway.operatorImage" -}}
{{- printf "%s:%s" .Values.image.repository (.Values.image.tag | default .Chart.AppVersion) }}
{{- end }}

{{/* Where pods fetch from. */}}
{{- define "slipway.storeUrl" -}}
{{- if .Values.store.externalUrl }}
{{- .Values.store.externalUrl | trimSuffix "/" }}
{{- else if .Values.store.enabled }}
{{- printf "http://%s-store.%s.svc:5000" (include "slipway.fullname" .) .Release.Namespace }}
{{- else }}
{{- fail "there is no artifact store: set store.enabled to true, or store.externalUrl to the URL of yours" }}
{{- end }}
{{- end }}

{{/* Where imports push to. */}}
{{- define "slipway.storePushUrl" -}}
{{- if .Values.store.externalUrl }}
{{- .Values.store.externalPushUrl | default .Values.store.externalUrl | trimSuffix "/" }}
{{- else }}
{{- printf "http://%s-store.%s.svc:5001" (include "slipway.fullname" .) .Release.Namespace }}
{{- end }}
{{- end }}

{{/* The Secret with the password for that; empty: a store of somebody's own that asks for none. */}}
{{- define "slipway.pushSecret" -}}
{{- if .Values.store.pushSecret }}
{{- .Values.store.pushSecret }}
{{- else if not .Values.store.externalUrl }}
{{- printf "%s-store-push" (include "slipway.fullname" .) }}
{{- end }}
{{- end }}

{{/* Where registries reach the receiver of webhooks. */}}
{{- define "slipway.webhookUrl" -}}
{{- if .Values.webhooks.url }}
{{- .Values.webhooks.url | trimSuffix "/" }}
{{- else if .Values.webhooks.ingress.enabled }}
{{- printf "%s://%s" (ternary "https" "http" (not (empty .Values.webhooks.ingress.tlsSecret))) .Values.webhooks.ingress.host }}
{{- else }}
{{- printf "http://%s-webhooks.%s.svc:%d" (include "slipway.fullname" .) .Release.Namespace (int .Values.webhooks.port) }}
{{- end }}
{{- end }}

{{/* The namespaces whose registry credentials may be read, as a JSON list. */}}
{{- define "slipway.registryNamespaces" -}}
{{- .Values.registries.namespaces | default (list .Release.Namespace) | toJson }}
{{- end }}

{{/* The audience of the token for registries. The API server's own are usually called so; the operator compares, too. */}}
{{- define "slipway.tokenAudience" -}}
{{- with .Values.registries.tokenAudience }}
{{- if regexMatch "^(https?://)?kubernetes(\\.default(\\.svc(\\..*)?)?)?(:[0-9]+)?/?$" . }}
{{- fail (printf "registries.tokenAudience is %q, which the API server takes for itself: name an audience that only the registry's proxy takes" .) }}
{{- end }}
{{- quote . }}
{{- end }}
{{- end }}

{{/* A container's part of Pod Security `restricted`, and a read-only root file system. */}}
{{- define "slipway.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{/* A pod's part of Pod Security `restricted`. */}}
{{- define "slipway.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end }}
