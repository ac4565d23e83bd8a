// Package conformance proves that the server keeps the normative statements of MQTT 5.0
// and MQTT 3.1.1, each by tests that carry its id. It has no code but tests: they drive
// a running server over raw connections, byte by byte, with an encoder and a decoder of
// their own, over every transport that the build has.
//
//	make conformance                                             the table and the totals
//	go test ./server/internal/conformance                        all tests
//	go test ./server/internal/conformance -run TestMQTT5/MQTT-3.1.2-3$/tcp
//
// # Statements
//
//	mqtt5.tsv, mqtt311.tsv                  every statement: id, who, chapter, gist
//	mqtt5.untestable.tsv, mqtt311...        ids that cannot be tested from outside, and why
//	mqtt5.unproven.tsv, mqtt311...          ids whose tests are still missing, and why
//
// TestCoverage fails when a statement for the server has neither tests nor a line in one
// of the two lists, and when it has both: who adds the tests takes the line away.
//
// # Adding a test
//
// A test is a function of *T. It is registered with the ids of the statements that it
// proves, in the file of its chapter (v5_connect_test.go, v311_publish_test.go):
//
//	func init() {
//		mqtt5(reservedConnectFlag, "MQTT-3.1.2-3")
//	}
//
//	func reservedConnectFlag(t *T) {
//		c := t.dial()
//		c.write(pkt(CONNECT, str("MQTT"), raw(5, 0x03, 0, 0), props(), str(t.id("a"))))
//		c.connackRefused(0x81)
//	}
//
// It runs once for each transport, as TestMQTT5/MQTT-3.1.2-3/tcp/reservedConnectFlag (a
// test with several ids runs for the first, the others share its result), in parallel with
// all others and against the same server. A test that holds in both versions is registered
// with mqtt311 too, and asks t.version where they differ. So:
//
//   - Client identifiers and topics come from t.id and t.topic, which no other test uses.
//   - A test that needs another configuration calls t.serve first.
//   - It must fail if the server broke the statement: look for what a careless server
//     would do, and refuse the wrong reason code too.
//   - That nothing comes is proven by client.nothing, which sends a message to itself
//     and waits for it, never by waiting for a while. What another client sends is on its
//     way once client.publish has returned.
//   - Every read waits for patience at most. A test that has to let time pass (keep
//     alive, expiry) uses the smallest interval of the standard, one second.
//
// What there is:
//
//	encode_test.go   pkt, str, u16, u32, vbi, raw, props, prop; connect with its options
//	decode_test.go   packet, its parts: connack, publish, ack, suback, disconnect
//	client_test.go   client: write and read
//	expect_test.go   client: connect, subscribe, publish, receive, refused, end, nothing
//	server_test.go   T, t.serve, the transports
package conformance
