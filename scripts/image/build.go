package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// options are what the command line says about a build.
type options struct {
	bases pairs // folders that stand for base images
	args  pairs // values for ARG
	binds list  // FROM:TO
}

// image is what a stage says about the commands that run in it, beside its files.
type image struct {
	Env        map[string]string
	Owner      [2]int // user and group
	Dir        string // working directory
	Volumes    []string
	Ports      []string
	StopSignal string
	Health     []string
	Entrypoint []string
	Cmd        []string
	Size       int64 // bytes of all files
}

// stage is a root under construction.
type stage struct {
	image
	root string
	args map[string]string // ARG
}

// builder carries out instructions.
type builder struct {
	options
	work, context string
	ignored       map[string]bool
	owner         owner // of what COPY makes without --chown
	globals       pairs // ARG before the first FROM
	stages        map[string]*stage
	current       *stage
	mounts        mounts
}

// baseEnv is the ENV of base images that are known here.
var baseEnv = map[string]map[string]string{
	"golang": {"GOPATH": "/go", "GOTOOLCHAIN": "local", "PATH": "/go/bin:/usr/local/go/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
}

// build carries out all instructions; the last stage becomes work/rootfs and work/image.json.
func (b *builder) build(all []instruction) error {
	if err := nothingMounted(b.work); err != nil {
		return err
	}
	for _, name := range []string{"stages", "rootfs"} {
		if err := os.RemoveAll(filepath.Join(b.work, name)); err != nil {
			return err
		}
	}
	defer b.mounts.undo()
	for i, in := range all {
		began := time.Now()
		fmt.Printf("image: [%d/%d] %s %s\n", i+1, len(all), in.name, in.text)
		if err := b.do(in); err != nil {
			return fmt.Errorf("line %d of the Dockerfile, %s: %w", in.line, in.name, err)
		}
		if took := time.Since(began); took > time.Second {
			fmt.Printf("image: %.0f s\n", took.Seconds())
		}
	}
	b.mounts.undo()
	return b.finish()
}

// finish keeps the last stage.
func (b *builder) finish() (err error) {
	if b.current == nil {
		return errors.New("no FROM in the Dockerfile")
	}
	rootfs := filepath.Join(b.work, "rootfs")
	if err := os.Rename(b.current.root, rootfs); err != nil {
		return err
	}
	if b.current.Size, err = size(rootfs); err != nil {
		return err
	}
	text, err := json.MarshalIndent(b.current.image, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(b.work, "image.json"), append(text, '\n'), 0o644)
}

// do carries out one instruction.
func (b *builder) do(in instruction) error {
	if in.name == "RUN" {
		return b.run(in)
	}
	text, err := expand(in, b.value)
	if err != nil {
		return err
	}
	switch {
	case in.name == "FROM":
		return b.from(text)
	case in.name == "ARG":
		return b.arg(text)
	case b.current == nil:
		return errors.New("before FROM")
	case in.name == "COPY":
		return b.copy(in, text)
	case in.name == "WORKDIR":
		return b.workdir(text)
	}
	return b.current.configure(in, text)
}

// value is that of a variable: ENV beats ARG.
func (b *builder) value(name string) string {
	if b.current == nil {
		return b.globals[name]
	}
	if v, ok := b.current.Env[name]; ok {
		return v
	}
	return b.current.args[name]
}

// arg declares an argument; before the first FROM for FROM lines and as a default in stages.
func (b *builder) arg(text string) error {
	name, value, given := strings.Cut(text, "=")
	if !plainName.MatchString(name) {
		return fmt.Errorf("%q is not NAME or NAME=VALUE", text)
	}
	if !given {
		value = b.globals[name]
	}
	if v, ok := b.args[name]; ok {
		value = v
	}
	if b.current == nil {
		b.globals[name] = value
		return nil
	}
	b.current.args[name] = value
	return nil
}

// from begins a stage: IMAGE [AS NAME], with an earlier stage, scratch or a base as IMAGE.
func (b *builder) from(text string) error {
	b.mounts.undo()
	words := strings.Fields(text)
	name := strconv.Itoa(len(b.stages))
	switch {
	case len(words) == 3 && strings.EqualFold(words[1], "as"):
		name = words[2]
	case len(words) != 1:
		return fmt.Errorf("%q is not IMAGE or IMAGE AS NAME", text)
	}
	s := &stage{root: filepath.Join(b.work, "stages", name), args: map[string]string{}}
	s.image = image{Env: map[string]string{}, Dir: "/"}
	b.stages[name], b.current = s, s
	if err := os.MkdirAll(s.root, 0o755); err != nil || words[0] == "scratch" {
		return err
	}
	return b.fill(s, words[0])
}

// fill copies a base image's folder and mounts what its commands need.
func (b *builder) fill(s *stage, from string) error {
	base, tag, _ := strings.Cut(from, ":")
	root, ok := b.bases[base]
	if !ok {
		return fmt.Errorf("no folder stands for image %s: give -base %s=ROOT", from, base)
	}
	fmt.Printf("image: no engine, so the folder %s stands for %s:%s\n", root, base, tag)
	s.Env = maps.Clone(baseEnv[base])
	if s.Env == nil {
		s.Env = map[string]string{"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
	}
	if out, err := exec.Command("cp", "-a", "--reflink=auto", root+"/.", s.root).CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	if err := errors.Join(networkFiles(s.root), b.mounts.system(s.root)); err != nil {
		return err
	}
	for _, bind := range b.binds {
		from, to, _ := strings.Cut(bind, ":")
		if err := b.mounts.bind(from, filepath.Join(s.root, to)); err != nil {
			return err
		}
	}
	return nil
}

// run does a RUN in its shell form: /bin/sh -c, with ARG and ENV as its environment.
func (b *builder) run(in instruction) error {
	if b.current == nil {
		return errors.New("before FROM")
	}
	if strings.HasPrefix(in.text, "[") {
		return errors.New("the exec form is not known here")
	}
	env := maps.Clone(b.current.args)
	maps.Copy(env, b.current.Env)
	env["HOME"] = "/root"
	cmd := exec.Command("/bin/sh", "-c", in.text)
	cmd.Dir, cmd.Env = b.current.Dir, environment(env)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: b.current.root}
	return cmd.Run()
}

func environment(values map[string]string) (env []string) {
	for _, name := range slices.Sorted(maps.Keys(values)) {
		env = append(env, name+"="+values[name])
	}
	return env
}

// copy does COPY [--from=STAGE] [--chown=UID:GID] SOURCE... TARGET.
func (b *builder) copy(in instruction, text string) error {
	words := strings.Fields(text)
	if len(words) < 2 || strings.ContainsAny(text, `["*?`) {
		return errors.New("only plain paths are known here: SOURCE... TARGET")
	}
	c := copier{from: b.context, root: b.current.root, ignored: b.ignored, owner: b.owner}
	if name, ok := in.flags["from"]; ok {
		source, ok := b.stages[name]
		if !ok {
			return fmt.Errorf("no stage %s before this one", name)
		}
		c.from, c.ignored = source.root, nil
	}
	if user, ok := in.flags["chown"]; ok {
		ids, err := numericOwner(user)
		if err != nil {
			return err
		}
		c.owner = owner{ids[0], ids[1]}
	}
	target := words[len(words)-1]
	if len(words) > 2 && !strings.HasSuffix(target, "/") {
		return errors.New("the target of several sources must end with /")
	}
	for _, source := range words[:len(words)-1] {
		if err := c.copy(source, keepSlash(b.current.Dir, target)); err != nil {
			return err
		}
	}
	return nil
}

// keepSlash is target from dir on; that it ends with a slash or a dot says that it is a folder.
func keepSlash(dir, target string) string {
	whole := target
	if !path.IsAbs(target) {
		whole = path.Join(dir, target)
	}
	if strings.HasSuffix(target, "/") || path.Base(target) == "." {
		whole += "/"
	}
	return whole
}

func (b *builder) workdir(text string) error {
	s := b.current
	s.Dir = strings.TrimSuffix(keepSlash(s.Dir, text), "/")
	dir := filepath.Join(s.root, s.Dir)
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.MkdirAll(dir, 0o755)
}

// configure does the instructions that only note something.
func (s *stage) configure(in instruction, text string) (err error) {
	switch in.name {
	case "ENV":
		all, err := in.assignments(text)
		for _, a := range all {
			s.Env[a[0]] = a[1]
		}
		return err
	case "EXPOSE":
		s.Ports = append(s.Ports, strings.Fields(text)...)
	case "STOPSIGNAL":
		s.StopSignal = text
	case "USER":
		s.Owner, err = numericOwner(text)
	case "VOLUME":
		s.Volumes, err = in.exec(text)
	case "ENTRYPOINT":
		s.Entrypoint, err = in.exec(text)
	case "CMD":
		s.Cmd, err = in.exec(text)
	case "HEALTHCHECK":
		command, ok := strings.CutPrefix(text, "CMD ")
		if !ok {
			return errors.New("only CMD is known here")
		}
		s.Health, err = in.exec(command)
	default:
		return errors.New("not known here")
	}
	return err
}

// numericOwner reads UID:GID; names are refused, for an engine and a chroot could take them from different files.
func numericOwner(text string) (ids [2]int, err error) {
	user, group, ok := strings.Cut(text, ":")
	if !ok {
		return ids, fmt.Errorf("%q is not UID:GID", text)
	}
	uid, err1 := strconv.Atoi(user)
	gid, err2 := strconv.Atoi(group)
	return [2]int{uid, gid}, errors.Join(err1, err2)
}
