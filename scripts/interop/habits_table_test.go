package interop

import (
	"crypto/tls"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// behaviour is one of those that mqtt clients with several streams rely on.
type behaviour struct {
	name string
	run  func(t *testing.T, p *place)
	once bool // it makes its own path
	// cell says whether a client has a test, and what is different in it; nil: all have.
	cell func(h habit) (runs bool, note string)
}

// behaviours are the rows of the table.
func behaviours() []behaviour {
	return slices.Concat(dataBehaviours, endBehaviours, aloneBehaviours, earlyBehaviours)
}

// habits are its columns.
func habits() []habit {
	ofX := nanoNNG(dialX)
	ofX.name, ofX.noMigration = ofX.name+" on x/net/quic", true
	ofQuiche := emqtt(dialQuicheMux)
	ofQuiche.name, ofQuiche.noMigration, ofQuiche.quiche, ofQuiche.early = ofQuiche.name+" on quiche, clean path", true, true, false
	return []habit{emqtt(dialGo), nanoNNG(dialGo), flowsdk(dialGo), mqttLib(dialGo), ofX, ofQuiche}
}

// Notes of cells.
const (
	noteOnControl = "it subscribes on the control stream alone"
	noteNotThere  = "it publishes on data streams alone"
	noteNoEarly   = "without early data: sent before the CONNACK has come"
)

func needsData(h habit) (bool, string) {
	if !h.onData {
		return false, noteOnControl
	}
	return true, ""
}

func subscribesOnData(h habit) (bool, string) {
	switch {
	case !h.onData:
		return true, noteOnControl
	case !h.onControl:
		return true, noteNotThere
	}
	return true, ""
}

func queuesEarly(h habit) (bool, string) {
	if !h.early {
		return true, noteNoEarly
	}
	return true, ""
}

func needsTickets(h habit) (bool, string) {
	if h.quiche {
		return false, noteQuicheSessions
	}
	return true, ""
}

func (b behaviour) of(h habit) (bool, string) {
	if b.cell == nil {
		return true, ""
	}
	return b.cell(h)
}

// habitsBroker serves the emulated clients, with early data and small packets.
var habitsBroker = sharedBroker(func() []string { return []string{"--early-data", "on", "--max-packet-size", "1000000"} })

// sharedBroker is started by the first test that needs it and stopped by TestMain.
func sharedBroker(args func() []string) func() (*brokerProcess, error) {
	return sync.OnceValues(func() (*brokerProcess, error) {
		if err := makeCerts(); err != nil {
			return nil, err
		}
		b, err := startBroker(args()...)
		if err == nil {
			shared.Lock()
			defer shared.Unlock()
			shared.running = append(shared.running, b)
		}
		return b, err
	})
}

var shared struct {
	sync.Mutex
	running []*brokerProcess
}

// habitResults are the cells that were run, by client and behaviour.
var habitResults results

// TestHabits: clients in use, each with its own way to use streams, over a clean path and a bad one.
func TestHabits(t *testing.T) {
	runHabits(t, habits()[:len(habits())-1])
}

func runHabits(t *testing.T, list []habit) {
	b, err := habitsBroker()
	require.NoError(t, err)
	for _, h := range list {
		for _, row := range behaviours() {
			if runs, _ := row.of(h); !runs {
				continue
			}
			for _, bad := range row.paths(h) {
				t.Run(habitCase(h.name, row.name, bad), func(t *testing.T) {
					t.Parallel()
					t.Cleanup(func() { habitResults.record(h.name, row.name, !t.Failed()) })
					row.run(t, newPlace(t, b, h, bad))
				})
			}
		}
	}
}

func habitCase(client, name string, bad bool) string {
	path := "clean path"
	if bad {
		path = "bad path"
	}
	return strings.NewReplacer(" ", "_", "/", "_").Replace(client) + "/" + strings.NewReplacer(" ", "_", "/", "_").Replace(name) + "/" + strings.ReplaceAll(path, " ", "_")
}

// newPlace is a client with a path of its own to the broker.
func newPlace(t *testing.T, b *brokerProcess, h habit, bad bool) *place {
	t.Helper()
	p := &place{habit: h, broker: b, bad: bad}
	if bad {
		p.path = startProxy(t, b.quic)
	} else {
		p.path = startPath(t, b.quic)
	}
	var err error
	p.config, err = b.tlsConfig("mqtt")
	require.NoError(t, err)
	p.config.ClientSessionCache = newTicketCache()
	p.secure = p.config.Clone()
	p.secure.ClientSessionCache = tls.NewLRUClientSessionCache(10)
	return p
}

// ranHabits is the table of this run; empty when no cell was run.
func ranHabits() string { return habitResults.print(habitsTable) }

// habitsTable is the table behaviour x client in Markdown.
func habitsTable(result func(client, name string) string) string {
	list, behaviours := habits(), behaviours()
	var clients, names []string
	for _, h := range list {
		clients = append(clients, h.name)
	}
	for _, b := range behaviours {
		names = append(names, b.name)
	}
	return markdown("behaviour", clients, names, func(i, j int) (text, note string) {
		runs, note := behaviours[j].of(list[i])
		if runs {
			text = result(clients[i], names[j])
		}
		return text, note
	})
}

// paths are those on which a behaviour is tried: a clean one, a bad one. With quiche in its npm package streams
// stand still for half a minute and more on a bad path.
func (b behaviour) paths(h habit) []bool {
	if b.once || h.quiche {
		return []bool{false}
	}
	return []bool{false, true}
}
