// Command image carries out a Dockerfile where no container engine runs, in chroot, and starts what comes out.
//
//	image build -work DIR -base golang=ROOT [-bind FROM:TO]... [-arg NAME=VALUE]... CONTEXT
//	image run   -work DIR [-env NAME=VALUE]... [ARGUMENT...]
//	image exec  -work DIR [-env NAME=VALUE]... [COMMAND...]
//
//	parse (all instructions, strictly) -> one root per stage: COPY, RUN in chroot -> DIR/rootfs, DIR/image.json
//	image.json -> a container's root, read-only but for its volumes -> the command as the image's user
//
// It knows the instructions and forms that this project's Dockerfile uses and refuses all others, so that it never
// does something else than an engine would. It needs root, and should have a mount namespace of its own
// (scripts/test_image.sh makes one) because it mounts in the roots. Differences to an engine: a base image is a folder
// that the caller names, no layer is kept, and a running command shares the network and the limits of this machine.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

func main() {
	if err := command(os.Args[1:]); err != nil {
		var ended *exitStatus
		if errors.As(err, &ended) {
			os.Exit(ended.status)
		}
		fmt.Fprintf(os.Stderr, "image: %s\n", err)
		os.Exit(125) // as docker run: the failure is ours, not the command's
	}
}

func command(args []string) error {
	if len(args) == 0 {
		return errors.New("use: image build|run|exec")
	}
	flags := flag.NewFlagSet("image "+args[0], flag.ContinueOnError)
	work := flags.String("work", "", "folder of what is built")
	base, buildArgs, env := pairs{}, pairs{}, pairs{}
	var binds list
	flags.Var(base, "base", "IMAGE=ROOT: the folder that stands for a base image, by its name without the tag")
	flags.Var(buildArgs, "arg", "NAME=VALUE for ARG")
	flags.Var(&binds, "bind", "FROM:TO, a folder of this machine to see in base images")
	flags.Var(env, "env", "NAME=VALUE beside the ENV of the image")
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	if *work == "" {
		return errors.New("name a folder with -work")
	}
	switch args[0] {
	case "build":
		if flags.NArg() != 1 {
			return errors.New("name the context, one folder")
		}
		return build(*work, flags.Arg(0), options{base, buildArgs, binds})
	case "run":
		return run(*work, env, flags.Args())
	case "exec":
		return inside(*work, env, flags.Args())
	}
	return fmt.Errorf("no command %s; use build, run or exec", args[0])
}

// build reads CONTEXT/Dockerfile and leaves the image of its last stage in work.
func build(work, context string, o options) error {
	text, err := os.ReadFile(filepath.Join(context, "Dockerfile"))
	if err != nil {
		return err
	}
	instructions, err := parse(string(text))
	if err != nil {
		return fmt.Errorf("Dockerfile:%w", err)
	}
	ignored, err := readIgnored(context)
	if err != nil {
		return err
	}
	b := &builder{options: o, work: work, context: context, ignored: ignored, globals: pairs{}, stages: map[string]*stage{}}
	return b.build(instructions)
}

// pairs is a flag that takes NAME=VALUE many times.
type pairs map[string]string

func (p pairs) String() string { return "" }

// Set implements flag.Value.
func (p pairs) Set(s string) error {
	name, value, ok := strings.Cut(s, "=")
	if !ok || name == "" {
		return fmt.Errorf("%q is not NAME=VALUE", s)
	}
	p[name] = value
	return nil
}

// list is a flag that may be repeated.
type list []string

func (l *list) String() string { return strings.Join(*l, " ") }

// Set implements flag.Value.
func (l *list) Set(s string) error {
	*l = append(*l, s)
	return nil
}
