// Package helm_test checks deploy/helm with Helm's own code. It is a module of
// its own, so that Helm's many dependencies are nobody else's.
package helm_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	"helm.sh/helm/v3/pkg/lint"
	"helm.sh/helm/v3/pkg/lint/support"
	"sigs.k8s.io/yaml"
)

const chart = "../../deploy/helm/eider"

func TestLint(t *testing.T) {
	for _, m := range lint.All(chart, nil, "default", true).Messages {
		if m.Severity >= support.WarningSev {
			t.Errorf("%v", m)
		}
	}
}

// render returns the objects that the chart makes, by kind.
func render(t *testing.T, values map[string]any) map[string]string {
	t.Helper()
	c, err := loader.Load(chart)
	if err != nil {
		t.Fatal(err)
	}
	all, err := chartutil.ToRenderValues(c, values, chartutil.ReleaseOptions{Name: "mail", Namespace: "default"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	files, err := engine.Render(c, all)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, text := range files {
		for doc := range strings.SplitSeq(text, "\n---\n") {
			var o struct{ Kind string }
			if err := yaml.UnmarshalStrict([]byte(doc), &map[string]any{}); err != nil {
				t.Fatalf("%v in\n%s", err, doc)
			}
			if err := yaml.Unmarshal([]byte(doc), &o); err == nil && o.Kind != "" {
				out[o.Kind] = doc
			}
		}
	}
	return out
}

func TestTemplate(t *testing.T) {
	settings, err := os.ReadFile("../../docs/settings.md")
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		values map[string]any
		want   []string
		not    []string
	}{
		"as it is": {nil, []string{"EIDER_ACME, value: \"on\"", "secretRef: {name: eider}", "port: 443", "maxUnavailable: 1"},
			[]string{"EIDER_TLS_CERT", "port: 25,"}},
		"own certificate, MX, one setting": {map[string]any{"tls": map[string]any{"existingSecret": "cert"},
			"service": map[string]any{"mx": true}, "env": map[string]any{"EIDER_RETENTION": "1d"}},
			[]string{"EIDER_TLS_CERT", "secretName: cert", "port: 25,", "EIDER_RETENTION"}, []string{"EIDER_ACME"}},
	} {
		objects := render(t, c.values)
		for _, kind := range []string{"Deployment", "Service", "PodDisruptionBudget"} {
			if objects[kind] == "" {
				t.Errorf("%s: no %s", name, kind)
			}
		}
		text := objects["Deployment"] + objects["Service"] + objects["PodDisruptionBudget"]
		for _, w := range c.want {
			if !strings.Contains(text, w) {
				t.Errorf("%s: no %q in\n%s", name, w, text)
			}
		}
		for _, n := range c.not {
			if strings.Contains(text, n) {
				t.Errorf("%s: %q is there", name, n)
			}
		}
		for _, v := range regexp.MustCompile(`EIDER_[A-Z0-9_]+`).FindAllString(text, -1) {
			if !strings.Contains(string(settings), "`"+v+"`") {
				t.Errorf("%s: there is no setting %s", name, v)
			}
		}
	}
}
