package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/ngmq/ngmq/mqtt/client"
	"github.com/ngmq/ngmq/mqtt/packet"
	"github.com/ngmq/ngmq/mqtt/scram"
)

// credential is the command that makes a line of the file of --scram-users.
type credential struct {
	User       string `arg:"" help:"Name of the user."`
	Iterations int    `env:"-" placeholder:"N" default:"${iterations}" help:"Work for each login and for each guess at the password; at least 4096. Default: ${default}."`
}

// Run implements the credential command: it reads the password from standard input, a
// line, so that it is in no list of processes.
func (c *credential) Run(stdin io.Reader, stdout io.Writer) error {
	line, err := bufio.NewReader(stdin).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	password := strings.TrimRight(line, "\r\n")
	if _, err := scram.NewClient(c.User, password); err != nil {
		return fmt.Errorf("%w; give the password as a line on standard input", err)
	}
	made, err := scram.NewCredential(password, c.Iterations)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(stdout, "%s:%s\n", c.User, made)
	return err
}

// readUsers reads the file of --scram-users: a line "user:credential" per user; empty
// ones and those that begin with '#' are left out.
func readUsers(name string) (scram.Users, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("--scram-users: %w; make its lines with ngmqd credential USER", err)
	}
	users := scram.Users{}
	for i, line := range strings.Split(string(text), "\n") {
		line = strings.TrimRight(line, "\r")
		if line == "" || line[0] == '#' {
			continue
		}
		at := strings.LastIndex(line, ":"+scram.Method+"$")
		if at <= 0 {
			return nil, fmt.Errorf("--scram-users: %s, line %d: not USER:%s$...; make it with ngmqd credential USER", name, i+1, scram.Method)
		}
		user := line[:at]
		if _, known := users[user]; known {
			return nil, fmt.Errorf("--scram-users: %s, line %d: user %q is there already", name, i+1, user)
		}
		if users[user], err = scram.ParseCredential(line[at+1:]); err != nil {
			return nil, fmt.Errorf("--scram-users: %s, line %d: %w; make it with ngmqd credential USER", name, i+1, err)
		}
	}
	return users, nil
}

// asksForCredentials says whether a server has refused a client that has none, and so
// answers.
func asksForCredentials(err error) bool {
	var refused *client.ReasonError
	return errors.As(err, &refused) && refused.Packet == packet.CONNACK && refused.Code == packet.NotAuthorized
}
