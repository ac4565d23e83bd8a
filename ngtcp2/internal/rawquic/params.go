package rawquic

import "slices"

// Transport parameter ids (RFC 9000 section 18.2, RFC 9221).
const (
	ParamOriginalDCID       = 0x00
	ParamMaxIdleTimeout     = 0x01
	ParamResetToken         = 0x02
	ParamMaxUDPPayload      = 0x03
	ParamMaxData            = 0x04
	ParamStreamDataLocal    = 0x05
	ParamStreamDataRemote   = 0x06
	ParamStreamDataUni      = 0x07
	ParamMaxStreamsBidi     = 0x08
	ParamMaxStreamsUni      = 0x09
	ParamAckDelayExponent   = 0x0a
	ParamMaxAckDelay        = 0x0b
	ParamDisableMigration   = 0x0c
	ParamPreferredAddress   = 0x0d
	ParamActiveCIDLimit     = 0x0e
	ParamInitialSCID        = 0x0f
	ParamRetrySCID          = 0x10
	ParamMaxDatagramFrame   = 0x20
	ParamVersionInformation = 0x11
)

// Param is one transport parameter.
type Param struct {
	ID    uint64
	Value []byte
}

// Params is an ordered list of them.
type Params []Param

// Number is a parameter whose value is an integer.
func Number(id, v uint64) Param { return Param{id, Varint(v)} }

// With is p with n in the place of an earlier one of its id, or at the end.
func (p Params) With(n Param) Params {
	p = slices.Clone(p)
	for i := range p {
		if p[i].ID == n.ID {
			p[i] = n
			return p
		}
	}
	return append(p, n)
}

// Without is p without id.
func (p Params) Without(id uint64) Params {
	return slices.DeleteFunc(slices.Clone(p), func(x Param) bool { return x.ID == id })
}

// Find is the value of id.
func (p Params) Find(id uint64) ([]byte, bool) {
	for _, x := range p {
		if x.ID == id {
			return x.Value, true
		}
	}
	return nil, false
}

// Encode is p as in the quic_transport_parameters extension.
func (p Params) Encode() []byte {
	var b []byte
	for _, x := range p {
		b = append(b, Bytes(x.ID, len(x.Value), x.Value)...)
	}
	return b
}

// parseParams reads the other side's parameters.
func parseParams(b []byte) (p Params, ok bool) {
	r := &reader{b: b}
	for len(r.b) > 0 && !r.bad {
		p = append(p, Param{r.varint(), r.block()})
	}
	return p, !r.bad
}

// honest are parameters without fault.
func (p *Peer) honest() Params {
	const window = 1 << 20
	params := Params{
		Number(ParamMaxIdleTimeout, 0),
		Number(ParamMaxData, window), Number(ParamStreamDataLocal, window),
		Number(ParamStreamDataRemote, window), Number(ParamStreamDataUni, window),
		Number(ParamMaxStreamsBidi, 16), Number(ParamMaxStreamsUni, 16),
		Number(ParamActiveCIDLimit, 8),
		{ParamInitialSCID, p.SCID},
	}
	if p.client {
		return params
	}
	params = append(params, Param{ParamOriginalDCID, p.ODCID})
	if p.retried {
		params = append(params, Param{ParamRetrySCID, p.RetrySCID})
	}
	return params
}
