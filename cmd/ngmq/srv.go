package main

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"

	"github.com/ngmq/ngmq/mqtt/client"
)

// lookupSRV is net.Resolver.LookupSRV.
type lookupSRV func(ctx context.Context, service, proto, name string) (string, []*net.SRV, error)

// findServers puts the servers of the domain -h into o, in the order of RFC 2782: those of
// _mqtt._tcp, or with TLS of _secure-mqtt._tcp.
//
// A server whose name is not below the domain has to have a certificate of the domain: DNS
// alone does not prove that it is the right one (RFC 9525 section 6.1).
func (f *connection) findServers(ctx context.Context, o *client.Options, lookup lookupSRV) error {
	service, scheme := "mqtt", "mqtt"
	if encrypted(f.hostURL()) {
		service, scheme = "secure-mqtt", "mqtts"
	}
	_, records, err := lookup(ctx, service, "tcp", f.Host)
	if err == nil && len(records) == 0 {
		err = fmt.Errorf("there is none")
	}
	if err != nil {
		return &failed{exitNoServer, fmt.Errorf("-S: no SRV record _%s._tcp.%s: %w\n  without -S, -h is the name of the server itself", service, f.Host, err)}
	}
	o.Servers = nil
	for _, r := range records {
		host := strings.TrimSuffix(r.Target, ".")
		if !within(host, f.Host) && o.TLS.ServerName == "" {
			o.TLS.ServerName = f.Host
		}
		server := url.URL{Scheme: scheme, Host: net.JoinHostPort(host, strconv.Itoa(int(r.Port)))}
		o.Servers = append(o.Servers, server.String())
	}
	return nil
}

// within says whether a host is a domain or below it.
func within(host, domain string) bool {
	host, domain = strings.ToLower(host), strings.ToLower(strings.TrimSuffix(domain, "."))
	return host == domain || strings.HasSuffix(host, "."+domain)
}
