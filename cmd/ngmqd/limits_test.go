package main

import (
	"io"
	"net"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/mqtt/packet"
	"github.com/ngmq/ngmq/server"
)

// Every flag sets a limit of its own, and every limit of the server has a flag.
func TestLimitFlags(t *testing.T) {
	var f struct {
		Limits   limitFlags    `embed:""`
		Protocol protocolFlags `embed:""`
	}
	parser := kong.Must(&f, flagDefaults, kong.Writers(io.Discard, io.Discard))
	var args []string
	for _, flag := range parser.Model.Flags {
		switch {
		case flag.Name == "queue-policy":
			args = append(args, "--queue-policy=drop-old")
		case flag.Name == "rate-policy":
			args = append(args, "--rate-policy=disconnect")
		case flag.Target.Kind() == reflect.Int64 && flag.Target.Type().Name() == "Duration":
			args = append(args, "--"+flag.Name+"=7s")
		case strings.HasPrefix(flag.Name, "max-"):
			args = append(args, "--"+flag.Name+"=7")
		}
	}
	_, err := parser.Parse(args)
	require.NoError(t, err)
	cfg := server.Config{Limits: f.Limits.limits()}
	require.NoError(t, f.Protocol.apply(&cfg))
	limits := reflect.ValueOf(cfg.Limits)
	for i := range limits.NumField() {
		assert.False(t, limits.Field(i).IsZero(), limits.Type().Field(i).Name)
	}
	assert.Equal(t, server.RateDisconnect, cfg.Limits.RatePolicy)
}

func TestLimitsHold(t *testing.T) {
	p := command(t, []string{"NGMQ_MAX_CONNECTIONS_PER_IP=1"}, append([]string{"--max-packet-size", "5000"}, anyPorts...)...)
	addrs := p.ready(t)
	first, _ := connect(t, addrs["tcp"], packet.V311)
	second, err := net.Dial("tcp", addrs["tcp"])
	require.NoError(t, err)
	defer second.Close()
	second.SetDeadline(time.Now().Add(patience))
	_, err = second.Write((&packet.Connect{ClientID: "second", CleanStart: true}).AppendTo(nil, packet.V311))
	require.NoError(t, err)
	answer := make([]byte, 4)
	_, err = io.ReadFull(second, answer)
	require.NoError(t, err)
	assert.Equal(t, []byte{0x20, 2, 0, 3}, answer)
	_, err = first.Write([]byte{0x30, 0xFF, 0x7F}) // 16,383 bytes to come
	require.NoError(t, err)
	_, err = first.Read(make([]byte, 1))
	assert.ErrorIs(t, err, io.EOF)
}

func TestBadLimits(t *testing.T) {
	for flag, want := range map[string]string{
		"--max-connections=-1": "Limits.MaxConnections", "--max-connect-rate-per-ip=-1": "MaxConnectRatePerIP",
		"--rate-policy=drop": "wait or disconnect", "--max-will-delay=1ms": "MaxWillDelay", "--max-streams=70000": "Limits.MaxStreams",
	} {
		p := command(t, nil, append([]string{flag}, anyPorts...)...)
		assert.Equal(t, 1, p.status(t), flag)
		assert.Contains(t, p.stderr.String(), want)
	}
}
