package ngtcp2

import (
	"math"
	"net/netip"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestDefaults(t *testing.T) {
	s := DefaultSettings()
	assert.Equal(t, 333*time.Millisecond, s.InitialRTT)
	assert.Equal(t, CCCubic, s.CCAlgo)
	assert.Equal(t, CongestionControl(1), CCCubic)
	assert.Equal(t, 1452, s.MaxTxUDPPayloadSize)
	assert.Equal(t, 2, s.AckThresh)
	assert.Zero(t, s.HandshakeTimeout)
	assert.Equal(t, uint64(10000), s.GlitchRatelimBurst)
	assert.Equal(t, uint64(330), s.GlitchRatelimRate)
	assert.NoError(t, s.Validate())

	p := DefaultTransportParams()
	assert.Equal(t, TransportParams{MaxUDPPayloadSize: 65527, ActiveConnectionIDLimit: 2,
		AckDelayExponent: 3, MaxAckDelay: 25 * time.Millisecond}, p)
	assert.NoError(t, p.Validate(false))
	assert.ErrorContains(t, p.Validate(true), "OriginalDCID")
}

// Every field of Settings gets to C: each is set to a value of its own.
func TestSettingsEveryField(t *testing.T) {
	var s Settings
	v := reflect.ValueOf(&s).Elem()
	for i := range v.NumField() {
		switch f := v.Field(i); f.Kind() {
		case reflect.Bool:
			f.SetBool(true)
		case reflect.Int, reflect.Int64:
			f.SetInt(int64(1000 + i))
		case reflect.Uint32, reflect.Uint64:
			f.SetUint(uint64(1000 + i))
		case reflect.Slice:
			f.Set(reflect.MakeSlice(f.Type(), 3, 3))
			for j := range 3 {
				f.Index(j).SetUint(uint64(100 + i + j))
			}
		case reflect.String:
			f.SetString("x")
		default:
			t.Fatalf("field %s of kind %s", v.Type().Field(i).Name, f.Kind())
		}
	}
	got, err := settingsThroughC(s)
	require.NoError(t, err)
	s.Token = nil // passed separately; tested below
	assert.Equal(t, s, got)

	_, err = settingsThroughC(Settings{PreferredVersions: make([]uint32, 17)})
	assert.Error(t, err)
	_, err = settingsThroughC(Settings{PMTUDProbes: make([]uint16, 33)})
	assert.Error(t, err)
}

// Every transport parameter that one side sets is what the other side reads.
func TestTransportParamsRoundTrip(t *testing.T) {
	set := func(p *TransportParams) {
		p.InitialMaxStreamDataBidiLocal = 100001
		p.InitialMaxStreamDataBidiRemote = 100002
		p.InitialMaxStreamDataUni = 100003
		p.InitialMaxData = 100004
		p.InitialMaxStreamsBidi = 11
		p.InitialMaxStreamsUni = 12
		p.MaxIdleTimeout = 13 * time.Second
		p.MaxUDPPayloadSize = 1400
		p.ActiveConnectionIDLimit = 7
		p.AckDelayExponent = 4
		p.MaxAckDelay = 26 * time.Millisecond
		p.MaxDatagramFrameSize = 1234
		p.DisableActiveMigration = true
		p.GreaseQUICBit = true
	}
	preferred := &PreferredAddr{CID: randomCID(testCIDLen), IPv4: netip.MustParseAddrPort("192.0.2.7:1"),
		IPv6: netip.MustParseAddrPort("[2001:db8::7]:2"), StatelessResetToken: StatelessResetToken{9, 8, 7}}
	p := connect(t, options{cparam: set, sparam: func(tp *TransportParams) {
		set(tp)
		tp.PreferredAddr = preferred
		tp.StatelessResetToken, tp.StatelessResetTokenPresent = StatelessResetToken{1, 2, 3}, true
	}})

	var want TransportParams
	set(&want)
	versions := &VersionInfo{ChosenVersion: VersionV1, AvailableVersions: []uint32{VersionV1}}
	local, ok := p.c.conn.LocalTransportParams()
	require.True(t, ok)
	client, ok := p.s.conn.RemoteTransportParams()
	require.True(t, ok)
	assert.Equal(t, local.InitialSCID, client.InitialSCID)
	want.InitialSCID, want.InitialSCIDPresent, want.VersionInfo = client.InitialSCID, true, versions
	assert.Equal(t, want, client)

	server, ok := p.c.conn.RemoteTransportParams()
	require.True(t, ok)
	want.InitialSCID = server.InitialSCID
	want.OriginalDCID, want.OriginalDCIDPresent = server.OriginalDCID, true
	want.PreferredAddr = preferred
	want.StatelessResetToken, want.StatelessResetTokenPresent = StatelessResetToken{1, 2, 3}, true
	assert.Equal(t, want, server)
	assert.Equal(t, p.s.conn.ClientInitialDCID(), server.OriginalDCID)

	// The only field that no local side sets (RetrySCID) is in TestRetry.
	var seen TransportParams
	reflect.ValueOf(&seen).Elem().Set(reflect.ValueOf(server))
	for i := range reflect.TypeOf(seen).NumField() {
		name := reflect.TypeOf(seen).Field(i).Name
		assert.Equal(t, strings.HasPrefix(name, "RetrySCID"), reflect.ValueOf(seen).Field(i).IsZero(), name)
	}
}

func TestRemoteParamsBeforeHandshake(t *testing.T) {
	p := newPair(t, options{})
	_, ok := p.c.conn.RemoteTransportParams()
	assert.False(t, ok)
}

// ngtcp2 would abort the process on these.
func TestValidate(t *testing.T) {
	for name, change := range map[string]func(*Settings){
		"CCAlgo":              func(s *Settings) { s.CCAlgo = 3 },
		"InitialRTT":          func(s *Settings) { s.InitialRTT = 0 },
		"MaxTxUDPPayloadSize": func(s *Settings) { s.MaxTxUDPPayloadSize = 1199 },
		"MaxWindow":           func(s *Settings) { s.MaxWindow = 1 << 62 },
		"MaxStreamWindow":     func(s *Settings) { s.MaxStreamWindow = math.MaxUint64 },
		"InitialTS":           func(s *Settings) { s.InitialTS = NoExpiry },
		"TokenType":           func(s *Settings) { s.TokenType = 3 },
		"AckThresh":           func(s *Settings) { s.AckThresh = -1 },
		"HandshakeTimeout":    func(s *Settings) { s.HandshakeTimeout = -1 },
		"InitialPktNum":       func(s *Settings) { s.InitialPktNum = 1 << 31 },
		"PreferredVersions":   func(s *Settings) { s.PreferredVersions = []uint32{0x1a1a1a1a} },
		"AvailableVersions": func(s *Settings) {
			s.AvailableVersions, s.PreferredVersions = []uint32{VersionV1}, []uint32{VersionV2}
		},
		"PMTUDProbes": func(s *Settings) { s.PMTUDProbes = []uint16{1200} },
	} {
		s := DefaultSettings()
		change(&s)
		assert.ErrorContains(t, s.Validate(), "Settings."+name+":", name)
	}
	for name, change := range map[string]func(*TransportParams){
		"InitialMaxData":                 func(p *TransportParams) { p.InitialMaxData = 1 << 62 },
		"InitialMaxStreamDataBidiLocal":  func(p *TransportParams) { p.InitialMaxStreamDataBidiLocal = 1 << 62 },
		"InitialMaxStreamDataBidiRemote": func(p *TransportParams) { p.InitialMaxStreamDataBidiRemote = 1 << 62 },
		"InitialMaxStreamDataUni":        func(p *TransportParams) { p.InitialMaxStreamDataUni = 1 << 62 },
		"InitialMaxStreamsBidi":          func(p *TransportParams) { p.InitialMaxStreamsBidi = 1<<60 + 1 },
		"InitialMaxStreamsUni":           func(p *TransportParams) { p.InitialMaxStreamsUni = 1<<60 + 1 },
		"MaxIdleTimeout":                 func(p *TransportParams) { p.MaxIdleTimeout = -1 },
		"MaxUDPPayloadSize":              func(p *TransportParams) { p.MaxUDPPayloadSize = 1199 },
		"ActiveConnectionIDLimit":        func(p *TransportParams) { p.ActiveConnectionIDLimit = 9 },
		"AckDelayExponent":               func(p *TransportParams) { p.AckDelayExponent = 21 },
		"MaxAckDelay":                    func(p *TransportParams) { p.MaxAckDelay = 16384 * time.Millisecond },
		"MaxDatagramFrameSize":           func(p *TransportParams) { p.MaxDatagramFrameSize = 1 << 62 },
		"OriginalDCID":                   func(p *TransportParams) { p.OriginalDCIDPresent = true },
		"RetrySCID":                      func(p *TransportParams) { p.RetrySCIDPresent = true },
		"StatelessResetToken":            func(p *TransportParams) { p.StatelessResetTokenPresent = true },
		"PreferredAddr":                  func(p *TransportParams) { p.PreferredAddr = &PreferredAddr{} },
	} {
		p := DefaultTransportParams()
		change(&p)
		assert.ErrorContains(t, p.Validate(false), "TransportParams."+name+":", name)
	}
	p := DefaultTransportParams()
	p.PreferredAddr = &PreferredAddr{IPv4: addrServer}
	assert.ErrorContains(t, p.Validate(true), "PreferredAddr.CID:", "ngtcp2 would abort at the first packet")
}

func TestConnConfigValidate(t *testing.T) {
	err := (&ConnConfig{}).Validate(true)
	for _, text := range []string{"TLS", "Events", "Path", "OriginalDCID"} {
		assert.ErrorContains(t, err, text)
	}
	_, err = NewServerConn(ConnConfig{})
	assert.Error(t, err)
	ev := NewEvents()
	defer ev.Free()
	good := ConnConfig{DCID: randomCID(18), SCID: randomCID(10), Path: Path{addrClient, addrServer},
		TLS: clientTLS(t), ServerName: "localhost", Events: ev}
	require.NoError(t, good.Validate(false))
	for text, change := range map[string]func(*ConnConfig){
		"other role":         func(c *ConnConfig) { c.TLS = serverTLS(t) },
		"one family":         func(c *ConnConfig) { c.Path.Local = netip.MustParseAddrPort("[::1]:1") },
		"CIDPrefix":          func(c *ConnConfig) { c.CIDPrefix = make([]byte, 7) },
		"or GivenCIDs off":   func(c *ConnConfig) { c.CIDPrefix, c.GivenCIDs = make([]byte, 1), true },
		"ResetSecret":        func(c *ConnConfig) { c.ResetSecret = make([]byte, 15) },
		"Version":            func(c *ConnConfig) { c.Version = 0x1a2a3a4a },
		"at least 8":         func(c *ConnConfig) { c.DCID = randomCID(7) },
		"numeric scope id":   func(c *ConnConfig) { c.Path.Local, c.Path.Remote = zoned("eth0"), zoned("eth0") },
		"AvailableVersions":  func(c *ConnConfig) { c.Settings = &Settings{AvailableVersions: []uint32{1, 5}} },
		"0x1 must be in":     func(c *ConnConfig) { c.Settings = versionLists([]uint32{VersionV2}, nil) },
		"0x6b3343cf must be": func(c *ConnConfig) { c.Version, c.Settings = VersionV2, versionLists(nil, []uint32{VersionV1}) },
		"ServerName|no serv": func(c *ConnConfig) { c.ServerName = "" },
	} {
		cfg := good
		change(&cfg)
		conn, err := NewClientConn(cfg)
		assert.Nil(t, conn, text)
		require.Error(t, err, text)
		if !strings.Contains(text, "|") {
			assert.ErrorContains(t, err, text)
		}
	}
	params := DefaultTransportParams()
	params.OriginalDCID, params.OriginalDCIDPresent = good.SCID, true
	bad := good
	bad.TLS, bad.Params, bad.ServerName = serverTLS(t), &params, ""
	_, err = NewServerConn(bad)
	assert.ErrorContains(t, err, "SCID: a server must choose its own")
}

func versionLists(preferred, available []uint32) *Settings {
	s := DefaultSettings()
	s.PreferredVersions, s.AvailableVersions = preferred, available
	return &s
}

func zoned(zone string) netip.AddrPort {
	return netip.AddrPortFrom(netip.MustParseAddr("fe80::1").WithZone(zone), 1)
}

func TestIPv6Path(t *testing.T) {
	p := newPair(t, options{})
	p.c.conn.Free()
	p.c.path = Path{zoned("3"), netip.AddrPortFrom(netip.MustParseAddr("fe80::2").WithZone("3"), 9)}
	p.s.path = Path{p.c.path.Remote, p.c.path.Local}
	params := testParams()
	conn, err := NewClientConn(ConnConfig{DCID: randomCID(18), SCID: randomCID(10), Path: p.c.path,
		Params: &params, TLS: clientTLS(t), ServerName: "localhost", Events: p.c.ev})
	require.NoError(t, err)
	p.c.conn = conn
	p.handshake()
	assert.Equal(t, p.c.path, p.c.conn.Path())
	assert.Equal(t, p.s.path, p.s.conn.Path())
	w, err := p.c.conn.WritePkts(p.c.dst, []StreamChunk{{StreamID: p.c.open(), Fin: true}}, p.now)
	require.NoError(t, err)
	assert.Equal(t, p.c.path, w.Path)
}

func TestErrorTable(t *testing.T) {
	unknown := Code(-999).String()
	for code := Code(-1); code > -999; code-- {
		_, ok := classes[code]
		if code == CodeFatal { // a bound, no error: it has no name
			continue
		}
		assert.Equal(t, code.String() != unknown, ok, "%d %s", code, code)
	}
	err := error(newError(CodeStreamDataBlocked))
	assert.ErrorIs(t, err, ErrStreamDataBlocked)
	assert.NotErrorIs(t, err, ErrDraining)
	assert.Equal(t, "ngtcp2: ERR_STREAM_DATA_BLOCKED", err.Error())
	assert.Equal(t, Fatal, newError(-999).Class)
	for _, c := range []Code{CodeStreamDataBlocked, CodeStreamShutWr, CodeStreamNotFound, CodeStreamIDBlocked} {
		assert.Equal(t, Transitional, classes[c], c)
	}
	for _, c := range []Code{CodeDropConn, CodeIdleClose, CodeDraining, CodeClosing, CodeRetry} {
		assert.Equal(t, Drop, classes[c], c)
		assert.Equal(t, closeSilent, CloseFor(newError(c)).Kind)
	}
	assert.Equal(t, TransportClose(FlowControlError, ""), CloseFor(newError(CodeFlowControl)))
	assert.Equal(t, TransportClose(InternalError, ""), CloseFor(os.ErrClosed))
	assert.Equal(t, TransportClose(0x12a, "bad certificate"), TLSAlertClose(42, "bad certificate"))
	crypto := &Error{Code: CodeCrypto, Alert: 42, Text: "why"}
	assert.Equal(t, "ngtcp2: ERR_CRYPTO (TLS alert 42): why", crypto.Error())
	assert.Equal(t, "fatal drop transitional class(9)", strings.Join(
		[]string{Fatal.String(), Drop.String(), Transitional.String(), Class(9).String()}, " "))
	assert.Contains(t, (&TransportError{Code: 0x12a}).Error(), "TLS alert 42")
	assert.Contains(t, (&TransportError{Code: 0xa}).Error(), "0xa")
	assert.Contains(t, (&ApplicationError{Code: 0xa, Reason: "r"}).Error(), `0xa: "r"`)
}

func TestConnectionID(t *testing.T) {
	c, err := NewConnectionID([]byte{1, 0xab})
	require.NoError(t, err)
	assert.Equal(t, "01ab", c.String())
	assert.Equal(t, 2, c.Len())
	assert.False(t, c.IsZero())
	assert.Equal(t, []byte{9, 1, 0xab}, c.Append([]byte{9}))
	_, err = NewConnectionID(make([]byte, 21))
	assert.Error(t, err)
	longer, err := NewConnectionID([]byte{1, 0xab, 0})
	require.NoError(t, err)
	assert.NotEqual(t, c, longer)
	assert.True(t, ConnectionID{}.IsZero())
}

func TestTimestamp(t *testing.T) {
	a := Now()
	assert.GreaterOrEqual(t, Now(), a)
	assert.Less(t, a, NoExpiry)
	assert.Equal(t, NoExpiry, NoExpiry.Add(time.Second))
	assert.Equal(t, time.Duration(math.MaxInt64), NoExpiry.Sub(a))
	assert.Equal(t, time.Second, a.Add(time.Second).Sub(a))
}

func TestVersion(t *testing.T) { assert.Regexp(t, `^1\.\d+\.\d+`, Version()) }
