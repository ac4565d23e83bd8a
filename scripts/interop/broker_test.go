package interop

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// broker is the server under test, started by TestMain.
var broker *brokerProcess

// limits of the broker's life, generous for a loaded machine with two cores.
const (
	startLimit = time.Minute
	stopLimit  = 20 * time.Second // the tests of ngmqd hold it to 5 s
)

// brokerProcess is a running bin/ngmqd.
type brokerProcess struct {
	cmd     *exec.Cmd
	dir     string // data dir
	logFile string
	exited  chan error

	quic, tcp, tls, ws, wss string // addresses it listens on
	ca                      string // file of the development CA
}

func startBroker(args ...string) (*brokerProcess, error) {
	bin, err := ourBinary("NGMQD", "ngmqd")
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "ngmq-interop-")
	if err != nil {
		return nil, err
	}
	b := &brokerProcess{dir: dir, logFile: filepath.Join(dir, "ngmqd.log"), exited: make(chan error, 1)}
	b.ca = filepath.Join(dir, "dev-ca.crt")
	b.cmd = exec.Command(bin, append([]string{
		"--quic", "127.0.0.1:0", "--tcp", "127.0.0.1:0", "--tls", "127.0.0.1:0", "--ws", "127.0.0.1:0", "--wss", "127.0.0.1:0",
		"--data-dir", dir, "--log-format", "json", "--log-level", "info",
	}, args...)...)
	return b, b.start()
}

// start runs the process, copies its log to a file and waits for the ready line.
func (b *brokerProcess) start() error {
	out, in, err := os.Pipe()
	if err != nil {
		return err
	}
	b.cmd.Stderr = in // stdout has hints for people when make runs this
	if err := b.cmd.Start(); err != nil {
		return err
	}
	in.Close()
	ready := make(chan error, 1)
	go b.readLog(out, ready)
	select {
	case err = <-ready:
	case <-time.After(startLimit):
		err = fmt.Errorf("no ready line within %s", startLimit)
	}
	if err != nil {
		b.cmd.Process.Kill()
		return fmt.Errorf("%s: %w\n%s", b.cmd.Path, err, b.tail())
	}
	return nil
}

func (b *brokerProcess) readLog(out io.Reader, ready chan<- error) {
	file, err := os.Create(b.logFile)
	if err != nil {
		ready <- err
		return
	}
	defer file.Close()
	lines := bufio.NewReader(io.TeeReader(out, file))
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			break
		}
		if b.parseReady(line) {
			ready <- nil
		}
	}
	err = b.cmd.Wait()
	ready <- fmt.Errorf("it ended before it was ready: %w", errors.Join(err, io.ErrUnexpectedEOF))
	b.exited <- err
}

// parseReady takes the addresses from the log line that says ready.
func (b *brokerProcess) parseReady(line []byte) bool {
	var entry struct {
		Msg                     string
		Quic, TCP, TLS, WS, WSS string
	}
	if json.Unmarshal(line, &entry) != nil || !strings.Contains(entry.Msg, "ready") {
		return false
	}
	b.quic, b.tcp, b.tls, b.ws, b.wss = entry.Quic, entry.TCP, entry.TLS, entry.WS, entry.WSS
	return true
}

// stop ends the broker as an operator does and wants exit status 0.
func (b *brokerProcess) stop() error {
	if err := b.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case err := <-b.exited:
		return err
	case <-time.After(stopLimit):
		b.cmd.Process.Kill()
		return fmt.Errorf("still running %s after SIGTERM", stopLimit)
	}
}

// remove ends the broker, if it still runs, and removes what it has kept.
func (b *brokerProcess) remove() {
	b.cmd.Process.Kill()
	os.RemoveAll(b.dir)
}

// complaints are the lines of the log that a broker in good health does not write,
// whatever its clients do: errors, and anything that is not a log line (a panic).
func (b *brokerProcess) complaints() string {
	text, err := os.ReadFile(b.logFile)
	if err != nil {
		return err.Error()
	}
	var bad strings.Builder
	for line := range bytes.Lines(text) {
		var entry struct{ Level string }
		if json.Unmarshal(line, &entry) != nil || entry.Level == "ERROR" {
			bad.Write(line)
		}
	}
	return bad.String()
}

// tail is the end of the broker's log.
func (b *brokerProcess) tail() string {
	text, err := os.ReadFile(b.logFile)
	if err != nil {
		return err.Error()
	}
	lines := bytes.Split(text, []byte("\n"))
	if len(lines) > 30 {
		lines = lines[len(lines)-30:]
	}
	return string(bytes.Join(lines, []byte("\n")))
}

// tlsConfig trusts the broker's development CA.
func (b *brokerProcess) tlsConfig(alpn ...string) (*tls.Config, error) {
	pem, err := os.ReadFile(b.ca)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no certificate", b.ca)
	}
	return &tls.Config{RootCAs: pool, ServerName: "localhost", NextProtos: alpn, MinVersion: tls.VersionTLS13}, nil
}

// ourBinary finds a binary of this repository: the environment variable, else ../../bin.
func ourBinary(env, name string) (string, error) {
	path := os.Getenv(env)
	if path == "" {
		path = filepath.Join("..", "..", "bin", name)
	}
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("%w: run `make build` first, or name the binary with %s", err, env)
	}
	return filepath.Abs(path)
}
