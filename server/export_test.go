package server

import "time"

// PollFiles sets how often files that may change are looked at; before Run.
func (s *Server) PollFiles(every time.Duration) {
	s.revoked.poll, s.tickets.poll, s.rotation.poll = every, every, every
}
