package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// completionCommand prints what a shell needs to complete command lines.
type completionCommand struct {
	Shell string `arg:"" enum:"bash,zsh,fish" help:"bash, zsh or fish."`
}

// Run prints the script.
func (s *completionCommand) Run(c *console, app *kong.Kong) error {
	root := app.Model.Node
	switch s.Shell {
	case "bash":
		bashCompletion(c.stdout, root)
	case "zsh":
		zshCompletion(c.stdout, root)
	case "fish":
		fishCompletion(c.stdout, root)
	}
	return nil
}

// values are the words that a flag may be given; nil when they are not known.
func values(f *kong.Flag) []string {
	switch {
	case f.Enum != "":
		return strings.Split(f.Enum, ",")
	case f.Name == "qos" || f.Name == "will-qos":
		return []string{"0", "1", "2"}
	case f.Name == "protocol-version":
		return []string{"mqttv5", "mqttv311", "mqttv31"}
	case f.Name == "url":
		return []string{"quic://", "mqtts://", "mqtt://", "wss://", "ws://", "unix:///"}
	case f.Name == "property":
		return strings.Split(sortedKeys(commands), ", ")
	}
	return nil
}

// file says whether the value of a flag is a path.
func file(f *kong.Flag) bool {
	return slices.Contains([]string{"FILE", "DIR", "PATH"}, f.PlaceHolder)
}

// names of a flag, with their hyphens.
func names(f *kong.Flag) []string {
	list := []string{"--" + f.Name}
	if f.Short != 0 {
		list = append(list, "-"+string(f.Short))
	}
	return list
}

// flags of a command, and of the commands below it, each once.
func flags(node *kong.Node) []*kong.Flag {
	list := slices.Clone(node.Flags)
	for _, c := range node.Children {
		for _, f := range c.Flags {
			if !slices.ContainsFunc(list, func(have *kong.Flag) bool { return have.Name == f.Name }) {
				list = append(list, f)
			}
		}
	}
	return list
}

// words that may follow a command without a flag.
func words(node *kong.Node) []string {
	switch node.Name {
	case "bench":
		return commandNames(node)
	case "help":
		return commandNames(node.Parent)
	case "completion":
		return []string{"bash", "zsh", "fish"}
	}
	return nil
}

func bashCompletion(w io.Writer, root *kong.Node) {
	fmt.Fprint(w, "# bash completion of ngmq: source <(ngmq completion bash)\n_ngmq() {\n"+
		"  local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}\n  COMPREPLY=()\n"+
		"  if [ \"$COMP_CWORD\" -eq 1 ]; then\n")
	fmt.Fprintf(w, "    COMPREPLY=($(compgen -W %q -- \"$cur\"))\n    return\n  fi\n  case ${COMP_WORDS[1]} in\n", strings.Join(append(commandNames(root), "--help"), " "))
	for _, node := range root.Children {
		fmt.Fprintf(w, "  %s)\n", node.Name)
		bashFlags(w, node)
		fmt.Fprint(w, "    ;;\n")
	}
	fmt.Fprint(w, "  esac\n}\ncomplete -o bashdefault -F _ngmq ngmq\n")
}

// bashFlags completes the value of the flag before the cursor, else flags and words.
func bashFlags(w io.Writer, node *kong.Node) {
	var all []string
	fmt.Fprint(w, "    case $prev in\n")
	for _, f := range flags(node) {
		all = append(all, names(f)...)
		pattern := strings.Join(names(f), "|")
		switch v := values(f); {
		case f.IsBool():
		case f.Name == "url": // the rest of it is still to be typed
			fmt.Fprintf(w, "    %s) compopt -o nospace; COMPREPLY=($(compgen -W %q -- \"$cur\")); return ;;\n", pattern, strings.Join(v, " "))
		case v != nil:
			fmt.Fprintf(w, "    %s) COMPREPLY=($(compgen -W %q -- \"$cur\")); return ;;\n", pattern, strings.Join(v, " "))
		case file(f):
			fmt.Fprintf(w, "    %s) compopt -o filenames; COMPREPLY=($(compgen -f -- \"$cur\")); return ;;\n", pattern)
		default:
			fmt.Fprintf(w, "    %s) return ;;\n", pattern)
		}
	}
	fmt.Fprintf(w, "    esac\n    COMPREPLY=($(compgen -W %q -- \"$cur\"))\n", strings.Join(append(all, words(node)...), " "))
}

