package output

import (
	"fmt"
	"strings"
	"time"
)

// layouts are the letters of strftime(3) that package time has a layout for, in the
// C locale.
var layouts = map[byte]string{
	'a': "Mon", 'A': "Monday", 'b': "Jan", 'B': "January", 'c': "Mon Jan _2 15:04:05 2006", 'd': "02", 'D': "01/02/06",
	'e': "_2", 'F': "2006-01-02", 'h': "Jan", 'H': "15", 'I': "03", 'j': "002", 'm': "01", 'M': "04", 'p': "PM",
	'r': "03:04:05 PM", 'R': "15:04", 'S': "05", 'T': "15:04:05", 'x': "01/02/06", 'X': "15:04:05", 'y': "06", 'Y': "2006",
	'z': "-0700", 'Z': "MST",
}

// computed are those that take some arithmetic.
var computed = map[byte]func(time.Time) string{
	'%': func(time.Time) string { return "%" },
	'n': func(time.Time) string { return "\n" },
	't': func(time.Time) string { return "\t" },
	'C': func(t time.Time) string { return fmt.Sprintf("%02d", t.Year()/100) },
	'g': func(t time.Time) string { year, _ := t.ISOWeek(); return fmt.Sprintf("%02d", year%100) },
	'G': func(t time.Time) string { year, _ := t.ISOWeek(); return fmt.Sprint(year) },
	'k': func(t time.Time) string { return fmt.Sprintf("%2d", t.Hour()) },
	'l': func(t time.Time) string { return fmt.Sprintf("%2d", (t.Hour()+11)%12+1) },
	'N': func(t time.Time) string { return fmt.Sprintf("%09d", t.Nanosecond()) }, // mosquitto_sub's own
	'P': func(t time.Time) string { return strings.ToLower(t.Format("PM")) },
	's': func(t time.Time) string { return fmt.Sprint(t.Unix()) },
	'u': func(t time.Time) string { return fmt.Sprint((int(t.Weekday())+6)%7 + 1) },
	'w': func(t time.Time) string { return fmt.Sprint(int(t.Weekday())) },
	'U': func(t time.Time) string { return fmt.Sprintf("%02d", (t.YearDay()+6-int(t.Weekday()))/7) },
	'V': func(t time.Time) string { _, week := t.ISOWeek(); return fmt.Sprintf("%02d", week) },
	'W': func(t time.Time) string { return fmt.Sprintf("%02d", (t.YearDay()+6-(int(t.Weekday())+6)%7)/7) },
}

// knownTime reports whether strftime has the letter.
func knownTime(letter byte) bool {
	return layouts[letter] != "" || computed[letter] != nil
}

func appendTime(dst []byte, letter byte, t time.Time) []byte {
	if layout := layouts[letter]; layout != "" {
		return t.AppendFormat(dst, layout)
	}
	return append(dst, computed[letter](t)...)
}
