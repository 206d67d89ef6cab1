package keyring

import (
	"bytes"
	"cmp"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"
)

// version is that of the stored document. Another one is not touched: it was
// written by a newer node, whose keys must not be lost.
const version = 1

// errDocument is what is wrong with a stored document that is not ours.
var errDocument = errors.New("not a key document that this version can read")

// document is what is stored: the keys by the time from which they sign. It
// does not change.
type document struct{ keys []*key }

type documentJSON struct {
	Version int       `json:"version"`
	Keys    []keyJSON `json:"keys"`
}

type keyJSON struct {
	ID        string    `json:"id"`
	Secret    []byte    `json:"secret"`
	Created   time.Time `json:"created"`
	SignsFrom time.Time `json:"signs_from"`
}

// parseDocument reads a document. Its errors never contain what it read.
func parseDocument(data []byte) (document, error) {
	var doc document
	var in documentJSON
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&in); err != nil {
		return doc, fmt.Errorf("%w: no JSON of the known shape", errDocument)
	}
	if _, err := dec.Token(); err != io.EOF {
		return doc, fmt.Errorf("%w: something follows it", errDocument)
	}
	if in.Version != version {
		return doc, fmt.Errorf("%w: version %d, want %d", errDocument, in.Version, version)
	}
	if len(in.Keys) == 0 {
		return doc, fmt.Errorf("%w: it has no keys", errDocument)
	}
	ids := make(map[string]bool)
	for i, k := range in.Keys {
		id, err := hex.DecodeString(k.ID)
		if err != nil || len(id) != idSize || hex.EncodeToString(id) != k.ID || ids[k.ID] ||
			len(k.Secret) != secretSize || k.Created.IsZero() || k.SignsFrom.IsZero() {
			return doc, fmt.Errorf("%w: key %d is damaged", errDocument, i)
		}
		ids[k.ID] = true
		doc.keys = append(doc.keys, &key{
			id: k.ID, secret: [secretSize]byte(k.Secret), created: k.Created, signsFrom: k.SignsFrom,
		})
	}
	doc.sort()
	return doc, nil
}

func (d document) marshal() ([]byte, error) {
	out := documentJSON{Version: version}
	for _, k := range d.keys {
		out.Keys = append(out.Keys, keyJSON{ID: k.id, Secret: k.secret[:], Created: k.created, SignsFrom: k.signsFrom})
	}
	return json.MarshalIndent(out, "", "\t")
}

// sort gives all nodes the same order, also of keys that sign from the same
// moment.
func (d document) sort() {
	slices.SortFunc(d.keys, func(a, b *key) int {
		return cmp.Or(a.signsFrom.Compare(b.signsFrom), cmp.Compare(a.id, b.id))
	})
}

// held returns the keys with the moment until which they are honoured.
func (d document) held() []held {
	all := make([]held, len(d.keys))
	for i, k := range d.keys {
		all[i].key = k
		if i+1 < len(d.keys) {
			all[i].until = d.keys[i+1].signsFrom.Add(keep)
		}
	}
	return all
}

// advance returns the document as it should be now, and whether that is
// another one: without keys that nobody needs, and with the next key an hour
// before it signs. The very first key signs at once, as nobody has another.
func (d document) advance(now time.Time, rotate time.Duration) (document, bool) {
	var next document
	for _, h := range d.held() {
		if h.honoured(now) {
			next.keys = append(next.keys, h.key)
		}
	}
	changed := len(next.keys) != len(d.keys)
	if len(next.keys) == 0 {
		next.keys = append(next.keys, newKey(now, now))
		return next, true
	}
	newest := next.keys[len(next.keys)-1]
	due := newest.signsFrom.Add(rotate)
	if now.Before(due.Add(-lead)) { // so too while newest does not sign yet, as rotate is no less than lead
		return next, changed
	}
	if soonest := now.Add(lead); due.Before(soonest) {
		due = soonest
	}
	next.keys = append(next.keys, newKey(now, due))
	return next, true
}
