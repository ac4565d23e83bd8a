package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// mounts are what was mounted, to be undone in reverse order.
type mounts []string

// nothingMounted fails when something is mounted below dir: what is removed there must not be a folder of this machine.
func nothingMounted(dir string) error {
	whole, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	all, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return err
	}
	if found := mountedBelow(string(all), whole); found != "" {
		return fmt.Errorf("%s is still mounted: unmount it, or run this in a mount namespace of its own", found)
	}
	return nil
}

// mountedBelow finds a mount point at dir or below in the text of /proc/self/mountinfo.
func mountedBelow(mountinfo, dir string) string {
	for line := range strings.Lines(mountinfo) {
		fields := strings.Fields(line)
		if len(fields) > 4 && (fields[4] == dir || strings.HasPrefix(fields[4], dir+"/")) {
			return fields[4]
		}
	}
	return ""
}

// mount is mount(2), with the target made when it is missing.
func (m *mounts) mount(source, target, kind string, flags uintptr) error {
	if err := os.MkdirAll(target, 0o755); err != nil {
		return err
	}
	if err := syscall.Mount(source, target, kind, flags, ""); err != nil {
		return fmt.Errorf("mount %s on %s: %w", source, target, err)
	}
	*m = append(*m, target)
	return nil
}

func (m *mounts) bind(source, target string) error {
	return m.mount(source, target, "", syscall.MS_BIND)
}

// system mounts proc and dev.
func (m *mounts) system(root string) error {
	if err := m.mount("proc", filepath.Join(root, "proc"), "proc", 0); err != nil {
		return err
	}
	return m.bind("/dev", filepath.Join(root, "dev"))
}

// networkFiles writes what an engine puts into /etc.
func networkFiles(root string) error {
	etc := filepath.Join(root, "etc")
	resolver, err := os.ReadFile("/etc/resolv.conf")
	if err == nil {
		err = os.WriteFile(filepath.Join(etc, "resolv.conf"), resolver, 0o644)
	}
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(etc, "hosts"), []byte("127.0.0.1 localhost\n::1 localhost\n"), 0o644)
}

// undo unmounts all.
func (m *mounts) undo() {
	for i := len(*m) - 1; i >= 0; i-- {
		if err := syscall.Unmount((*m)[i], syscall.MNT_DETACH); err != nil {
			fmt.Fprintf(os.Stderr, "image: unmount %s: %s\n", (*m)[i], err)
		}
	}
	*m = nil
}
