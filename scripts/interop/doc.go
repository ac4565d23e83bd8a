// Package interop proves bin/ngmqd and bin/ngmq against software that this project did not write.
//
// The tests start the real server as a process on ephemeral ports, read its addresses from the
// "ready" line of its JSON log, and drive it with quic-go and golang.org/x/net/quic (carrying eclipse
// paho.golang and paho.mqtt.golang over their streams), quiche (folder quiche, installed by npm; build tag quiche), MQTT.js over TCP, TLS and WebSocket (folder mqttjs, likewise; build tag mqttjs),
// Paho Python (folder pahopython), Paho C (paho_c_pub, paho_c_sub), mosquitto_pub, mosquitto_sub and mosquitto_rr,
// curl, and `openssl s_client -quic`. In the other direction the client
// library and the client tool are driven against mochi-mqtt behind quic-go and
// behind x/net/quic, the tool against a mosquitto broker too. TestMatrix runs the usual QUIC interop cases
// between package endpoint and each of the QUIC stacks, in both directions. TestHabits has
// clients that spread their packets over several streams, each as a client in use does (emqtt, NanoNNG,
// flowsdk, mqtt-lib), written on quic-go, x/net/quic and quiche
// (quiche/streams.mjs) with paho's packets, TestStreamClients those for
// which a stream is a connection (comqtt), TestNext mqtt-lib's under MQTT-next. At the end three tables are
// printed: client x case, case x stack, the second as in README.md (TestReadme), and behaviour x client with
// several streams; they are written
// to the file named by INTEROP_TABLE when that is set.
//
// It is a Go module of its own so that none of these libraries enters the go.mod of ngmq. The binaries
// are named by the environment variables NGMQD, NGMQ, OPENSSL (defaults: ../../bin/ngmqd, ../../bin/ngmq,
// ../../third_party/build/native/bin/openssl, else openssl from PATH); the programs of mosquitto
// and Paho C, curl, node and npm come from PATH, Paho Python from /usr/bin/python3. A missing tool fails its test and names the package to install.
package interop