// quoted is text in single quotes for zsh and fish.
func quoted(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }

// short is the first sentence of a help text.
func short(help string) string {
	sentence, _, _ := strings.Cut(help, ". ")
	return strings.TrimSuffix(sentence, ".")
}

func zshCompletion(w io.Writer, root *kong.Node) {
	fmt.Fprint(w, "#compdef ngmq\n_ngmq() {\n  if (( CURRENT == 2 )); then\n    local -a commands=(\n")
	for _, node := range root.Children {
		fmt.Fprintf(w, "      %s\n", quoted(node.Name+":"+node.Help))
	}
	fmt.Fprint(w, "    )\n    _describe command commands\n    return\n  fi\n  local command=$words[2]\n  shift words\n  (( CURRENT-- ))\n  case $command in\n")
	for _, node := range root.Children {
		fmt.Fprintf(w, "  %s)\n    _arguments", node.Name)
		for _, f := range flags(node) {
			zshFlag(w, f)
		}
		if list := words(node); list != nil {
			fmt.Fprintf(w, " \\\n      %s", quoted("1:word:("+strings.Join(list, " ")+")"))
		}
		fmt.Fprint(w, "\n    ;;\n")
	}
	fmt.Fprint(w, "  esac\n}\nif [ \"$funcstack[1]\" = _ngmq ]; then _ngmq \"$@\"; else compdef _ngmq ngmq; fi\n")
}

var zshHelp = strings.NewReplacer("[", "(", "]", ")", ":", " ")

func zshFlag(w io.Writer, f *kong.Flag) {
	action := ""
	switch v := values(f); {
	case f.IsBool():
	case v != nil:
		action = ":" + f.Name + ":(" + strings.ReplaceAll(strings.Join(v, " "), ":", `\:`) + ")"
	case file(f):
		action = ":file:_files"
	default:
		action = ":" + f.Name + ": "
	}
	for _, name := range names(f) {
		fmt.Fprintf(w, " \\\n      %s", quoted("*"+name+"["+zshHelp.Replace(short(f.Help))+"]"+action))
	}
}

func fishCompletion(w io.Writer, root *kong.Node) {
	fmt.Fprint(w, "# fish completion of ngmq\ncomplete -c ngmq -f\n")
	for _, node := range root.Children {
		fmt.Fprintf(w, "complete -c ngmq -n __fish_use_subcommand -a %s -d %s\n", node.Name, quoted(node.Help))
	}
	for _, node := range root.Children {
		seen := fmt.Sprintf("complete -c ngmq -n '__fish_seen_subcommand_from %s'", node.Name)
		if list := words(node); list != nil {
			fmt.Fprintf(w, "%s -a %s\n", seen, quoted(strings.Join(list, " ")))
		}
		for _, f := range flags(node) {
			fishFlag(w, seen, f)
		}
	}
}

func fishFlag(w io.Writer, seen string, f *kong.Flag) {
	fmt.Fprintf(w, "%s -l %s", seen, f.Name)
	if f.Short != 0 {
		fmt.Fprintf(w, " -s %c", f.Short)
	}
	switch v := values(f); {
	case f.IsBool():
	case v != nil:
		fmt.Fprintf(w, " -x -a %s", quoted(strings.Join(v, " ")))
	case file(f):
		fmt.Fprint(w, " -r -F")
	default:
		fmt.Fprint(w, " -x")
	}
	fmt.Fprintf(w, " -d %s\n", quoted(short(f.Help)))
}
