package ngtcp2

// #include "shim_api.h"
import "C"

import (
	"encoding/binary"
	"fmt"
	"time"
	"unsafe"
)

// DefaultTransportParams returns ngtcp2's defaults
// (ngtcp2_transport_params_default).
func DefaultTransportParams() TransportParams {
	var s C.shim_params
	C.shim_params_default(&s.p)
	return paramsFromC(&s)
}

// paramsToC fills everything but version_info, which ngtcp2 sets.
func paramsToC(out *C.shim_params, t *TransportParams) error {
	p := &out.p
	C.shim_params_default(p)
	p.original_dcid, p.original_dcid_present = nativeCID(t.OriginalDCID), boolToC(t.OriginalDCIDPresent)
	p.retry_scid, p.retry_scid_present = nativeCID(t.RetrySCID), boolToC(t.RetrySCIDPresent)
	p.initial_max_stream_data_bidi_local = C.uint64_t(t.InitialMaxStreamDataBidiLocal)
	p.initial_max_stream_data_bidi_remote = C.uint64_t(t.InitialMaxStreamDataBidiRemote)
	p.initial_max_stream_data_uni = C.uint64_t(t.InitialMaxStreamDataUni)
	p.initial_max_data = C.uint64_t(t.InitialMaxData)
	p.initial_max_streams_bidi = C.uint64_t(t.InitialMaxStreamsBidi)
	p.initial_max_streams_uni = C.uint64_t(t.InitialMaxStreamsUni)
	p.max_idle_timeout = C.ngtcp2_duration(max(t.MaxIdleTimeout, 0))
	p.max_udp_payload_size = C.uint64_t(t.MaxUDPPayloadSize)
	p.active_connection_id_limit = C.uint64_t(t.ActiveConnectionIDLimit)
	p.ack_delay_exponent = C.uint64_t(t.AckDelayExponent)
	p.max_ack_delay = C.ngtcp2_duration(max(t.MaxAckDelay, 0))
	p.max_datagram_frame_size = C.uint64_t(t.MaxDatagramFrameSize)
	p.stateless_reset_token_present = boolToC(t.StatelessResetTokenPresent)
	*(*StatelessResetToken)(unsafe.Pointer(&p.stateless_reset_token)) = t.StatelessResetToken
	p.disable_active_migration = boolToC(t.DisableActiveMigration)
	p.grease_quic_bit = boolToC(t.GreaseQUICBit)
	return preferredToC(out, t.PreferredAddr)
}

func preferredToC(out *C.shim_params, a *PreferredAddr) error {
	if a == nil {
		return nil
	}
	p := &out.p.preferred_addr
	out.p.preferred_addr_present = 1
	p.cid = nativeCID(a.CID)
	*(*StatelessResetToken)(unsafe.Pointer(&p.stateless_reset_token)) = a.StatelessResetToken
	if a.IPv4.IsValid() {
		if err := addrToC(&out.preferred4, a.IPv4); err != nil || out.preferred4.family != familyV4 {
			return fmt.Errorf("ngtcp2: TransportParams.PreferredAddr.IPv4: %v is no IPv4 address", a.IPv4)
		}
	}
	if a.IPv6.IsValid() {
		if err := addrToC(&out.preferred6, a.IPv6); err != nil || out.preferred6.family != familyV6 {
			return fmt.Errorf("ngtcp2: TransportParams.PreferredAddr.IPv6: %v is no IPv6 address", a.IPv6)
		}
	}
	return nil
}

// paramsFromC is the inverse of paramsToC, with version_info.
func paramsFromC(s *C.shim_params) TransportParams {
	p := &s.p
	return TransportParams{
		PreferredAddr:                  preferredFromC(s),
		OriginalDCID:                   cidFromNative(&p.original_dcid),
		OriginalDCIDPresent:            p.original_dcid_present != 0,
		InitialSCID:                    cidFromNative(&p.initial_scid),
		InitialSCIDPresent:             p.initial_scid_present != 0,
		RetrySCID:                      cidFromNative(&p.retry_scid),
		RetrySCIDPresent:               p.retry_scid_present != 0,
		InitialMaxStreamDataBidiLocal:  uint64(p.initial_max_stream_data_bidi_local),
		InitialMaxStreamDataBidiRemote: uint64(p.initial_max_stream_data_bidi_remote),
		InitialMaxStreamDataUni:        uint64(p.initial_max_stream_data_uni),
		InitialMaxData:                 uint64(p.initial_max_data),
		InitialMaxStreamsBidi:          uint64(p.initial_max_streams_bidi),
		InitialMaxStreamsUni:           uint64(p.initial_max_streams_uni),
		MaxIdleTimeout:                 time.Duration(p.max_idle_timeout),
		MaxUDPPayloadSize:              uint64(p.max_udp_payload_size),
		ActiveConnectionIDLimit:        uint64(p.active_connection_id_limit),
		AckDelayExponent:               uint64(p.ack_delay_exponent),
		MaxAckDelay:                    time.Duration(p.max_ack_delay),
		MaxDatagramFrameSize:           uint64(p.max_datagram_frame_size),
		StatelessResetToken:            *(*StatelessResetToken)(unsafe.Pointer(&p.stateless_reset_token)),
		StatelessResetTokenPresent:     p.stateless_reset_token_present != 0,
		DisableActiveMigration:         p.disable_active_migration != 0,
		GreaseQUICBit:                  p.grease_quic_bit != 0,
		VersionInfo:                    versionInfoFromC(p),
	}
}

func preferredFromC(s *C.shim_params) *PreferredAddr {
	if s.p.preferred_addr_present == 0 {
		return nil
	}
	p := &s.p.preferred_addr
	return &PreferredAddr{
		CID:                 cidFromNative(&p.cid),
		IPv4:                addrFromC(&s.preferred4),
		IPv6:                addrFromC(&s.preferred6),
		StatelessResetToken: *(*StatelessResetToken)(unsafe.Pointer(&p.stateless_reset_token)),
	}
}

func versionInfoFromC(p *C.ngtcp2_transport_params) *VersionInfo {
	if p.version_info_present == 0 {
		return nil
	}
	v := &VersionInfo{ChosenVersion: uint32(p.version_info.chosen_version)}
	wire := unsafe.Slice((*byte)(unsafe.Pointer(p.version_info.available_versions)), int(p.version_info.available_versionslen))
	for ; len(wire) >= 4; wire = wire[4:] {
		v.AvailableVersions = append(v.AvailableVersions, binary.BigEndian.Uint32(wire))
	}
	return v
}
