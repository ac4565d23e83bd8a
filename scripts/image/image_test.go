package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestParseReadsInstructionsFlagsAndLongLines(t *testing.T) {
	all, err := parse("# a comment\n\nFROM golang:1.26 AS build\nRUN one && \\\n    # between\n    two\ncopy --from=build --chown=1:2 /a /b/\n")
	require.NoError(t, err)
	require.Len(t, all, 3)
	assert.Equal(t, instruction{3, "FROM", map[string]string{}, "golang:1.26 AS build"}, all[0])
	assert.Equal(t, "one &&  two", all[1].text)
	assert.Equal(t, instruction{7, "COPY", map[string]string{"from": "build", "chown": "1:2"}, "/a /b/"}, all[2])
}

func TestParseRefusesWhatIsNotKnown(t *testing.T) {
	for text, want := range map[string]string{
		"ONBUILD RUN true":               "1: ONBUILD is not known",
		"FROM scratch\nADD a b":          "2: ADD is not known",
		"RUN --mount=type=cache true":    "--mount is not known",
		"COPY --link a b":                "--link is not known",
		"RUN":                            "RUN without arguments",
		"RUN cat <<EOT":                  "here-document",
		"RUN a \\":                       "the last line goes on",
		"# syntax=docker/dockerfile:1":   "directive",
		"FROM --platform=linux/arm64 a":  "--platform is not known",
		"COPY --from=x --chmod=755 a /b": "--chmod is not known",
	} {
		_, err := parse(text)
		assert.ErrorContains(t, err, want, text)
	}
}

// The project's own Dockerfile is of the kind that is known here.
func TestParseTakesTheDockerfile(t *testing.T) {
	text, err := os.ReadFile("../../Dockerfile")
	require.NoError(t, err)
	all, err := parse(string(text))
	require.NoError(t, err)
	assert.Equal(t, "ENTRYPOINT", all[len(all)-1].name)
	_, err = readIgnored("../..")
	assert.NoError(t, err)
}

func TestExpand(t *testing.T) {
	value := func(name string) string { return map[string]string{"A": "1", "B": "2"}[name] }
	text, err := expand(instruction{text: "x$A-${B}${C}y"}, value)
	require.NoError(t, err)
	assert.Equal(t, "x1-2y", text)
	_, err = expand(instruction{text: "${A:-other}"}, value)
	assert.ErrorContains(t, err, "not known")
}

func testBuilder(t *testing.T) *builder {
	t.Helper()
	return &builder{
		options: options{args: pairs{"GIVEN": "given"}}, work: t.TempDir(), context: t.TempDir(),
		owner: owner{os.Getuid(), os.Getgid()}, globals: pairs{}, stages: map[string]*stage{},
	}
}

func (b *builder) must(t *testing.T, text string) {
	t.Helper()
	all, err := parse(text)
	require.NoError(t, err)
	for _, in := range all {
		require.NoError(t, b.do(in), in.text)
	}
}

func TestArgumentsAndEnvironment(t *testing.T) {
	b := testBuilder(t)
	b.must(t, "ARG TAG=1\nARG BASE=scratch\nFROM ${BASE}\nARG TAG\nARG OTHER=x\nARG GIVEN=default\nARG EMPTY\nENV OTHER=env B=\"a b\" C=${TAG}")
	for name, want := range map[string]string{"TAG": "1", "OTHER": "env", "GIVEN": "given", "EMPTY": "", "B": "a b", "C": "1", "BASE": ""} {
		assert.Equal(t, want, b.value(name), name)
	}
}

func TestWhatTheImageSaysOfItself(t *testing.T) {
	b := testBuilder(t)
	b.must(t, `FROM scratch
WORKDIR /a
WORKDIR b
USER 10:20
EXPOSE 1/udp 2
VOLUME ["/v"]
STOPSIGNAL SIGINT
HEALTHCHECK --interval=1s CMD ["/h", "x"]
ENTRYPOINT ["/e"]
CMD ["c"]`)
	assert.Equal(t, image{
		Env: map[string]string{}, Owner: [2]int{10, 20}, Dir: "/a/b", Volumes: []string{"/v"}, Ports: []string{"1/udp", "2"},
		StopSignal: "SIGINT", Health: []string{"/h", "x"}, Entrypoint: []string{"/e"}, Cmd: []string{"c"},
	}, b.current.image)
	assert.DirExists(t, filepath.Join(b.current.root, "a/b"))
}

