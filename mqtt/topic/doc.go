// Package topic has the rules of MQTT topic names and topic filters (MQTT 5.0
// section 4.7 and 4.8.2) and the two trees that a server needs:
//
//	Tree    subscriptions: filters are stored, a name is looked up    (PUBLISH)
//	Names   retained messages: names are stored, a filter is looked up (SUBSCRIBE)
//
// Both cost by the number of levels and by what matches, not by how much is stored;
// but a "+" or "#" looks at all names below the level where it stands.
//
// # Words
//
// A name or filter is a sequence of levels separated by '/'. Levels may be empty:
// "/a" has the two levels "" and "a". In a filter the level "+" stands for any one
// level, and "#", only as the last level, for the level above it and everything
// below: "sport/#" matches "sport". Wildcards in the first level do not match names
// that begin with '$' [MQTT-4.7.2-1]. Comparison is byte by byte [MQTT-4.7.3-4].
//
// # Ownership
//
//	what            who may use it
//	Tree            any goroutine; a read-write lock inside, readers share it
//	values in Tree  the tree keeps copies; Match copies them out
//	Names           one goroutine at a time, or many that only read: the caller locks,
//	                during each step of a Match
//	filters, names  the trees keep their own copies of the levels
package topic
