package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
)

// exitStatus is how a command in the container ended.
type exitStatus struct{ status int }

func (e *exitStatus) Error() string { return fmt.Sprintf("exit status %d", e.status) }

// stopSignals are the values of STOPSIGNAL that are known here.
var stopSignals = map[string]syscall.Signal{"": syscall.SIGTERM, "SIGTERM": syscall.SIGTERM, "SIGINT": syscall.SIGINT}

// container is a running image: its root is work/container, read-only but for the volumes.
type container struct {
	image
	root   string
	mounts mounts
}

// run starts the image in work with a fresh root and waits for its end; SIGTERM becomes the image's STOPSIGNAL.
// Command words follow ENTRYPOINT in place of CMD. The process is the first one of a process namespace.
func run(work string, env pairs, words []string) error {
	c, err := open(work)
	if err != nil {
		return err
	}
	if err := nothingMounted(work); err != nil {
		return err
	}
	defer c.mounts.undo()
	if err := c.make(filepath.Join(work, "rootfs")); err != nil {
		return err
	}
	if len(words) == 0 {
		words = c.Cmd
	}
	cmd := c.command(append(c.Entrypoint, words...), env)
	cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWPID
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	if err := cmd.Start(); err != nil {
		return err
	}
	go func() {
		for range stop {
			cmd.Process.Signal(stopSignals[c.StopSignal])
		}
	}()
	return ended(cmd.Wait())
}

// inside runs one more command in the root that run has made, as `docker exec` does; without words the HEALTHCHECK.
func inside(work string, env pairs, words []string) error {
	c, err := open(work)
	if err != nil {
		return err
	}
	if len(words) == 0 {
		words = c.Health
	}
	return ended(c.command(words, env).Run())
}

func open(work string) (*container, error) {
	text, err := os.ReadFile(filepath.Join(work, "image.json"))
	if err != nil {
		return nil, fmt.Errorf("%w: build the image first", err)
	}
	c := &container{root: filepath.Join(work, "container")}
	return c, json.Unmarshal(text, &c.image)
}

// make makes the root: a copy of the image's that cannot be written, with volumes that can.
func (c *container) make(rootfs string) error {
	if err := os.RemoveAll(c.root); err != nil {
		return err
	}
	if out, err := exec.Command("cp", "-a", "--reflink=auto", rootfs, c.root).CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	volumes := c.root + ".volumes"
	if err := os.RemoveAll(volumes); err != nil {
		return err
	}
	for _, dir := range []string{"proc", "dev"} {
		if err := os.MkdirAll(filepath.Join(c.root, dir), 0o755); err != nil {
			return err
		}
	}
	if err := networkFiles(c.root); err != nil {
		return err
	}
	if err := c.mounts.bind(c.root, c.root); err != nil {
		return err
	}
	if err := syscall.Mount("", c.root, "", syscall.MS_BIND|syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
		return err
	}
	for _, v := range c.Volumes {
		if err := c.volume(v, volumes); err != nil {
			return err
		}
	}
	return c.mounts.system(c.root)
}

// volume mounts a folder that begins as a copy of what the image has there, owner included.
func (c *container) volume(path, volumes string) error {
	at, kept := filepath.Join(c.root, path), filepath.Join(volumes, path)
	if err := os.MkdirAll(filepath.Dir(kept), 0o755); err != nil {
		return err
	}
	if out, err := exec.Command("cp", "-a", at, kept).CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return c.mounts.bind(kept, at)
}

// command is a command in the root, as the image's user.
func (c *container) command(words []string, env pairs) *exec.Cmd {
	all := maps.Clone(c.Env)
	maps.Copy(all, env)
	cmd := &exec.Cmd{Path: words[0], Args: words, Dir: c.Dir, Env: environment(all)}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Chroot: c.root, Credential: &syscall.Credential{Uid: uint32(c.Owner[0]), Gid: uint32(c.Owner[1])},
	}
	return cmd
}

func ended(err error) error {
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return err
	}
	if status := exit.Sys().(syscall.WaitStatus); status.Signaled() {
		return &exitStatus{128 + int(status.Signal())}
	}
	return &exitStatus{exit.ExitCode()}
}
