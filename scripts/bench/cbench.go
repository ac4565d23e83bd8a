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
		"--handshakes", strconv.Itoa(count), "--connections", "0", "--bulk", "0", "--sockets", "0", "--groups", groups)
}

// measure runs the program and gives one of its figures.
func (p barePeer) measure(ctx context.Context, figure string, args ...string) (float64, error) {
	figures, err := p.figures(ctx, args...)
	if err != nil {
		return 0, err
	}
	v, ok := figures[figure]
	if !ok {
		return 0, fmt.Errorf("%s prints no %s", p.path, figure)
	}
	return v, nil
}

// figures runs the program: its figures by name.
func (p barePeer) figures(ctx context.Context, args ...string) (map[string]float64, error) {
	var stderr strings.Builder
	cmd := exec.CommandContext(ctx, p.path, args...)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case err != nil:
		return nil, fmt.Errorf("%s: %w (cbench/run.sh builds it)\n%s", p.path, err, stderr.String())
	}
	figures := map[string]float64{}
	for line := range strings.Lines(string(out)) {
		if f := strings.Fields(line); len(f) == 3 {
			if figures[f[0]], err = strconv.ParseFloat(f[1], 64); err != nil {
				return nil, fmt.Errorf("%s prints %q: %w", p.path, line, err)
			}
		}
	}
	return figures, nil
}
