package formtoken

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
)

// outcome is all that a caller can learn from a scan.
type outcome struct {
	CompleteAt, ErrorAt int64
	Err                 *Error
	Values              map[string]string
}

var altcha = []Field{{Name: "altcha", MaxLen: 64}}

var formFormat = Format{Kind: URLEncoded}

func scan(format Format, fields []Field, body string, cut func(left int) int) outcome {
	s := Prepare(fields).Scanner(format)
	for p := []byte(body); len(p) > 0; {
		n := min(max(cut(len(p)), 1), len(p))
		if _, err := s.Write(p[:n]); err != nil {
			break
		}
		p = p[n:]
	}
	o := outcome{Values: map[string]string{}}
	if err := s.Close(); err != nil {
		o.Err = err.(*Error) //nolint:errorlint // nothing else, and bare
	}
	o.CompleteAt, o.ErrorAt = s.CompleteAt(), s.errorAt
	for _, f := range fields {
		if v, ok := s.Value(f.Name); ok {
			o.Values[f.Name] = v
		}
	}
	return o
}

func whole(n int) int  { return n }
func bytewise(int) int { return 1 }

// scanAll scans in one chunk, byte by byte and in random chunks, and insists on one result.
func scanAll(t testing.TB, format Format, fields []Field, body string) outcome {
	t.Helper()
	want := scan(format, fields, body, whole)
	cuts := []func(int) int{bytewise}
	for seed := range uint64(4) {
		r := rand.New(rand.NewPCG(seed, 1))
		cuts = append(cuts, func(int) int { return 1 + r.IntN(1+int(seed)*13) })
	}
	for i, cut := range cuts {
		if len(body) > 1<<16 && i == 0 {
			continue
		}
		if got := scan(format, fields, body, cut); !reflect.DeepEqual(got, want) {
			t.Fatalf("chunking %d: %+v, in one chunk: %+v", i, got, want)
		}
	}
	if want.ErrorAt > int64(len(body)) || want.CompleteAt > int64(len(body)) {
		t.Fatalf("offset beyond the body: %+v", want)
	}
	if (want.Err != nil) != (want.ErrorAt >= 0) {
		t.Fatalf("error without offset or offset without error: %+v", want)
	}
	return want
}

// row is a body and what is to be found in it: a value, absent, or an error.
type row struct {
	name, body, value string
	err               *Error
}

const absent = "(absent)"

func checkRows(t *testing.T, format Format, rows []row) {
	t.Helper()
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			got := scanAll(t, format, altcha, r.body)
			if got.Err != r.err {
				t.Fatalf("error %v at %d, want %v", got.Err, got.ErrorAt, r.err)
			}
			if r.err != nil {
				return
			}
			value, ok := got.Values["altcha"]
			if ok != (r.value != absent) || ok && value != r.value {
				t.Fatalf("value %q %v, want %q", value, ok, r.value)
			}
			if (got.CompleteAt >= 0) != ok {
				t.Fatalf("complete at %d, found %v", got.CompleteAt, ok)
			}
		})
	}
}

func TestAlternatives(t *testing.T) {
	fields := []Field{
		{Name: "a1", Alternative: 1}, {Name: "a2", Alternative: 1},
		{Name: "b", Alternative: 2}, {Name: "a2", Alternative: 3}, {Name: "c", Alternative: 3},
		{Name: "seal", Optional: true, Alternative: 2},
	}
	for body, at := range map[string]int64{
		"a1=x":               -1,
		"a1=x&a2=y&z=1":      10,
		"a2=x&a1=y":          9,
		"b=1&a1=2":           4,
		"c=1&a2=2&x":         9,
		"seal=1":             -1,
		"seal=1&b=2&seal=1":  11,
		"z=1&a2=1&a2=1&c=0&": 18,
		"":                   -1,
	} {
		if got := scanAll(t, formFormat, fields, body); got.CompleteAt != at || got.Err != nil {
			t.Errorf("%s: complete at %d, want %d (%v)", body, got.CompleteAt, at, got.Err)
		}
	}
}

