package formtoken

// Began reports whether the value of a wanted field has been found or is being read.
func (s *Scanner) Began(name string) bool {
	for _, f := range s.names.fields {
		if f.name == name && !f.charset {
			return f.found || s.open == f
		}
	}
	return false
}
