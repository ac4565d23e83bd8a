// Package multistream tests MQTT over several streams of a QUIC connection, end to end:
// a server with all its transports, and raw clients that open whatever streams a test
// wants. The tests are named after what they check.
package multistream
