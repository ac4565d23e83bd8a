// Package interop proves bin/ngmqd and bin/ngmq against software that this project did not write.
//
// The tests start the real server as a process on ephemeral ports, read its addresses from the
// "ready" line of its JSON log, and drive it with quic-go (carrying eclipse paho.golang and
// paho.mqtt.golang over its stream), mosquitto_pub and mosquitto_sub, and `openssl s_client -quic`. The client tool is driven against a mosquitto broker. At the end a table
// of stack x case is printed, and written to the file named by INTEROP_TABLE when that is set.
//
// It is a Go module of its own so that none of these libraries enters the go.mod of ngmq. The binaries
// are named by the environment variables NGMQD, NGMQ, OPENSSL (defaults: ../../bin/ngmqd, ../../bin/ngmq,
// ../../third_party/build/native/bin/openssl, else openssl from PATH); mosquitto, mosquitto_pub
// and mosquitto_sub come from PATH. A missing tool fails its test and names the package to install.
package interop
