package server_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"math/rand/v2"
	"net"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/mqtt/packet"
	"github.com/ngmq/ngmq/server"
	"github.com/ngmq/ngmq/server/internal/mqtttest"
)

// vandal attacks a server once.
type vandal func(*running, *rand.Rand)

// MQTT-4.13.1-1 and RFC 9000 section 5.2.2: whoever sends random bytes to the ports
// disturbs nobody.
func TestRandomBytesDisturbNobody(t *testing.T) {
	s := start(t, server.Config{})
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	var stop atomic.Bool
	var attackers sync.WaitGroup
	defer attackers.Wait()
	defer stop.Store(true)
	for i, attack := range append([]vandal{garbageTCP, garbageTLS, garbageMQTT}, vandals...) {
		attackers.Go(func() {
			random := rand.New(rand.NewPCG(seed, uint64(i)))
			for !stop.Load() {
				attack(s, random)
			}
		})
	}
	var clients []*mqtttest.Client
	for _, transport := range transports {
		c := connected(t, s, transport, packet.V50, transport)
		c.Subscribe("work/"+transport, 2)
		clients = append(clients, c)
	}
	for n := range 100 {
		for i, c := range clients {
			to := (i + n) % len(clients)
			c.Send(&packet.Publish{Topic: []byte("work/" + transports[to]), Payload: fmt.Append(nil, n)})
			clients[to].ExpectMessage("work/"+transports[to], fmt.Sprint(n))
		}
	}
	for range 3 { // newcomers too
		for _, transport := range transports {
			connected(t, s, transport, packet.V50, "newcomer").Ping()
		}
	}
}

func randomBytes(r *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

func garbageTCP(s *running, r *rand.Rand) {
	sendGarbage(r, func() (net.Conn, error) { return net.Dial("tcp", s.Addrs().TCP[0].String()) }, nil)
}

func garbageTLS(s *running, r *rand.Rand) {
	addr := s.Addrs().TLS[0].String()
	sendGarbage(r, func() (net.Conn, error) { return net.Dial("tcp", addr) }, []byte{0x16, 3, 1})
	sendGarbage(r, func() (net.Conn, error) {
		return tls.Dial("tcp", addr, &tls.Config{InsecureSkipVerify: true})
	}, nil)
}

// garbageMQTT goes wrong only after CONNECT.
func garbageMQTT(s *running, r *rand.Rand) {
	connect := (&packet.Connect{ClientID: "vandal", CleanStart: true}).AppendTo(nil, packet.V50)
	sendGarbage(r, func() (net.Conn, error) { return net.Dial("tcp", s.Addrs().TCP[0].String()) }, connect)
}

func sendGarbage(r *rand.Rand, dial func() (net.Conn, error), first []byte) {
	conn, err := dial()
	if err != nil {
		return
	}
	defer conn.Close()
	conn.Write(first)
	conn.Write(randomBytes(r, 1+r.IntN(3000)))
}

// After Shutdown nothing is left: no goroutine, no block of the C heap, no connection.
func TestNothingRemains(t *testing.T) {
	t.Run("warm up", useAndStop)
	goroutines := runtime.NumGoroutine()
	blocks, bytes := heap()
	for range 2 {
		t.Run("again", useAndStop)
	}
	// Eventually calls the function on a goroutine of its own.
	assert.Eventually(t, func() bool { return runtime.NumGoroutine() <= goroutines+1 }, mqtttest.Patience, time.Millisecond,
		"%d goroutines before", goroutines)
	blocksAfter, bytesAfter := heap()
	assert.Equal(t, blocks, blocksAfter)
	assert.Equal(t, bytes, bytesAfter)
}

// useAndStop runs a server with clients that come and go in all ways.
func useAndStop(t *testing.T) {
	s := start(t, server.Config{})
	large := strings.Repeat("x", 6<<10) // shared, and all of them fit the windows
	for i := range 30 {
		transport := transports[i%len(transports)]
		c := connected(t, s, transport, packet.V50, fmt.Sprint(i))
		c.Subscribe("all", 1)
		c.Send(&packet.Publish{Topic: []byte("all"), Payload: []byte(large), QoS: 1, PacketID: 5})
		switch i / len(transports) % 5 {
		case 0: // stays
		case 1:
			c.Conn().Close()
		case 2:
			c.Raw([]byte{0xFF, 0xFF, 0xFF, 0xFF, 0xFF})
		case 3:
			c.Send(&packet.Disconnect{})
		case 4:
			connected(t, s, transport, packet.V50, fmt.Sprint(i))
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), mqtttest.Patience)
	defer cancel()
	require.NoError(t, s.Shutdown(ctx))
	require.NoError(t, s.wait(t))
	assert.Zero(t, s.Stats().Connections)
	assert.Zero(t, s.Stats().Clients)
}
