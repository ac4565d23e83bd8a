//go:build mqttjs

package interop

import (
	"path/filepath"
	"testing"
)

// TestMQTTJS: MQTT.js over all its transports. Every connection is a process of its own.
func TestMQTTJS(t *testing.T) {
	npmInstall(t, "mqttjs")
	for _, s := range []stack{
		onMQTTJS("MQTT.js 5.0 (TCP)", 5, "mqtt://"+broker.tcp),
		onMQTTJS("MQTT.js 5.0 (TLS)", 5, "mqtts://"+broker.tls),
		onMQTTJS("MQTT.js 5.0 (WebSocket)", 5, "ws://"+broker.ws+"/mqtt"),
		onMQTTJS("MQTT.js 5.0 (secure WebSocket)", 5, "wss://"+broker.wss+"/mqtt"),
		onMQTTJS("MQTT.js 3.1.1 (secure WebSocket)", 4, "wss://"+broker.wss+"/mqtt"),
	} {
		for _, c := range libraryCases {
			provesParallel(t, s.name, c.name, func(t *testing.T) { c.run(t, s) })
		}
	}
}

func onMQTTJS(name string, version int, url string) stack {
	return stack{name: name, atRelease: true, new: func(_ dialer, o options) client {
		return newScripted(version, o, "node", filepath.Join("mqttjs", "client.mjs"), url, broker.ca)
	}}
}
