package packet

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// generator makes random packets that are legal in version v.
type generator struct {
	*rand.Rand
	v Version
}

func newGenerator(seed uint64, v Version) generator {
	return generator{rand.New(rand.NewPCG(seed, uint64(v))), v}
}

func (g generator) chance() bool { return g.IntN(2) == 0 }

func (g generator) id() uint16 { return uint16(1 + g.IntN(65535)) }

func (g generator) bytes(most int) []byte {
	b := make([]byte, g.IntN(most+1))
	for i := range b {
		b[i] = byte(g.Uint32())
	}
	return b
}

var alphabet = []rune("abcxyz0189/$ -_\u0001\u007fäß€\uFEFF\uFFFD\uFFFF😀")

func (g generator) text(least int) string {
	r := make([]rune, least+g.IntN(40))
	for i := range r {
		r[i] = alphabet[g.IntN(len(alphabet))]
	}
	return string(r)
}

func (g generator) property(id PropertyID) property {
	switch in := id.info(); {
	case in.kind == kindByte:
		return num(id, uint32(g.IntN(2)))
	case in.kind == kindVarint:
		return num(id, 1+g.Uint32N(1<<(1+g.IntN(28))-1))
	case in.kind == kindUint16 || in.kind == kindUint32:
		return num(id, 1+g.Uint32N(65535))
	case in.kind == kindPair:
		return user(g.text(0), g.text(0))
	case in.kind == kindBinary:
		return text(id, string(g.bytes(30)))
	}
	return text(id, g.text(1))
}

func (g generator) properties(t Type) (p Properties) {
	if g.v != V50 || g.chance() && t != AUTH {
		return nil
	}
	ids := g.Perm(int(maxPropertyID) + 1)
	for _, i := range ids {
		id := PropertyID(i)
		if !id.AllowedIn(t) || g.chance() {
			continue
		}
		p = g.property(id)(p)
		for id.repeatable(t) && g.chance() {
			p = g.property(id)(p)
		}
	}
	return withMethod(t, p)
}

func (g generator) reason(t Type, from Role) ReasonCode {
	for {
		c := ReasonCode(g.IntN(256))
		if t == SUBACK && g.v != V50 && c > 2 && c != UnspecifiedError {
			continue
		}
		if c.AllowedIn(t, from) {
			return c
		}
	}
}

func (g generator) reasons(t Type) []ReasonCode {
	codes := make([]ReasonCode, 1+g.IntN(5))
	for i := range codes {
		codes[i] = g.reason(t, Server)
	}
	return codes
}

func (g generator) ack(t Type) ack {
	a := ack{PacketID: g.id(), Properties: g.properties(t)}
	if g.v == V50 && g.chance() {
		a.ReasonCode = g.reason(t, Either)
	}
	return a
}

func (g generator) packet(t Type) Packet {
	switch t {
	case CONNECT:
		return g.connect()
	case CONNACK:
		return g.connack()
	case PUBLISH:
		return g.publish()
	case PUBACK:
		a := Puback(g.ack(t))
		return &a
	case PUBREC:
		a := Pubrec(g.ack(t))
		return &a
	case PUBREL:
		a := Pubrel(g.ack(t))
		return &a
	case PUBCOMP:
		a := Pubcomp(g.ack(t))
		return &a
	case SUBSCRIBE:
		return g.subscribe()
	case SUBACK:
		return &Suback{PacketID: g.id(), Properties: g.properties(t), ReasonCodes: g.reasons(t)}
	case UNSUBSCRIBE:
		return g.unsubscribe()
	case UNSUBACK:
		p := &Unsuback{PacketID: g.id(), Properties: g.properties(t)}
		if g.v == V50 {
			p.ReasonCodes = g.reasons(t)
		}
		return p
	case PINGREQ:
		return &Pingreq{}
	case PINGRESP:
		return &Pingresp{}
	case DISCONNECT:
		if g.v != V50 {
			return &Disconnect{}
		}
		return &Disconnect{ReasonCode: g.reason(t, Either), Properties: g.properties(t)}
	}
	return &Auth{ReasonCode: g.reason(AUTH, Either), Properties: g.properties(AUTH)}
}

func (g generator) connect() *Connect {
	p := &Connect{
		ProtocolName: g.v.ProtocolName(), Version: g.v, CleanStart: g.chance(), KeepAlive: uint16(g.Uint32()),
		ClientID: g.text(1), Properties: g.properties(CONNECT),
	}
	if g.chance() {
		p.Will = &Will{Topic: g.text(1), Payload: g.bytes(50), QoS: byte(g.IntN(3)), Retain: g.chance(), Properties: g.properties(WillProperties)}
	}
	if g.chance() {
		p.Username = new(g.text(0))
	}
	if g.chance() && (p.Username != nil || g.v == V50) {
		p.Password = g.bytes(20)
	}
	return p
}

