package ngtcp2

// #include "shim_api.h"
import "C"

import (
	"fmt"
	"math"
	"time"
	"unsafe"
)

// DefaultSettings returns ngtcp2's defaults (ngtcp2_settings_default).
func DefaultSettings() Settings {
	var s C.shim_settings
	C.shim_settings_default(&s.s)
	return settingsFromC(&s)
}

// settingsToC fills everything but the token, which is passed separately.
func settingsToC(out *C.shim_settings, s *Settings) error {
	if len(s.PreferredVersions) > C.SHIM_VERSIONS_MAX || len(s.AvailableVersions) > C.SHIM_VERSIONS_MAX {
		return fmt.Errorf("ngtcp2: Settings: at most %d versions allowed", C.SHIM_VERSIONS_MAX)
	}
	if len(s.PMTUDProbes) > C.SHIM_PROBES_MAX {
		return fmt.Errorf("ngtcp2: Settings.PMTUDProbes: at most %d sizes allowed", C.SHIM_PROBES_MAX)
	}
	n := &out.s
	C.shim_settings_default(n)
	n.cc_algo = C.ngtcp2_cc_algo(s.CCAlgo)
	n.initial_ts = C.ngtcp2_tstamp(s.InitialTS)
	n.initial_rtt = C.ngtcp2_duration(s.InitialRTT)
	n.max_tx_udp_payload_size = C.size_t(s.MaxTxUDPPayloadSize)
	n.token_type = C.ngtcp2_token_type(s.TokenType)
	n.max_window = C.uint64_t(s.MaxWindow)
	n.max_stream_window = C.uint64_t(s.MaxStreamWindow)
	n.ack_thresh = C.size_t(s.AckThresh)
	n.no_tx_udp_payload_size_shaping = boolToC(s.NoTxUDPPayloadSizeShaping)
	n.handshake_timeout = timeoutToC(s.HandshakeTimeout)
	n.original_version = C.uint32_t(s.OriginalVersion)
	n.no_pmtud = boolToC(s.NoPMTUD)
	n.initial_pkt_num = C.uint32_t(s.InitialPktNum)
	n.glitch_ratelim_burst = C.uint64_t(s.GlitchRatelimBurst)
	n.glitch_ratelim_rate = C.uint64_t(s.GlitchRatelimRate)
	n.preferred_versionslen = C.size_t(copy(versions(&out.preferred_versions), s.PreferredVersions))
	n.available_versionslen = C.size_t(copy(versions(&out.available_versions), s.AvailableVersions))
	n.pmtud_probeslen = C.size_t(copy(probes(out), s.PMTUDProbes))
	out.qlog, out.log, out.log_id = boolToC(s.Qlog), boolToC(s.Log), C.uint64_t(s.LogID)
	return nil
}

// settingsFromC is the inverse of settingsToC.
func settingsFromC(c *C.shim_settings) Settings {
	n := &c.s
	return Settings{
		CCAlgo:                    CongestionControl(n.cc_algo),
		InitialTS:                 Timestamp(n.initial_ts),
		InitialRTT:                time.Duration(n.initial_rtt),
		MaxTxUDPPayloadSize:       int(n.max_tx_udp_payload_size),
		TokenType:                 TokenType(n.token_type),
		MaxWindow:                 uint64(n.max_window),
		MaxStreamWindow:           uint64(n.max_stream_window),
		AckThresh:                 int(n.ack_thresh),
		NoTxUDPPayloadSizeShaping: n.no_tx_udp_payload_size_shaping != 0,
		HandshakeTimeout:          timeoutFromC(n.handshake_timeout),
		OriginalVersion:           uint32(n.original_version),
		NoPMTUD:                   n.no_pmtud != 0,
		InitialPktNum:             uint32(n.initial_pkt_num),
		GlitchRatelimBurst:        uint64(n.glitch_ratelim_burst),
		GlitchRatelimRate:         uint64(n.glitch_ratelim_rate),
		PreferredVersions:         append([]uint32(nil), versions(&c.preferred_versions)[:n.preferred_versionslen]...),
		AvailableVersions:         append([]uint32(nil), versions(&c.available_versions)[:n.available_versionslen]...),
		PMTUDProbes:               append([]uint16(nil), probes(c)[:n.pmtud_probeslen]...),
		Qlog:                      c.qlog != 0,
		Log:                       c.log != 0,
		LogID:                     uint64(c.log_id),
	}
}

func versions(a *[C.SHIM_VERSIONS_MAX]C.uint32_t) []uint32 {
	return unsafe.Slice((*uint32)(unsafe.Pointer(a)), C.SHIM_VERSIONS_MAX)
}

func probes(s *C.shim_settings) []uint16 {
	return unsafe.Slice((*uint16)(unsafe.Pointer(&s.pmtud_probes)), C.SHIM_PROBES_MAX)
}

// timeoutToC maps Go's 0 = none to ngtcp2's UINT64_MAX.
func timeoutToC(d time.Duration) C.ngtcp2_duration {
	if d <= 0 {
		return math.MaxUint64
	}
	return C.ngtcp2_duration(d)
}

func timeoutFromC(d C.ngtcp2_duration) time.Duration {
	if d == math.MaxUint64 {
		return 0
	}
	return time.Duration(d)
}

// settingsThroughC converts to C and back; test files cannot name C types.
func settingsThroughC(s Settings) (Settings, error) {
	var c C.shim_settings
	err := settingsToC(&c, &s)
	return settingsFromC(&c), err
}
