package web

import (
	"fmt"
	"net/mail"
	"net/url"
	"strings"
)

// ValidateContact reports what is wrong with a contact: it is the http or https
// URL of a page, or a mail address.
func ValidateContact(contact string) error {
	_, err := contactLink(contact, "")
	return err
}

// contactLink returns the link to a contact. A mail gets the reference as its
// subject.
func contactLink(contact, reference string) (string, error) {
	if u, err := url.Parse(contact); err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != "" {
		return u.String(), nil
	}
	address, err := mail.ParseAddress(contact)
	if err != nil || address.Address != contact || strings.ContainsAny(contact, " \"<>:") {
		return "", fmt.Errorf("contact %q: write the https:// URL of a page, or a mail address like help@example.com", contact)
	}
	link := "mailto:" + strings.ReplaceAll(url.QueryEscape(contact), "%40", "@")
	if reference != "" {
		link += "?subject=" + url.PathEscape(reference)
	}
	return link, nil
}
