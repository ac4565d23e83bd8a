package server

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/server/internal/mqtttest"
)

var lbKey, nextLBKey = strings.Repeat("5e", 16), strings.Repeat("6f", 16)

func writeKey(t *testing.T, file, text string) {
	t.Helper()
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
}

func TestLoadBalancerKeyFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "key")
	c := Config{QUIC: []string{"127.0.0.1:0"}, LoadBalancer: &LoadBalancer{ID: 2, ServerID: []byte{1}, NonceLen: 8}, LoadBalancerKeyFile: file}
	writeKey(t, file, lbKey+"\n")
	form, err := c.resolveLoadBalancer()
	require.NoError(t, err)
	assert.EqualValues(t, 2, form.ID)
	assert.Len(t, form.Key, 16)
	writeKey(t, file, "3 "+lbKey+"\n")
	form, err = c.resolveLoadBalancer()
	require.NoError(t, err)
	assert.EqualValues(t, 3, form.ID)
	for text, want := range map[string]string{
		"":                    "not one key",
		"no hex":              "not one from 0 to 6",
		"1 2 " + lbKey:        "not one key",
		"nohex":               "not hexadecimal digits",
		"300 " + lbKey:        "not one from 0 to 6",
		"7 " + lbKey:          "Config.ID: 7: use 0 to 6",
		"1 " + lbKey + lbKey:  "Config.Key: 32 bytes",
		lbKey[:len(lbKey)-10]: "Config.Key: 11 bytes",
	} {
		writeKey(t, file, text)
		_, err := c.resolveLoadBalancer()
		assert.ErrorContains(t, err, want, text)
		assert.NotContains(t, err.Error(), lbKey, "a key is not shown")
	}
	c.LoadBalancerKeyFile += "2"
	_, err = c.resolveLoadBalancer()
	assert.ErrorContains(t, err, "no such file")
	assert.ErrorContains(t, err, "openssl rand -hex 16")
	c.LoadBalancer = nil
	_, err = c.resolveLoadBalancer()
	assert.ErrorContains(t, err, "--quic-lb-server-id")
}

// A file that has changed is read; what cannot be used changes nothing, and is said once.
func TestLoadBalancerKeyChanges(t *testing.T) {
	file := filepath.Join(t.TempDir(), "key")
	writeKey(t, file, "1 "+lbKey)
	form, err := withKey(LoadBalancer{ServerID: []byte{1}, NonceLen: 8}, file)
	require.NoError(t, err)
	var log mqtttest.Log
	var used []uint8
	r := &rotation{watchedFile: newWatchedFile(file, slog.New(slog.NewTextHandler(&log, nil))), form: form, use: func(c LoadBalancer) error {
		if c.ID == 6 {
			return errors.New("wrong")
		}
		used = append(used, c.ID)
		return nil
	}}
	warnings := func() int { return strings.Count(log.String(), "stays in use") }
	r.step()
	assert.Empty(t, used, "it is the same")
	writeKey(t, file, "nothing")
	r.step()
	r.step()
	assert.Equal(t, 1, warnings())
	writeKey(t, file, "6 "+nextLBKey)
	r.step()
	r.step()
	assert.Equal(t, 2, warnings())
	writeKey(t, file, "2  "+nextLBKey)
	r.step()
	r.step()
	assert.Equal(t, []uint8{2}, used)
	assert.EqualValues(t, 2, r.form.ID)
	assert.Contains(t, log.String(), "has changed")
	assert.NotContains(t, log.String(), nextLBKey)
}
