package main

import (
	"fmt"
	"net"
	"strings"

	"github.com/ngmq/ngmq/crypto/devcert"
)

// gencertCommand makes certificates for test set-ups.
type gencertCommand struct {
	Hosts   []string `arg:"" optional:"" name:"host" help:"Names and addresses of the server, beside localhost and the name of this machine."`
	Dir     string   `short:"o" name:"out" type:"path" default:"." placeholder:"DIR" help:"Directory for the files. (${default})"`
	Clients []string `name:"client" sep:"none" placeholder:"NAME" help:"Make a client certificate for NAME too. May be repeated."`
}

// Run makes what is missing or about to expire, and says how to use it.
func (g *gencertCommand) Run(c *console) error {
	server, err := devcert.Generate(g.Dir, g.Hosts...)
	if err != nil {
		return err
	}
	report := func(what string, made bool, files ...any) {
		state := "kept"
		if made {
			state = "made"
		}
		fmt.Fprintf(c.stdout, "%-7s %s  %s", what, state, files[0])
		for _, file := range files[1:] {
			fmt.Fprintf(c.stdout, "  %s", file)
		}
		fmt.Fprintln(c.stdout)
	}
	report("ca", server.CACreated, server.CAFile)
	report("server", server.Created, server.CertFile, server.KeyFile)
	var last devcert.Cert
	for _, name := range g.Clients {
		if last, err = devcert.GenerateClient(g.Dir, name); err != nil {
			return err
		}
		report("client", last.Created, last.CertFile, last.KeyFile)
	}
	fmt.Fprintf(c.stdout, "\nserver certificate, SHA-256: %s\nvalid until %s\n\n", server.Fingerprint, server.NotAfter.UTC().Format("2006-01-02"))
	fmt.Fprintf(c.stdout, "server:  ngmqd --cert %s --key %s\n", server.CertFile, server.KeyFile)
	host := "localhost"
	if len(g.Hosts) > 0 {
		host = strings.TrimSuffix(net.JoinHostPort(g.Hosts[0], ""), ":") // IPv6 in brackets, and no port
	}
	fmt.Fprintf(c.stdout, "clients: ngmq sub --url quic://%s --cafile %s -t '#'\n", host, server.CAFile)
	if len(g.Clients) > 0 {
		fmt.Fprintf(c.stdout, "         with --cert %s --key %s; the server trusts them with --client-ca %s\n", last.CertFile, last.KeyFile, server.CAFile)
	}
	c.warnf("these certificates are for tests: the CA's key lies beside them")
	return nil
}
