package obs

import (
	"net/http"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Metrics are a server's figures. Labels come from small fixed sets; none
// names an account, an address or a client.
type Metrics struct {
	reg *prometheus.Registry

	// Connections accepted and open, by listener flag name ("smtp", "imaps").
	Connections     *prometheus.CounterVec
	ConnectionsOpen *prometheus.GaugeVec
	// Requests of HTTP by kind ("api", "page", "user", "wait", "events") and class of status ("2xx").
	Requests        *prometheus.CounterVec
	RequestSeconds  *prometheus.HistogramVec
	AccountsCreated prometheus.Counter
	// AccountsRefused by reason: "limit", "permission", "no space", "invalid", or other.
	AccountsRefused *prometheus.CounterVec
	Waits           prometheus.Gauge
	Events          prometheus.Gauge
	// Store commits and their outcome.
	StoreSeconds *prometheus.HistogramVec
	StoreErrors  *prometheus.CounterVec
	// UnknownCommits could not be learned to have happened or not.
	UnknownCommits prometheus.Counter
	// Messages that were accepted, and their bytes, by door ("submission", "mx", "lmtp").
	Messages     *prometheus.CounterVec
	MessageBytes *prometheus.CounterVec
}

// NewMetrics makes all figures in a registry of their own.
func NewMetrics() *Metrics {
	r := prometheus.NewRegistry()
	seconds := []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60}
	m := &Metrics{
		reg: r,
		Connections: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "eider_connections_total", Help: "Connections accepted."}, []string{"listener"}),
		ConnectionsOpen: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "eider_connections_open", Help: "Connections open now."}, []string{"listener"}),
		Requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "eider_http_requests_total", Help: "HTTP requests answered."}, []string{"kind", "status"}),
		RequestSeconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "eider_http_request_seconds", Help: "Time to answer an HTTP request.",
			Buckets: seconds}, []string{"kind"}),
		AccountsCreated: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "eider_accounts_created_total", Help: "Accounts made by POST /user and the command line."}),
		AccountsRefused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "eider_accounts_refused_total", Help: "Accounts that POST /user did not make."}, []string{"reason"}),
		Waits: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "eider_waits_open", Help: "Requests waiting for a message now."}),
		Events: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "eider_event_streams_open", Help: "Event streams of the API open now."}),
		StoreSeconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "eider_store_seconds", Help: "Time of store calls.", Buckets: seconds}, []string{"call"}),
		StoreErrors: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "eider_store_errors_total", Help: "Store calls that failed."}, []string{"call", "kind"}),
		UnknownCommits: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "eider_store_unknown_commits_total", Help: "Commits whose outcome was not learned."}),
		Messages: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "eider_messages_total", Help: "Messages accepted."}, []string{"door"}),
		MessageBytes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "eider_message_bytes_total", Help: "Bytes of messages accepted."}, []string{"door"}),
	}
	r.MustRegister(m.Connections, m.ConnectionsOpen, m.Requests, m.RequestSeconds, m.AccountsCreated, m.AccountsRefused,
		m.Waits, m.Events, m.StoreSeconds, m.StoreErrors, m.UnknownCommits,
		m.Messages, m.MessageBytes,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// GaugeFunc adds a figure that is read when somebody asks.
func (m *Metrics) GaugeFunc(name, help string, f func() float64) error {
	return m.reg.Register(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, f))
}

// Handler serves the figures in Prometheus' text form.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.reg, promhttp.HandlerOpts{MaxRequestsInFlight: 4})
}

// Totals are the sums of all counters of this server since it started, by name.
func (m *Metrics) Totals() map[string]int64 {
	all, err := m.reg.Gather()
	out := map[string]int64{}
	if err != nil {
		return out
	}
	for _, f := range all {
		name, ours := strings.CutPrefix(f.GetName(), "eider_")
		name, total := strings.CutSuffix(name, "_total")
		if !ours || !total {
			continue
		}
		for _, v := range f.GetMetric() {
			out[name] += int64(v.GetCounter().GetValue())
		}
	}
	return out
}
