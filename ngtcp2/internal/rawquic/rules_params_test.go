package rawquic_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/ngtcp2"
	"github.com/ngmq/ngmq/ngtcp2/internal/rawquic"
)

// paramRule is a rule of RFC 9000 sections 7.3, 7.4 and 18.
type paramRule struct {
	name string
	code uint64 // silent: the handshake completes
	role int
	edit func(rawquic.Params) rawquic.Params
	raw  func([]byte) []byte
	conf rawquic.Config // rest of the configuration
}

func set(p ...rawquic.Param) func(rawquic.Params) rawquic.Params {
	return func(all rawquic.Params) rawquic.Params {
		for _, x := range p {
			all = all.With(x)
		}
		return all
	}
}

func drop(id uint64) func(rawquic.Params) rawquic.Params {
	return func(all rawquic.Params) rawquic.Params { return all.Without(id) }
}

func number(id, v uint64) func(rawquic.Params) rawquic.Params { return set(rawquic.Number(id, v)) }

func value(id uint64, v string) func(rawquic.Params) rawquic.Params {
	return set(rawquic.Param{ID: id, Value: []byte(v)})
}

// preferred is a preferred_address with a CID of n bytes.
func preferred(n int) []byte {
	b := append(make([]byte, 24), byte(n))
	b = append(b, make([]byte, n)...)
	return append(b, token...)
}

const paramError = ngtcp2.TransportParameterError

var paramRules = []paramRule{
	{name: "18.2 ack_delay_exponent above 20", code: paramError, edit: number(rawquic.ParamAckDelayExponent, 21)},
	{name: "18.2 ack_delay_exponent 20", code: silent, edit: number(rawquic.ParamAckDelayExponent, 20)},
	{name: "18.2 max_ack_delay 2^14", code: paramError, edit: number(rawquic.ParamMaxAckDelay, 1<<14)},
	{name: "18.2 max_ack_delay 2^14-1", code: silent, edit: number(rawquic.ParamMaxAckDelay, 1<<14-1)},
	{name: "18.2 active_connection_id_limit below 2", code: paramError, edit: number(rawquic.ParamActiveCIDLimit, 1)},
	{name: "18.2 max_udp_payload_size below 1200", code: paramError, edit: number(rawquic.ParamMaxUDPPayload, 1199)},
	{name: "18.2 max_udp_payload_size 1200", code: silent, edit: number(rawquic.ParamMaxUDPPayload, 1200)},
	{name: "4.6 initial_max_streams_bidi above 2^60", code: paramError, edit: number(rawquic.ParamMaxStreamsBidi, 1<<60+1)},
	{name: "4.6 initial_max_streams_uni above 2^60", code: paramError, edit: number(rawquic.ParamMaxStreamsUni, 1<<60+1)},
	{name: "7.4.2 unknown parameters are ignored", code: silent, edit: value(31*7+27, "grease")},
	{name: "7.4 the same parameter twice", code: silent, // a SHOULD that ngtcp2 leaves
		edit: func(p rawquic.Params) rawquic.Params { return append(p, rawquic.Number(rawquic.ParamMaxData, 5000)) }},
	{name: "18 a value that is no integer", code: paramError, edit: value(rawquic.ParamMaxData, "\x01\x01")},
	{name: "18 an empty integer", code: paramError, edit: value(rawquic.ParamMaxData, "")},
	{name: "18 a flag with a value", code: paramError, edit: value(rawquic.ParamDisableMigration, "x")},
	{name: "18 a length beyond the end", code: paramError, raw: func(b []byte) []byte { return append(b, rawquic.Bytes(0x3f, 10, "x")...) }},
	{name: "18 half a parameter", code: paramError, raw: func(b []byte) []byte { return append(b, 0x40) }},
	{name: "7.3 no parameters at all", code: paramError, raw: func([]byte) []byte { return []byte{} }},
	{name: "7.3 initial_source_connection_id is missing", code: paramError, edit: drop(rawquic.ParamInitialSCID)},
	{name: "7.3 initial_source_connection_id is another", code: paramError, edit: value(rawquic.ParamInitialSCID, "aaaaaaaa")},
	{name: "18 a CID of 21 bytes", code: paramError, edit: value(rawquic.ParamInitialSCID, "aaaaaaaaaaaaaaaaaaaaa")},

	{name: "18.2 original_destination_connection_id of a client", code: paramError, role: asServer, edit: value(rawquic.ParamOriginalDCID, "aaaaaaaa")},
	{name: "18.2 stateless_reset_token of a client", code: paramError, role: asServer, edit: value(rawquic.ParamResetToken, "aaaaaaaaaaaaaaaa")},
	{name: "18.2 preferred_address of a client", code: paramError, role: asServer, edit: value(rawquic.ParamPreferredAddress, string(preferred(8)))},
	{name: "18.2 retry_source_connection_id of a client", code: paramError, role: asServer, edit: value(rawquic.ParamRetrySCID, "aaaaaaaa")},

	{name: "7.3 original_destination_connection_id is missing", code: paramError, role: asClient, edit: drop(rawquic.ParamOriginalDCID)},
	{name: "7.3 original_destination_connection_id is another", code: paramError, role: asClient, edit: value(rawquic.ParamOriginalDCID, "aaaaaaaa")},
	{name: "7.3 retry_source_connection_id without Retry", code: paramError, role: asClient, edit: value(rawquic.ParamRetrySCID, "aaaaaaaa")},
	{name: "7.3 retry_source_connection_id is missing after Retry", code: paramError, role: asClient, edit: drop(rawquic.ParamRetrySCID),
		conf: rawquic.Config{RetryToken: []byte("token")}},
	{name: "7.3 retry_source_connection_id is another after Retry", code: paramError, role: asClient, edit: value(rawquic.ParamRetrySCID, "aaaaaaaa"),
		conf: rawquic.Config{RetryToken: []byte("token")}},
	{name: "18.2 stateless_reset_token of 15 bytes", code: paramError, role: asClient, edit: value(rawquic.ParamResetToken, "aaaaaaaaaaaaaaa")},
	{name: "18.2 preferred_address with an empty CID", code: paramError, role: asClient, edit: value(rawquic.ParamPreferredAddress, string(preferred(0)))},
	{name: "18.2 preferred_address with a CID of 21 bytes", code: paramError, role: asClient, edit: value(rawquic.ParamPreferredAddress, string(preferred(21)))},
	{name: "18.2 preferred_address that is cut off", code: paramError, role: asClient, edit: value(rawquic.ParamPreferredAddress, "aaaa")},
	{name: "5.1.1 preferred_address from a server without CIDs", code: paramError, role: asClient, edit: value(rawquic.ParamPreferredAddress, string(preferred(8))),
		conf: rawquic.Config{NoCID: true}},
}

func TestTransportParameterRules(t *testing.T) {
	for _, c := range paramRules {
		if c.role != asClient {
			t.Run(c.name+"/server", func(t *testing.T) { c.run(t, false) })
		}
		if c.role != asServer {
			t.Run(c.name+"/client", func(t *testing.T) { c.run(t, true) })
		}
	}
}

func (c *paramRule) run(t *testing.T, client bool) {
	cfg := c.conf
	cfg.Params, cfg.RawParams = c.edit, c.raw
	x := &exchange{client: client}
	if client {
		x.raw = newClient(t).dial(1, cfg)
	} else {
		x.raw = newServer(t).client(1, cfg)
	}
	x.w.settle()
	if c.code == silent {
		require.NoError(t, x.err)
		require.Nil(t, x.Closed())
		assert.True(t, x.Complete())
		return
	}
	x.judge(c.code)
}