func TestInstructionsThatAreWrong(t *testing.T) {
	for text, want := range map[string]string{
		"FROM scratch\nUSER ngmq":             "UID:GID",
		"FROM scratch\nCMD run it":            "list of strings",
		"FROM scratch\nHEALTHCHECK NONE":      "only CMD",
		"FROM scratch\nRUN [\"/bin/true\"]":   "exec form",
		"FROM scratch\nCOPY --from=none a /b": "no stage none",
		"FROM scratch\nCOPY *.go /b/":         "only plain paths",
		"FROM scratch\nCOPY a b /c":           "must end with /",
		"FROM scratch\nCOPY nowhere /c":       "no such file",
		"FROM scratch\nENV a b":               "NAME=VALUE",
		"FROM debian:13":                      "-base debian=ROOT",
		"RUN true":                            "before FROM",
		"COPY a b":                            "before FROM",
	} {
		b := testBuilder(t)
		all, err := parse(text)
		require.NoError(t, err, text)
		for _, in := range all {
			err = b.do(in)
		}
		assert.ErrorContains(t, err, want, text)
	}
}

func write(t *testing.T, dir, name, text string, mode os.FileMode) {
	t.Helper()
	path := filepath.Join(dir, name)
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(t, os.WriteFile(path, []byte(text), mode))
}

func TestCopy(t *testing.T) {
	b := testBuilder(t)
	b.ignored = map[string]bool{"dir/secret": true, ".git": true}
	write(t, b.context, "file", "file", 0o644)
	write(t, b.context, "dir/run", "run", 0o755)
	write(t, b.context, "dir/secret", "secret", 0o644)
	write(t, b.context, ".git/config", "config", 0o644)
	require.NoError(t, os.Symlink("run", filepath.Join(b.context, "dir/link")))
	b.must(t, "FROM scratch AS one\nWORKDIR /src\nCOPY file dir/run ./\nCOPY dir/ sub/\nCOPY file renamed\nCOPY . /all\n"+
		"FROM scratch\nCOPY --from=one /src/ /\nCOPY --from=one /src/file /sub/run")
	for name, want := range map[string]string{"file": "file", "run": "run", "sub/link": "run", "renamed": "file", "sub/run": "file"} {
		text, err := os.ReadFile(filepath.Join(b.current.root, name))
		if name == "sub/link" {
			want = "file" // through the link, to what came last
		}
		require.NoError(t, err)
		assert.Equal(t, want, string(text), name)
	}
	info, err := os.Stat(filepath.Join(b.current.root, "run"))
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o755), info.Mode())
	assert.NoFileExists(t, filepath.Join(b.current.root, "sub/secret"))
	assert.DirExists(t, filepath.Join(b.stages["one"].root, "all/dir"))
	assert.NoDirExists(t, filepath.Join(b.stages["one"].root, "all/.git"))
	total, err := size(b.current.root)
	require.NoError(t, err)
	assert.EqualValues(t, len("file")*3+len("run"), total)
}

func TestDockerignoreIsPlain(t *testing.T) {
	for _, pattern := range []string{"*.out", "!keep", "bin/"} {
		dir := t.TempDir()
		write(t, dir, ".dockerignore", "# comment\n\n"+pattern+"\n", 0o644)
		_, err := readIgnored(dir)
		assert.ErrorContains(t, err, "not known", pattern)
	}
}

// A folder with a mount in it is not removed.
func TestMountedBelow(t *testing.T) {
	const info = "22 1 254:0 / / rw shared:1 - ext4 /dev/vda rw\n90 22 254:0 /go /srv/stages/build/usr/local/go rw - ext4 /dev/vda rw\n"
	assert.Equal(t, "/srv/stages/build/usr/local/go", mountedBelow(info, "/srv"))
	assert.Equal(t, "/srv/stages/build/usr/local/go", mountedBelow(info, "/srv/stages/build/usr/local/go"))
	assert.Empty(t, mountedBelow(info, "/srv/stages/b"))
	assert.NoError(t, nothingMounted(t.TempDir()))
}
