package main

import (
	"context"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
)

// barePeer is the C program that does handshakes on ngtcp2 and OpenSSL alone.
type barePeer struct{ path string }

// handshake is the server's CPU time per full handshake, in microseconds.
func (p barePeer) handshake(ctx context.Context, groups string, count int) (float64, error) {
	return p.measure(ctx, "handshake_server_cpu",
		"--handshakes", strconv.Itoa(count), "--connections", "0", "--bulk", "0", "--groups", groups)
}

// measure runs the program and gives one of its figures.
func (p barePeer) measure(ctx context.Context, figure string, args ...string) (float64, error) {
	var stderr strings.Builder
	cmd := exec.CommandContext(ctx, p.path, args...)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	switch {
	case ctx.Err() != nil:
		return 0, ctx.Err()
	case err != nil:
		return 0, fmt.Errorf("%s: %w (cbench/run.sh builds it)\n%s", p.path, err, stderr.String())
	}
	for line := range strings.Lines(string(out)) {
		if f := strings.Fields(line); len(f) == 3 && f[0] == figure {
			return strconv.ParseFloat(f[1], 64)
		}
	}
	return 0, fmt.Errorf("%s prints no %s", p.path, figure)
}
