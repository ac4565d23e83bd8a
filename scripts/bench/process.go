package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"

	"github.com/ngmq/ngmq/scripts/internal/process"
)

// startServer starts ngmqd on a port of the system's choice, with more flags.
func startServer(ctx context.Context, path string, more ...string) (*process.Server, error) {
	flags := append([]string{"--quic", "127.0.0.1:0", "--tcp", "off", "--allow-anonymous"}, more...)
	return process.Start(ctx, process.Config{Command: func(dir string) (*exec.Cmd, error) { return process.Ngmqd(path, dir, flags...) }})
}

// embedded is a server that tells its heap.
type embedded struct {
	*process.Server
	stdin  io.Writer
	stdout *bufio.Reader
}

// startEmbedded starts this program again as a server.
func startEmbedded(ctx context.Context) (*embedded, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	e := new(embedded)
	e.Server, err = process.Start(ctx, process.Config{Command: func(dir string) (*exec.Cmd, error) {
		cmd := exec.Command(self)
		cmd.Env = append(os.Environ(), asServer+"="+dir)
		stdout, err := cmd.StdoutPipe()
		if err != nil {
			return nil, err
		}
		e.stdout = bufio.NewReader(stdout)
		e.stdin, err = cmd.StdinPipe()
		return cmd, err
	}})
	return e, err
}

// heap asks the server.
func (e *embedded) heap() (memoryUse, error) {
	var use memoryUse
	if _, err := fmt.Fprintln(e.stdin); err != nil {
		return use, err
	}
	text, err := e.stdout.ReadBytes('\n')
	if err != nil {
		return use, err
	}
	return use, json.Unmarshal(text, &use)
}
