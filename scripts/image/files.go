package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// owner is a numeric user and group.
type owner struct{ uid, gid int }

// readIgnored reads CONTEXT/.dockerignore: plain paths only, no patterns and no exceptions.
func readIgnored(context string) (map[string]bool, error) {
	ignored := map[string]bool{}
	text, err := os.ReadFile(filepath.Join(context, ".dockerignore"))
	if errors.Is(err, fs.ErrNotExist) {
		return ignored, nil
	}
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		switch {
		case line == "" || line[0] == '#':
		case strings.ContainsAny(line, "*?[!") || filepath.Clean(line) != line:
			return nil, fmt.Errorf(".dockerignore: pattern %q is not known here", line)
		default:
			ignored[line] = true
		}
	}
	return ignored, err
}

// copier copies as COPY does: from a folder of sources into a root, leaving ignored paths out.
type copier struct {
	from, root string
	ignored    map[string]bool // relative to from
	owner      owner
}

// copy copies a file, or what a folder holds, to target in the root.
func (c copier) copy(source, target string) error {
	top := filepath.Join(c.from, source)
	info, err := os.Lstat(top)
	if err != nil {
		return err
	}
	if !info.IsDir() && strings.HasSuffix(target, "/") {
		target += filepath.Base(source)
	}
	target = filepath.Join(c.root, target)
	if err := c.makeParents(filepath.Dir(target)); err != nil {
		return err
	}
	return filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		relative, _ := filepath.Rel(c.from, path)
		if c.ignored[relative] {
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		below, _ := filepath.Rel(top, path)
		return c.one(path, filepath.Join(target, below))
	})
}

// makeParents makes missing folders, which belong to the new owner as the files do.
func (c copier) makeParents(dir string) error {
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	if err := c.makeParents(filepath.Dir(dir)); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	return os.Chown(dir, c.owner.uid, c.owner.gid)
}

// one copies a single file, folder or link with its mode.
func (c copier) one(from, to string) error {
	info, err := os.Lstat(from)
	if err != nil {
		return err
	}
	switch {
	case info.IsDir():
		if existing, err := os.Stat(to); err == nil && existing.IsDir() {
			return nil // a folder that is there stays as it is
		}
		err = os.Mkdir(to, 0o700)
	case info.Mode()&fs.ModeSymlink != 0:
		link, err := os.Readlink(from)
		if err != nil {
			return err
		}
		if err := errors.Join(removeIfThere(to), os.Symlink(link, to)); err != nil {
			return err
		}
		return os.Lchown(to, c.owner.uid, c.owner.gid)
	case info.Mode().IsRegular():
		err = errors.Join(removeIfThere(to), copyFile(from, to))
	default:
		return fmt.Errorf("%s is neither a file nor a folder nor a link", from)
	}
	// After Chown, which takes set-user-id bits away.
	return errors.Join(err, os.Chown(to, c.owner.uid, c.owner.gid), os.Chmod(to, info.Mode()))
}

func removeIfThere(path string) error {
	if err := os.Remove(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = out.ReadFrom(in)
	return errors.Join(err, out.Close())
}

// size is what the files below root take, in bytes; a file with several names counts once.
func size(root string) (total int64, err error) {
	seen := map[uint64]bool{}
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if stat := info.Sys().(*syscall.Stat_t); info.Mode().IsRegular() && !seen[stat.Ino] {
			seen[stat.Ino] = true
			total += info.Size()
		}
		return nil
	})
	return total, err
}
