package main

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
)

// instruction is one instruction of a Dockerfile.
type instruction struct {
	line  int
	name  string            // in capitals
	flags map[string]string // --name=value
	text  string            // what follows
}

// known are the instructions, with the flags that are understood.
var known = map[string][]string{
	"FROM": nil, "ARG": nil, "ENV": nil, "WORKDIR": nil, "COPY": {"from", "chown"}, "RUN": nil, "USER": nil, "EXPOSE": nil,
	"VOLUME": nil, "STOPSIGNAL": nil, "HEALTHCHECK": {"interval", "timeout", "start-period", "retries"}, "ENTRYPOINT": nil, "CMD": nil,
}

// parse reads all instructions. An instruction or a flag that is not known is an error.
func parse(text string) ([]instruction, error) {
	var all []instruction
	var open *instruction // its line goes on
	for i, line := range strings.Split(text, "\n") {
		trimmed := strings.TrimSpace(line)
		if trimmed == "" || trimmed[0] == '#' {
			if strings.HasPrefix(strings.ReplaceAll(trimmed, " ", ""), "#syntax=") || strings.HasPrefix(strings.ReplaceAll(trimmed, " ", ""), "#escape=") {
				return nil, fmt.Errorf("%d: directive %s is not known here", i+1, trimmed)
			}
			continue
		}
		body, more := strings.CutSuffix(trimmed, `\`)
		if open == nil {
			name, rest, _ := strings.Cut(body, " ")
			open = &instruction{line: i + 1, name: strings.ToUpper(name), text: rest}
		} else {
			open.text += " " + body
		}
		if more {
			continue
		}
		if err := open.finish(); err != nil {
			return nil, err
		}
		all, open = append(all, *open), nil
	}
	if open != nil {
		return nil, fmt.Errorf("%d: the last line goes on", open.line)
	}
	return all, nil
}

// finish takes the flags out of the text and checks them.
func (in *instruction) finish() error {
	understood, ok := known[in.name]
	if !ok {
		return fmt.Errorf("%d: %s is not known here", in.line, in.name)
	}
	in.flags = map[string]string{}
	in.text = strings.TrimSpace(in.text)
	for strings.HasPrefix(in.text, "--") {
		word, rest, _ := strings.Cut(in.text, " ")
		name, value, _ := strings.Cut(word[2:], "=")
		if !contains(understood, name) {
			return fmt.Errorf("%d: %s --%s is not known here", in.line, in.name, name)
		}
		in.flags[name], in.text = value, strings.TrimSpace(rest)
	}
	if in.text == "" || strings.Contains(in.text, "<<") {
		return fmt.Errorf("%d: %s without arguments, or with a here-document", in.line, in.name)
	}
	return nil
}

func contains(all []string, one string) bool {
	for _, s := range all {
		if s == one {
			return true
		}
	}
	return false
}

// exec is the text as a command in exec form, the only one that works without a shell.
func (in *instruction) exec(text string) (words []string, err error) {
	if err := json.Unmarshal([]byte(text), &words); err != nil || len(words) == 0 {
		return nil, fmt.Errorf("%d: %s must be a list of strings such as [\"/bin/true\"]", in.line, in.name)
	}
	return words, nil
}

var (
	variable   = regexp.MustCompile(`\$(\w+|\{[^}]*\})`)
	plainName  = regexp.MustCompile(`^\w+$`)
	assignment = regexp.MustCompile(`^(\w+)=("[^"\\]*"|[^\s"'\\]*)(\s+|$)`)
)

// expand puts values in place of $NAME and ${NAME}; other forms are an error, a name without a value is empty.
func expand(in instruction, value func(string) string) (text string, err error) {
	text = variable.ReplaceAllStringFunc(in.text, func(match string) string {
		name := strings.Trim(match, "${}")
		if !plainName.MatchString(name) {
			err = fmt.Errorf("%d: %s is not known here", in.line, match)
		}
		return value(name)
	})
	return text, err
}

// assignments splits NAME=VALUE NAME="VALUE" ....
func (in *instruction) assignments(text string) (all [][2]string, err error) {
	for text != "" {
		m := assignment.FindStringSubmatch(text)
		if m == nil {
			return nil, fmt.Errorf("%d: %s: %q is not NAME=VALUE", in.line, in.name, text)
		}
		all = append(all, [2]string{m[1], strings.Trim(m[2], `"`)})
		text = text[len(m[0]):]
	}
	return all, nil
}
