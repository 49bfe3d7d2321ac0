{{/* What the operator does in a namespace that it serves: the rules of the ClusterRole, or of each Role.
     Server-side apply needs both `create` and `patch`. */}}
{{- define "slipway.servedRules" -}}
{{ include "slipway.watchRules" . }}
- apiGroups: [slipway.dev]
  resources: [modelversions/status, registeredmodels/status, modelregistries/status]
  verbs: [patch]
{{- if or .Values.implicitModels .Values.discoveredModels }}
# A ModelVersion without a RegisteredModel gets an implicit one; discovery makes those of labelled models.
- apiGroups: [slipway.dev]
  resources: [registeredmodels]
  verbs: [create, patch]
{{- end }}
# A version that a label in the registry asks for gets a ModelVersion, where a model follows the registry or discovery is on.
- apiGroups: [slipway.dev]
  resources: [modelversions]
  verbs: [create, patch]
# Which version serves, and what led there.
- apiGroups: [slipway.dev]
  resources: [modelledgers]
  verbs: [create, update, patch, delete]
- apiGroups: [apps]
  resources: [deployments, controllerrevisions]
  verbs: [create, patch, delete]
- apiGroups: [apps]
  resources: [deployments/scale]
  verbs: [get, patch, update]
- apiGroups: [""]
  resources: [services]
  verbs: [create, patch, delete]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [create, patch, delete]
# Whether this one opted in, and whether a ModelRegistry's allowedNamespaces selects it.
- apiGroups: [""]
  resources: [namespaces]
  verbs: [get]
{{ include "slipway.jobRules" . }}
{{- end }}

{{/* What the operator watches: where it serves, and, when it is confined to namespaces, in its own too. */}}
{{- define "slipway.watchRules" -}}
- apiGroups: [slipway.dev]
  resources: [modelversions, registeredmodels, modelregistries, modelledgers]
  verbs: [get, list, watch]
- apiGroups: [apps]
  resources: [deployments, controllerrevisions]
  verbs: [get, list, watch]
- apiGroups: [""]
  resources: [services]
  verbs: [get, list, watch]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [get, list, watch]
{{- end }}

{{/* What the operator needs where it runs Jobs: validations beside the model, imports in its own namespace. */}}
{{- define "slipway.jobRules" -}}
- apiGroups: [batch]
  resources: [jobs]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list, watch]
# The judge's report is the pod's log.
- apiGroups: [""]
  resources: [pods/log]
  verbs: [get]
# Its own events; and those of Jobs, where a quota or a policy has refused the pod.
- apiGroups: ["", events.k8s.io]
  resources: [events]
  verbs: [list, create, patch]
{{- end }}

{{/* What people may do who make models. */}}
{{- define "slipway.engineerRules" -}}
- apiGroups: [slipway.dev]
  resources: [modelversions]
  verbs: [get, list, watch, create, update, patch, delete]
- apiGroups: [slipway.dev]
  resources: [registeredmodels, modelregistries, modelledgers]
  verbs: [get, list, watch]
{{- end }}

{{/* What people may do, beside that, who answer for production: the verb, and the models' policies that it guards. */}}
{{- define "slipway.promoterRules" -}}
- apiGroups: [slipway.dev]
  resources: [modelversions]
  verbs: [promote]
- apiGroups: [slipway.dev]
  resources: [registeredmodels]
  verbs: [create, update, patch, delete]
{{- end }}

{{/* What the platform team may do: say which registries there are, and so where credentials are sent. */}}
{{- define "slipway.platformRules" -}}
- apiGroups: [slipway.dev]
  resources: [modelregistries]
  verbs: [get, list, watch, create, update, patch, delete, configure]
{{- end }}

{{/* What somebody may do in an emergency: write what only the operator writes, once it is annotated with the reason. */}}
{{- define "slipway.breakGlassRules" -}}
- apiGroups: [slipway.dev]
  resources: [modelledgers]
  verbs: [get, list, watch, create, update, patch, delete, break-glass]
{{- end }}