func (g generator) connack() *Connack {
	p := &Connack{Properties: g.properties(CONNACK)}
	switch {
	case g.chance():
		p.SessionPresent = g.v != V31 && g.chance()
	case g.v == V50:
		p.ReasonCode = g.reason(CONNACK, Server)
	default:
		p.ReasonCode = ReturnCode(g.IntN(6)).ReasonCode()
	}
	return p
}

func (g generator) publish() *Publish {
	p := &Publish{QoS: byte(g.IntN(3)), Retain: g.chance(), Properties: g.properties(PUBLISH), Payload: g.bytes(300)}
	if p.QoS > 0 {
		p.Dup, p.PacketID = g.chance(), g.id()
	}
	if !p.Properties.Has(TopicAlias) || g.chance() {
		p.Topic = []byte(g.text(1))
	}
	return p
}

func (g generator) subscribe() *Subscribe {
	p := &Subscribe{PacketID: g.id(), Properties: g.properties(SUBSCRIBE)}
	for range 1 + g.IntN(4) {
		s := Subscription{Filter: g.text(0) + "/#", QoS: byte(g.IntN(3))}
		if g.v == V50 {
			s.NoLocal, s.RetainAsPublished, s.RetainHandling = g.chance(), g.chance(), byte(g.IntN(3))
		}
		p.Subscriptions = append(p.Subscriptions, s)
	}
	return p
}

func (g generator) unsubscribe() *Unsubscribe {
	p := &Unsubscribe{PacketID: g.id(), Properties: g.properties(UNSUBSCRIBE)}
	for range 1 + g.IntN(4) {
		p.Filters = append(p.Filters, g.text(1))
	}
	return p
}

// types of the packets that v has.
func types(v Version) (list []Type) {
	for t := CONNECT; t <= AUTH; t++ {
		if t != AUTH || v == V50 {
			list = append(list, t)
		}
	}
	return list
}

// decode(encode(p)) == p for random packets of every type and version.
func TestRoundTrip(t *testing.T) {
	for _, v := range []Version{V31, V311, V50} {
		for _, typ := range types(v) {
			t.Run(v.String()+"/"+typ.String(), func(t *testing.T) {
				for seed := range uint64(200) {
					g := newGenerator(seed, v)
					p := g.packet(typ)
					require.Equal(t, typ, p.Type())
					requireRoundTrip(t, snapshot(p), v, fmt.Sprintf("seed %d", seed))
					require.NoError(t, Validate(p, v))
				}
			})
		}
	}
}

// A random stream in random chunks gives the packets that went in.
func TestRandomChunks(t *testing.T) {
	for _, v := range []Version{V31, V311, V50} {
		for seed := range uint64(50) {
			g := newGenerator(seed, v)
			var stream []byte
			var want []Packet
			all := types(v)
			for range 30 {
				p := g.packet(all[g.IntN(len(all))])
				stream = p.AppendTo(stream, v)
				want = append(want, snapshot(p))
			}
			d := NewDecoder(0)
			d.SetVersion(v)
			var got []Packet
			for len(stream) > 0 {
				n := min(1+g.IntN(1+g.IntN(200)), len(stream))
				d.Feed(stream[:n])
				stream = stream[n:]
				got = append(got, drain(t, d)...)
			}
			require.Equal(t, want, got, "seed %d", seed)
			require.Zero(t, d.Buffered())
		}
	}
}

// Prefixes and bit flips of random packets: no panic, legal codes.
func TestRandomDamage(t *testing.T) {
	for _, v := range []Version{V31, V311, V50} {
		for _, typ := range types(v) {
			g := newGenerator(uint64(typ), v)
			for range 5 {
				b := g.packet(typ).AppendTo(nil, v)
				for i := range b {
					p, rest, err := decodeOne(v, b[:i])
					require.NoError(t, err)
					require.Nil(t, p)
					require.Equal(t, i, rest)
				}
				for range 300 {
					damage(t, g, b)
				}
			}
		}
	}
}

func damage(t *testing.T, g generator, b []byte) {
	b = append([]byte(nil), b...)
	for range 1 + g.IntN(3) {
		b[g.IntN(len(b))] ^= 1 << g.IntN(8)
	}
	p, _, err := decodeOne(g.v, b)
	if err != nil {
		requireLegalError(t, err, "")
		return
	}
	if p != nil {
		requireRoundTrip(t, p, g.v, "")
	}
}
