package strangers_test

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	crand "crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/eidermail/eider/test/harness"
)

// flooderEnv makes this program a flooder of the target that it holds, or of a
// sink of its own where that is empty, until its standard input ends.
const flooderEnv = "EIDER_TEST_FLOODER"

func TestMain(m *testing.M) {
	text, ok := os.LookupEnv(flooderEnv)
	if !ok {
		os.Exit(m.Run())
	}
	f := &flood{}
	err := json.Unmarshal([]byte(text), &f.target)
	if err == nil && f.HTTP == "" {
		f.target, err = sink()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	f.run(ctx, perSecond)
	for i := range attacks {
		c := &f.counts[i]
		fmt.Printf("%s: %d done, %d refused, %d failed. ", attacks[i], c.done.Load(), c.refused.Load(), c.failed.Load())
	}
}

// flooded is pieces while another process floods a target, or a sink.
func (u *users) flooded(t *testing.T, d time.Duration, to target) (send, read time.Duration, counts string) {
	t.Helper()
	b, err := json.Marshal(to)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), d+2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "nice", "-n", "10", os.Args[0])
	cmd.Env = append(os.Environ(), flooderEnv+"="+string(b))
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	cmd.Stdout = &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	send, read = u.pieces(t, d)
	in.Close()
	if err := cmd.Wait(); err != nil {
		t.Errorf("the flooder: %v", err)
	}
	return send, read, out.String()
}

// sink listens as the flooded server does, and says no to everything at once.
func sink() (target, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), crand.Reader)
	if err != nil {
		return target{}, err
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"sink"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(crand.Reader, c, c, key.Public(), key)
	if err != nil {
		return target{}, err
	}
	conf := &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	var l [3]net.Listener
	for i := range l {
		if l[i], err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			return target{}, err
		}
	}
	go func() {
		_ = http.Serve(l[0], http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, `{"status":"error","error":"no"}`)
		}))
	}()
	go refuse(l[1], "450 4.7.1 no\r\n")
	go refuse(tls.NewListener(l[2], conf), "535 5.7.8 no\r\n")
	return target{l[0].Addr().String(), l[1].Addr().String(), l[2].Addr().String(),
		[]harness.Account{{User: "a@sink", Pass: "p"}}}, nil
}

// refuse greets, and answers each line but EHLO in one way.
func refuse(l net.Listener, no string) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			_ = c.SetDeadline(time.Now().Add(talkTime))
			_, _ = io.WriteString(c, "220 sink\r\n")
			for r := bufio.NewScanner(c); r.Scan(); {
				switch {
				case strings.HasPrefix(r.Text(), "EHLO"):
					_, _ = io.WriteString(c, "250 sink\r\n")
				case r.Text() == "QUIT":
					return
				default:
					_, _ = io.WriteString(c, no)
				}
			}
		}()
	}
}
