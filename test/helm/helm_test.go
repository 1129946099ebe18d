// Package helm_test checks deploy/helm with Helm's own code. It is a module of
// its own, so that Helm's many dependencies are nobody else's.
package helm_test

import (
	"fmt"
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

// expand fills the chart's templates.
func expand(values map[string]any) (map[string]string, error) {
	c, err := loader.Load(chart)
	if err != nil {
		return nil, err
	}
	all, err := chartutil.ToRenderValues(c, values, chartutil.ReleaseOptions{Name: "mail", Namespace: "default"}, nil)
	if err != nil {
		return nil, err
	}
	return engine.Render(c, all)
}

// render returns the objects that the chart makes, by kind.
func render(t *testing.T, values map[string]any) map[string]string {
	t.Helper()
	files, err := expand(values)
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
		"as it is": {map[string]any{}, []string{"EIDER_PUBLIC_HOST, value: \"mail.test\"", "EIDER_ACME, value: \"on\"", "secretRef: {name: eider}", "port: 443", "maxUnavailable: 1"},
			[]string{"EIDER_TLS_CERT", "port: 25,"}},
		"own certificate, MX, one setting": {map[string]any{"tls": map[string]any{"existingSecret": "cert"},
			"service": map[string]any{"mx": true}, "env": map[string]any{"EIDER_RETENTION": "1d"}},
			[]string{"EIDER_TLS_CERT", "secretName: cert", "port: 25,", "EIDER_RETENTION"}, []string{"EIDER_ACME"}},
	} {
		c.values["publicHost"] = "mail.test"
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

// TestNoHost: whoever names no host is told so, instead of serving an example's.
func TestNoHost(t *testing.T) {
	if _, err := expand(nil); err == nil || !strings.Contains(err.Error(), "publicHost: the name that is served") {
		t.Errorf("%v", err)
	}
}

// TestProbes: the kubelet asks the admin listener, which is open on every
// interface, and on the port that the pod names so: the others may stand behind
// a proxy, and take only connections with its header.
func TestProbes(t *testing.T) {
	text := render(t, map[string]any{"publicHost": "mail.test", "env": map[string]any{"EIDER_PROXY": "http,https,smtp",
		"EIDER_PROXY_FROM": "10.0.0.0/8"}})["Deployment"]
	var d struct {
		Spec struct {
			Template struct {
				Spec struct {
					Containers []struct {
						Env   []struct{ Name, Value string }
						Ports []struct {
							Name          string
							ContainerPort int
						}
						LivenessProbe, ReadinessProbe struct {
							HTTPGet struct{ Path, Port string } `json:"httpGet"`
						}
					}
				}
			}
		}
	}
	if err := yaml.Unmarshal([]byte(text), &d); err != nil || len(d.Spec.Template.Spec.Containers) != 1 {
		t.Fatalf("%v in\n%s", err, text)
	}
	c := d.Spec.Template.Spec.Containers[0]
	if c.LivenessProbe.HTTPGet.Port != "admin" || c.ReadinessProbe.HTTPGet.Port != "admin" ||
		c.LivenessProbe.HTTPGet.Path != "/healthz" || c.ReadinessProbe.HTTPGet.Path != "/readyz" {
		t.Errorf("it asks %+v and %+v", c.LivenessProbe, c.ReadinessProbe)
	}
	addr, port := "", 0
	for _, e := range c.Env {
		if e.Name == "EIDER_ADMIN" {
			addr = e.Value
		}
	}
	for _, p := range c.Ports {
		if p.Name == "admin" {
			port = p.ContainerPort
		}
	}
	if addr != fmt.Sprintf(":%d", port) {
		t.Errorf("it listens on %q, and the pod's port is %d", addr, port)
	}
}
