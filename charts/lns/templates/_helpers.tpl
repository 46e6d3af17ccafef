{{- /* Names. One release is one namespace, so the release's name is enough. */ -}}
{{- define "lns.operator" -}}{{ .Release.Name }}-operator{{- end }}
{{- define "lns.redis" -}}{{ .Release.Name }}-redis{{- end }}

{{- /* Of what is not in a namespace, the name says which release it belongs to. */ -}}
{{- define "lns.global" -}}kubelns:{{ .Release.Namespace }}:{{ .Release.Name }}{{- end }}

{{- define "lns.serviceAccount" -}}
{{- .Values.serviceAccount.name | default (include "lns.operator" .) }}
{{- end }}

{{- /* With a digest, that is what is pulled: a tag beside it is for whoever reads the name. */ -}}
{{- define "lns.image" -}}
{{- with .Values.image -}}
{{- if not .digest }}{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}
{{- else }}{{ .repository }}{{ with .tag }}:{{ . }}{{ end }}@{{ .digest }}
{{- end }}
{{- end }}
{{- end }}

{{- /* By what an object of a component is found. Takes (list CONTEXT NAME). */ -}}
{{- define "lns.selector" -}}
app.kubernetes.io/name: {{ index . 1 }}
app.kubernetes.io/instance: {{ (index . 0).Release.Name }}
{{- end }}

{{- /* All labels of an object of a component. Takes (list CONTEXT NAME). */ -}}
{{- define "lns.labels" -}}
{{- with index . 0 -}}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: kubelns
{{- end }}
{{ include "lns.selector" . }}
{{- end }}

{{- /* Requests and limits, each quantity a string as the API has them: in values, 1 and 0.5 are numbers. */ -}}
{{- define "lns.resources" -}}
{{- $all := dict }}
{{- range $kind, $quantities := . }}
{{- $strings := dict }}
{{- range $name, $quantity := $quantities }}{{ $_ := set $strings $name (toString $quantity) }}{{ end }}
{{- $_ := set $all $kind $strings }}
{{- end }}
{{- toJson $all }}
{{- end }}

{{- /* What the operator reads with --dataplane. */ -}}
{{- define "lns.dataplane" -}}
image: {{ include "lns.image" . | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
imagePullSecrets: {{ toJson (.Values.imagePullSecrets | default list) }}
{{- with .Values.dataplane }}
priorityClassName: {{ .priorityClassName }}
security: {{ .security }}
tolerations: {{ toJson (.tolerations | default list) }}
resources: {{ include "lns.resources" .resources }}
terminationGracePeriodSeconds: {{ .terminationGracePeriodSeconds }}
podLabels: {{ toJson (.podLabels | default dict) }}
podAnnotations: {{ toJson (.podAnnotations | default dict) }}
logFormat: {{ .logFormat }}
{{- end }}
{{- end }}
