package main

import (
	"cmp"
	"fmt"
	"io"
	"regexp"
	"strings"

	"github.com/alecthomas/kong"
)

// helpCommand prints the manual.
type helpCommand struct {
	Command []string `arg:"" optional:"" help:"The command. Default: an overview."`
	Man     bool     `help:"As the source of a manual page, all commands in one."`
}

// Run prints the manual of a command, or of all.
func (h *helpCommand) Run(c *console, app *kong.Kong) error {
	if h.Man {
		writeMan(c.stdout, app.Model.Node)
		return nil
	}
	node := app.Model.Node
	for _, name := range h.Command {
		parent := node
		if node = child(parent, name); node == nil {
			return fmt.Errorf("there is no command %q: one of %s", name, strings.Join(commandNames(parent), ", "))
		}
	}
	writePage(&textPage{w: c.stdout}, node)
	return nil
}

func child(parent *kong.Node, name string) *kong.Node {
	for _, node := range parent.Children {
		if node.Name == name {
			return node
		}
	}
	return nil
}

func commandNames(root *kong.Node) []string {
	var names []string
	for _, node := range root.Children {
		names = append(names, node.Name)
	}
	return names
}

// page is what a manual is written to.
type page interface {
	section(title string)
	paragraph(text string)
	verbatim(text string)
	item(term, text string)
}

// manualName is the key of a node in manuals: its names without the program's.
func manualName(node *kong.Node) string {
	if node.Parent == nil {
		return ""
	}
	return strings.TrimSpace(manualName(node.Parent) + " " + node.Name)
}

// writePage writes the manual of a command.
func writePage(p page, node *kong.Node) {
	text := manuals[manualName(node)]
	p.section("NAME")
	p.paragraph(strings.TrimSpace("ngmq "+manualName(node)) + " - " + cmp.Or(firstSentence(node.Help), node.Help))
	p.section("SYNOPSIS")
	p.verbatim(synopsis(node))
	if len(text.description) > 0 {
		p.section("DESCRIPTION")
	}
	for _, paragraph := range text.description {
		p.paragraph(paragraph)
	}
	writeCommands(p, node)
	writeFlags(p, node)
	for _, list := range text.lists {
		p.section(list.title)
		for _, item := range list.items {
			p.item(item[0], item[1])
		}
	}
	writeEnd(p, text)
}

func writeEnd(p page, text manual) {
	p.section("EXIT STATUS")
	for _, item := range exitStatuses {
		p.item(item[0], item[1])
	}
	if len(text.examples) > 0 {
		p.section("EXAMPLES")
	}
	for _, example := range text.examples {
		p.paragraph(example[0])
		p.verbatim(example[1])
	}
}

func firstSentence(text string) string {
	sentence, _, _ := strings.Cut(text, "\n")
	return strings.TrimSuffix(sentence, ".")
}

func synopsis(node *kong.Node) string {
	if len(node.Children) > 0 {
		return strings.TrimSpace("ngmq "+manualName(node)) + " COMMAND [FLAGS]"
	}
	parts := []string{"ngmq", manualName(node), "[FLAGS]"}
	for _, arg := range node.Positional {
		parts = append(parts, arg.Summary())
	}
	return strings.Join(parts, " ")
}

func writeCommands(p page, node *kong.Node) {
	if len(node.Children) == 0 {
		return
	}
	p.section("COMMANDS")
	for _, c := range node.Children {
		p.item(c.Name, c.Help)
	}
}

// writeFlags writes the arguments and flags, those of a group together.
func writeFlags(p page, node *kong.Node) {
	if len(node.Positional) > 0 {
		p.section("ARGUMENTS")
		for _, arg := range node.Positional {
			p.item(arg.Summary(), arg.Help)
		}
	}
	var groups []string
	byGroup := map[string][]*kong.Flag{}
	for _, flag := range node.Flags {
		title := "FLAGS"
		if flag.Group != nil {
			title = strings.ToUpper(flag.Group.Title)
		}
		if byGroup[title] == nil {
			groups = append(groups, title)
		}
		byGroup[title] = append(byGroup[title], flag)
	}
	for _, title := range groups {
		p.section(title)
		for _, flag := range byGroup[title] {
			p.item(flag.String(), flag.Help)
		}
	}
}

// textWidth is how wide the text of a manual is, in characters.
const textWidth = 79

// textPage is a manual for the terminal.
type textPage struct {
	w     io.Writer
	begun bool
	inner bool // something stands in the section
}

func (t *textPage) section(title string) {
	if t.begun {
		fmt.Fprintln(t.w)
	}
	t.begun, t.inner = true, false
	fmt.Fprintln(t.w, title)
}

func (t *textPage) paragraph(text string) {
	if t.inner {
		fmt.Fprintln(t.w)
	}
	t.inner = true
	t.wrap("  ", text)
}

func (t *textPage) verbatim(text string) { fmt.Fprintln(t.w, "    "+text) }

// item puts short terms beside their text and long ones above it.
func (t *textPage) item(term, text string) {
	const column = 26
	if len(term) < column-3 {
		t.wrap(fmt.Sprintf("  %-*s", column-2, term), text)
		return
	}
	fmt.Fprintln(t.w, "  "+term)
	t.wrap(strings.Repeat(" ", column), text)
}

// wrap prints text after first, further lines as far to the right.
func (t *textPage) wrap(first, text string) {
	line, indent := first, strings.Repeat(" ", len(first))
	for i, word := range strings.Fields(text) {
		if i > 0 && len(line)+1+len(word) > textWidth {
			fmt.Fprintln(t.w, line)
			line = indent + word
			continue
		}
		if i > 0 {
			line += " "
		}
		line += word
	}
	fmt.Fprintln(t.w, strings.TrimRight(line, " "))
}

// manPage is a manual in the man(7) macros.
type manPage struct {
	w     io.Writer
	level string // SH, or SS within a command
}

// writeMan writes the overview and every command as one page.
func writeMan(w io.Writer, root *kong.Node) {
	fmt.Fprintf(w, ".TH NGMQ 1 \"\" %q \"User Commands\"\n", "ngmq "+ownVersion())
	writePage(&manPage{w, "SH"}, root)
	for _, node := range root.Children {
		for _, leaf := range append([]*kong.Node{node}, node.Children...) {
			fmt.Fprintf(w, ".SH %s\n", roff(strings.ToUpper(manualName(leaf))))
			writePage(&manPage{w, "SS"}, leaf)
		}
	}
}

func (m *manPage) section(title string)   { fmt.Fprintf(m.w, ".%s %s\n", m.level, roff(title)) }
func (m *manPage) paragraph(text string)  { fmt.Fprintf(m.w, ".PP\n%s\n", roff(text)) }
func (m *manPage) verbatim(text string)   { fmt.Fprintf(m.w, ".PP\n.EX\n%s\n.EE\n", roff(text)) }
func (m *manPage) item(term, text string) { fmt.Fprintf(m.w, ".TP\n%s\n%s\n", roff(term), roff(text)) }

var roffSpecial = strings.NewReplacer(`\`, `\e`, "-", `\-`, "~", `\(ti`, "^", `\(ha`, "`", `\(ga`, "'", `\(aq`)

var leadingControl = regexp.MustCompile(`(?m)^([.'])`)

// roff escapes text for man(7).
func roff(text string) string {
	return leadingControl.ReplaceAllString(roffSpecial.Replace(text), `\&$1`)
}
