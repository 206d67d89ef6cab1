package keyring

import (
	"bytes"
	"testing"
	"time"
)

// What is read from the storage is written to it as it was, or is refused.
func FuzzDocument(f *testing.F) {
	good, err := document{keys: []*key{{id: "0011223344556677", created: time.Unix(1, 0).UTC(), signsFrom: time.Unix(2, 0).UTC()}}}.marshal()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	for _, change := range [][2]string{{`"version": 1`, `"version": 2`}, {"0011", "00112"}, {`"id"`, `"ID"`}, {"1970", "0001"}, {"]", "],"}} {
		f.Add(bytes.Replace(good, []byte(change[0]), []byte(change[1]), 1))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		doc, err := parseDocument(data)
		if err != nil {
			return
		}
		text, err := doc.marshal()
		if err != nil {
			t.Fatalf("%q cannot be written: %v", data, err)
		}
		again, err := parseDocument(text)
		if err != nil || len(again.keys) != len(doc.keys) {
			t.Fatalf("%q became %q: %v", data, text, err)
		}
		for i, k := range again.keys {
			if o := doc.keys[i]; k.id != o.id || k.secret != o.secret || !k.signsFrom.Equal(o.signsFrom) {
				t.Fatalf("%q became %q", data, text)
			}
		}
	})
}

// Nothing but a box that was sealed here opens, and it opens to what was sealed.
func FuzzBoxD77(f *testing.F) {
	sealer := loaded(f).Sealer("fuzz")
	f.Add([]byte("text"), []byte("aad"), []byte("box"))
	f.Add([]byte{}, []byte{}, bytes.Repeat([]byte{0}, overhead))
	f.Fuzz(func(t *testing.T, text, aad, box []byte) {
		sealed, err := sealer.Seal(t.Context(), text, aad)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := sealer.Open(t.Context(), sealed, aad); err != nil || !bytes.Equal(got, text) {
			t.Fatalf("%q, %v", got, err)
		}
		if _, err := sealer.Open(t.Context(), sealed, append([]byte("x"), aad...)); err == nil {
			t.Fatal("opened with other data")
		}
		if _, err := sealer.Open(t.Context(), box, aad); err == nil {
			t.Fatalf("%q opened", box)
		}
		if len(box) > 0 {
			sealed[int(box[0])%len(sealed)] ^= 1
			if _, err := sealer.Open(t.Context(), sealed, aad); err == nil {
				t.Fatal("a changed box opened")
			}
		}
	})
}
