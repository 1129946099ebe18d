{{- define "eider.labels" -}}
app.kubernetes.io/name: eider
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}
