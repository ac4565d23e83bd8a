// Package packet is the MQTT codec: the fifteen control packets of MQTT 5.0 and
// 3.1.1, and MQTT 3.1 as far as it differs, with all properties and reason codes.
//
// # Pipeline
//
//	bytes -> Decoder.Feed -> Decoder.Next -> Packet     (reading)
//	Packet.Size / Packet.AppendTo -> bytes              (writing)
//
// A [Decoder] takes the byte stream of one connection in chunks of any size and
// gives whole packets. Every packet type has a file of its own with its fields,
// its parser, Size and AppendTo. What the standard says about one packet alone is
// checked here: layout, flags, strings, property placement, value ranges, legal
// reason codes. What needs more than the packet is left to the caller: who may
// send it (direction), the order of packets, quotas, topic aliases, the syntax of
// topic filters (package topic).
//
// The same code serves both ends, so the Decoder accepts every packet type.
//
// # Versions
//
// The layout depends on the [Version] of the connection. A struct holds the union
// of all versions; what a version does not have is left out when encoding and
// zero after decoding. Reason codes are always those of 5.0: a 3.x CONNACK return
// code is translated both ways ([ReturnCode]), a 3.x SUBACK knows one failure.
//
// # Ownership
//
//	what                                   who owns it, how long it is valid
//	Decoder                                one goroutine at a time; no locks inside
//	chunk given to Feed                    lent until Next returned (nil, nil) or Keep was called
//	*Publish, *Puback, *Pubrec, *Pubrel,   the Decoder; valid until the next call of Next or Feed,
//	*Pubcomp and all slices in them        because slices point into the chunk
//	every other decoded packet             the caller, for ever; nothing points into the chunk
//	packet given to AppendTo, Size         read only, not kept
//	dst given to AppendTo                  the caller; grown like append does
//
// # Errors
//
// Bad input gives an [*Error] with the reason code that the standard asks for. It
// says what to send before the connection is closed ([Error.Reply]).
//
// Statement ids such as [MQTT-3.3.1-4] are those of the OASIS standards; where the
// two standards differ, the id is followed by the version.
package packet
