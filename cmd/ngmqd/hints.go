package main

import (
	"cmp"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/ngmq/ngmq/server"
)

// forPeople reports whether somebody is likely to read what is printed to w: it is a
// terminal, or make runs this program (make run).
func forPeople(w io.Writer) bool {
	if underMake() {
		return true
	}
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

func underMake() bool { return os.Getenv("MAKELEVEL") != "" }

// flagsUnderMake says how make run takes the flags that an error asks for.
func flagsUnderMake() string {
	if !underMake() {
		return ""
	}
	return "\nmake run takes flags in ARGS: make run ARGS='--tcp 127.0.0.1:1884'"
}

// printHints says where the server listens and how to try it, a line to paste for
// each transport.
func printHints(w io.Writer, srv *server.Server) {
	addrs := srv.Addrs()
	var b strings.Builder
	b.WriteString("\nngmqd is ready. To try it, paste one of these lines into another terminal:\n")
	for _, a := range addrs.QUIC {
		fmt.Fprintf(&b, "\n  QUIC on %s\n    %s\n", a, tryURL(fmt.Sprintf("quic://%s:%d", host(a), a.Port()), srv.CAFile()))
	}
	for _, a := range addrs.TCP {
		fmt.Fprintf(&b, "\n  TCP on %s\n    %s\n", a, tryMosquitto(a, ""))
	}
	for _, a := range addrs.TLS {
		fmt.Fprintf(&b, "\n  TLS on %s\n    %s\n", a, tryMosquitto(a, cmp.Or(trust(srv.CAFile()), " --tls-use-os-certs")))
	}
	for _, a := range addrs.WS {
		fmt.Fprintf(&b, "\n  WebSocket on %s\n    %s\n", a, tryURL(fmt.Sprintf("ws://%s:%d/mqtt", host(a), a.Port()), ""))
	}
	for _, a := range addrs.WSS {
		fmt.Fprintf(&b, "\n  secure WebSocket on %s\n    %s\n", a, tryURL(fmt.Sprintf("wss://%s:%d/mqtt", host(a), a.Port()), srv.CAFile()))
	}
	for _, path := range addrs.Unix {
		fmt.Fprintf(&b, "\n  Unix socket %s\n    %s\n", path, tryURL("unix://"+whole(path), ""))
	}
	if _, err := exec.LookPath("mosquitto_sub"); err != nil && len(addrs.TCP)+len(addrs.TLS) > 0 {
		b.WriteString("\nmosquitto_pub and mosquitto_sub are not installed here (package mosquitto-clients).\n")
	}
	b.WriteString("\nCtrl-C ends the server.\n\n")
	io.WriteString(w, b.String())
}

// tryURL subscribes and publishes with ngmq.
func tryURL(url, ca string) string {
	to := "--url " + shellWord(url) + trust(ca)
	return fmt.Sprintf(`(sleep 1; %[1]s pub %[2]s -t greeting -m hello) & %[1]s sub %[2]s -t greeting -C 1`, sibling("ngmq"), to)
}

// tryMosquitto does the same with the clients of mosquitto.
func tryMosquitto(a netip.AddrPort, options string) string {
	to := fmt.Sprintf("-h %s -p %d%s", strings.Trim(host(a), "[]"), a.Port(), options)
	return fmt.Sprintf(`(sleep 1; mosquitto_pub %[1]s -t greeting -m hello) & mosquitto_sub %[1]s -t greeting -C 1`, to)
}

func trust(ca string) string {
	if ca == "" {
		return ""
	}
	return " --cafile " + shellWord(whole(ca))
}

// host is where a client on this machine finds a.
func host(a netip.AddrPort) string {
	switch ip := a.Addr(); {
	case ip.IsUnspecified():
		return "localhost"
	case ip.Is6():
		return "[" + ip.String() + "]"
	default:
		return ip.String()
	}
}

// sibling is the command that stands beside this one: by its name alone when this
// one was found through PATH.
func sibling(name string) string {
	dir, _ := filepath.Split(os.Args[0])
	if dir == "" {
		return name
	}
	return shellWord(whole(dir + name))
}

// whole is the path from the root, for another terminal may be in another folder.
func whole(path string) string {
	if abs, err := filepath.Abs(path); err == nil {
		return abs
	}
	return path
}

var plainWord = regexp.MustCompile(`^[\w./:@%+=,-]+$`)

// shellWord is s as a shell reads it: quoted when it must be.
func shellWord(s string) string {
	if plainWord.MatchString(s) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