func TestErrorAfterComplete(t *testing.T) {
	got := scanAll(t, formFormat, altcha, "altcha=T&x=1&ALTCHA=2&y")
	want := outcome{CompleteAt: 9, ErrorAt: 20, Err: errAlias, Values: map[string]string{"altcha": "T"}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestStickyAndLate(t *testing.T) {
	s := Prepare(altcha).Scanner(formFormat)
	n, err := s.Write([]byte("altcha=%zz&x"))
	if n != 9 || !errors.Is(err, errEscape) {
		t.Fatalf("%d %v", n, err)
	}
	if n, err = s.Write([]byte("x")); n != 0 || !errors.Is(err, errEscape) {
		t.Fatalf("%d %v", n, err)
	}
	for range 2 {
		if err := s.Close(); !errors.Is(err, errEscape) || s.Complete() {
			t.Fatalf("the error does not stay: %v", err)
		}
	}
	if !strings.Contains(err.Error(), errEscape.Detail) {
		t.Error(err)
	}
	s = Prepare(altcha).Scanner(formFormat)
	_, _ = s.Write([]byte("altcha=T"))
	if s.Complete() || s.Close() != nil || !s.Complete() || s.CompleteAt() != 8 || s.Close() != nil {
		t.Error("the end of the body ends the field")
	}
}

func TestNone(t *testing.T) {
	got := scanAll(t, Format{}, altcha, "altcha=T")
	if got.Err != nil || got.CompleteAt != -1 || len(got.Values) != 0 {
		t.Errorf("%+v", got)
	}
}

func TestMaxLen(t *testing.T) {
	part := func(v string) string {
		return "--B\r\nContent-Disposition: form-data; name=altcha\r\n\r\n" + v + "\r\n--B--\r\n"
	}
	for _, format := range []struct {
		Format
		wrap func(string) string
	}{
		{formFormat, func(v string) string { return "x=1&altcha=" + v + "&y" }},
		{Format{Kind: Multipart, Boundary: "B"}, part},
		{Format{Kind: JSON}, func(v string) string { return `{"altcha":"` + v + `"}` }},
	} {
		fits, over := strings.Repeat("a", 64), strings.Repeat("a", 65)
		if got := scanAll(t, format.Format, altcha, format.wrap(fits)); got.Values["altcha"] != fits || got.Err != nil {
			t.Errorf("%v: %+v", format.Kind, got)
		}
		body := format.wrap(over)
		got := scanAll(t, format.Format, altcha, body)
		if at := int64(strings.Index(body, over) + 65); got.Err != ErrTooLong || got.ErrorAt != at {
			t.Errorf("%v: %+v, want an error at %d", format.Kind, got, at)
		}
	}
	// Held-back bytes that look like a delimiter count where they stand.
	body := "--Bound\r\nContent-Disposition: form-data; name=altcha\r\n\r\n" + strings.Repeat("a", 62) + "\r\n--Bou?\r\n--Bound--"
	got := scanAll(t, Format{Kind: Multipart, Boundary: "Bound"}, altcha, body)
	if at := int64(strings.Index(body, "--Bou?") + 1); got.Err != ErrTooLong || got.ErrorAt != at {
		t.Errorf("%+v, want an error at %d", got, at)
	}
}

func TestLargeSeal(t *testing.T) {
	seal := strings.Repeat("0123456789abcdef", 1_500_000/16)
	fields := []Field{{Name: "altcha"}, {Name: "captcha-seal", MaxLen: 1_500_000, Optional: true}}
	got := scanAll(t, formFormat, fields, "altcha=T&captcha-seal="+seal+"&captcha-seal="+seal)
	if got.Err != nil || got.Values["captcha-seal"] != seal || got.CompleteAt != 9 {
		t.Errorf("%v at %d, %d bytes", got.Err, got.ErrorAt, len(got.Values["captcha-seal"]))
	}
}

func FuzzChunking(f *testing.F) {
	for _, seed := range []string{"altcha=%41+b&ALTCHA", "altcha=1;x&altcha", "--B\r\nContent-Disposition: form-data; name=altcha\r\n\r\nT\r\n--B--\r\n",
		"--B\r\nContent-Disposition: form-data; name=altcha\r\n\r\n\r\r\n\r\n--\r\n--B\r\n\r\n\n--A\r\n--B--", `{"a":{"b":[1,2e9,-0.1]},"altcha":"\u00e9\ud83d\ude00\n"}`, `{"altcha":"\ud800`} {
		for kind := range uint8(4) {
			f.Add(kind, uint64(kind), []byte(seed))
		}
	}
	f.Fuzz(func(t *testing.T, kind uint8, seed uint64, body []byte) {
		format := Format{Kind: Kind(kind % 4), Boundary: "B"}
		fields := []Field{{Name: "altcha", MaxLen: 8}, {Name: "a.b", MaxLen: 8, Optional: true}, {Name: "x", Alternative: 1}}
		want := scan(format, fields, string(body), whole)
		r := rand.New(rand.NewPCG(seed, seed))
		for _, cut := range []func(int) int{bytewise, func(n int) int { return 1 + r.IntN(n) }, func(int) int { return 1 + r.IntN(7) }} {
			if got := scan(format, fields, string(body), cut); !reflect.DeepEqual(got, want) {
				t.Fatalf("%+v, in one chunk %+v", got, want)
			}
		}
	})
}

func benchScan(b *testing.B, format Format, body string) {
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	p := []byte(body)
	for b.Loop() {
		s := Prepare(altcha).Scanner(format)
		for rest := p; len(rest) > 0; {
			n := min(32<<10, len(rest))
			if _, err := s.Write(rest[:n]); err != nil {
				b.Fatal(err)
			}
			rest = rest[n:]
		}
		if s.Close() != nil || !s.Complete() {
			b.Fatal("not found")
		}
	}
}

func BenchmarkURLEncodedSmall(b *testing.B) {
	benchScan(b, formFormat, "user=someone&password=correct+horse&remember=1&altcha=eyJhbGciOiJTSEEtMjU2Iiwi")
}

func BenchmarkURLEncoded1MB(b *testing.B) {
	benchScan(b, formFormat, "text="+strings.Repeat("lorem+ipsum%2C", 1<<20/14)+"&altcha=T")
}

func BenchmarkMultipart1MB(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 1))
	file := make([]byte, 1<<20)
	for i := range file {
		file[i] = byte(r.Uint32())
	}
	for name, content := range map[string]string{
		"binary": string(file), "lines": strings.Repeat("\r\n", 1<<19), "hyphens": strings.Repeat("-", 1<<20),
		"text": strings.Repeat("The quick brown fox jumps over the lazy dog, said the user.\r\n", 1<<20/61),
	} {
		b.Run(name, func(b *testing.B) {
			benchScan(b, Format{Kind: Multipart, Boundary: "----WebKitFormBoundary7MA4YWxkTrZu0gW"}, fmt.Sprintf(
				"--%[1]s\r\nContent-Disposition: form-data; name=\"f\"; filename=\"f\"\r\n\r\n%[2]s\r\n--%[1]s\r\n"+
					"Content-Disposition: form-data; name=\"altcha\"\r\n\r\nT\r\n--%[1]s--\r\n",
				"----WebKitFormBoundary7MA4YWxkTrZu0gW", content))
		})
	}
}

func BenchmarkJSON1MB(b *testing.B) {
	benchScan(b, Format{Kind: JSON}, `{"text":"`+strings.Repeat("lorem ipsum dolor ", 1<<20/18)+`","altcha":"T"}`)
}
